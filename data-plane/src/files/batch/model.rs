//! What a batch may ask for. Pure.

use std::collections::HashMap;

use rowhouse_domain::{FileId, FolderId, WorkspaceId};
use rowhouse_problem::{Error, FieldError, Result};
use rowhouse_web::IfMatch;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::files::model::{ChangeFile, FileChange};
use crate::serial::{Checks, nullable};

/// Most items of a batch.
const MAX_ITEMS: usize = 1_000;

/// What one failing item means for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Nothing is done.
    #[default]
    All,
    /// Nothing: each succeeds or fails alone.
    Each,
}

/// The body of a batch.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// `all`: one item that can't be done, and nothing is; `each`: every item succeeds or fails alone.
    #[serde(default)]
    #[schema(inline)]
    mode: Mode,
    /// 1 to 1,000 of them, dealt with in their order. A file is changed, deleted or restored by one of them at most.
    items: Vec<BatchItem>,
}

/// What is done with the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is renamed, moved or labelled, as `PATCH` does it.
    Update,
    /// Another file is made of it, with its content, tags and metadata but for what the item says.
    Copy,
    /// It goes to the trash.
    Delete,
    /// It comes back from there.
    Restore,
}

/// Something to do with a file. What an item does not name stays as it is.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchItem {
    #[schema(inline)]
    action: Action,
    /// The file.
    #[schema(value_type = String, example = "fil_01jd0000000000000000000000")]
    id: FileId,
    /// The entity tag that the file is to have still, as in the header `If-Match`.
    if_match: Option<String>,
    /// Its name, or its copy's.
    name: Option<String>,
    /// The workspace that it, or its copy, goes to: to its top unless `folder_id` says more.
    #[schema(value_type = Option<String>)]
    workspace_id: Option<WorkspaceId>,
    /// The folder that it, or its copy, goes to; `null` for the workspace's top.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    folder_id: Option<Option<FolderId>>,
    tags: Option<Vec<String>>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
    /// Number of the version that is copied; the current one unless said.
    version: Option<i32>,
}

/// What is to be done with a file.
#[derive(Debug, Clone)]
pub(super) enum Task {
    Update(FileChange),
    Copy {
        version: Option<i32>,
        change: FileChange,
    },
    Delete,
    Restore,
    /// Nothing: these fields are not valid, and the items stand alone.
    Refused(Vec<FieldError>),
}

/// An item that can be carried out, as far as can be told without looking.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) id: FileId,
    pub(super) condition: IfMatch,
    pub(super) task: Task,
}

impl Batch {
    /// Checks a body. What is wrong with an item that stands alone is that item's outcome.
    ///
    /// # Errors
    /// Invalid, with every field that is.
    pub(super) fn parse(self) -> Result<(Mode, Vec<Item>)> {
        if !(1..=MAX_ITEMS).contains(&self.items.len()) {
            let detail = format!("must hold 1 to {MAX_ITEMS} items; send the others in another batch");
            return Err(Error::invalid_field("/items", detail));
        }
        let (mut checks, mut changed) = (Checks::default(), HashMap::new());
        let mut items = Vec::with_capacity(self.items.len());
        for (index, item) in self.items.into_iter().enumerate() {
            let at = format!("/items/{index}");
            let mut of_item = Checks::default();
            let mut item = item.check(&at, &mut of_item);
            let complaints = of_item.into_complaints();
            if self.mode == Mode::Each && !complaints.is_empty() {
                item.task = Task::Refused(complaints);
            } else {
                checks.extend(complaints);
            }
            if !matches!(item.task, Task::Copy { .. } | Task::Refused(_))
                && let Some(earlier) = changed.insert(item.id, index)
            {
                checks.complain(&format!("{at}/id"), format!("is changed by item {earlier} already"));
            }
            items.push(item);
        }
        checks.finish()?;
        Ok((self.mode, items))
    }
}

impl BatchItem {
    fn check(self, at: &str, checks: &mut Checks) -> Item {
        let (action, id, version) = (self.action, self.id, self.version);
        let condition = IfMatch::from_text(self.if_match.as_deref());
        if version.is_some() && action != Action::Copy {
            checks.complain(&format!("{at}/version"), "goes with `copy` only");
        }
        let body = ChangeFile {
            name: self.name,
            workspace_id: self.workspace_id,
            folder_id: self.folder_id,
            tags: self.tags,
            metadata: self.metadata,
        };
        if matches!(action, Action::Delete | Action::Restore) {
            for field in body.named() {
                checks.complain(&format!("{at}/{field}"), "goes with `update` and `copy` only");
            }
        }
        let change = body.check(at, checks);
        let task = match action {
            Action::Update => Task::Update(change),
            Action::Copy => Task::Copy { version, change },
            Action::Delete => Task::Delete,
            Action::Restore => Task::Restore,
        };
        Item { id, condition, task }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn complaints(items: Value) -> Vec<String> {
        let batch: Batch = serde_json::from_value(json!({ "items": items })).unwrap();
        let error = batch.parse().unwrap_err();
        error.fields().iter().map(|field| field.pointer.clone()).collect()
    }

    #[test]
    fn everything_that_is_wrong_is_named_by_its_item() {
        let id = FileId::new();
        assert_eq!(
            complaints(json!([
                { "action": "update", "id": id, "name": "../x", "tags": [""] },
                { "action": "delete", "id": FileId::new(), "name": "x", "version": 1 },
                { "action": "copy", "id": id, "version": 1 },
                { "action": "delete", "id": id },
            ])),
            ["/items/0/name", "/items/0/tags/0", "/items/1/version", "/items/1/name", "/items/3/id"]
        );
        assert_eq!(complaints(json!([])), ["/items"]);
    }

    #[test]
    fn what_stands_alone_is_refused_alone() {
        let id = FileId::new();
        let items = json!([
            { "action": "update", "id": id, "name": "../x" },
            { "action": "update", "id": id, "name": "x" },
        ]);
        let batch: Batch = serde_json::from_value(json!({ "mode": "each", "items": items })).unwrap();
        let (_, items) = batch.parse().unwrap();
        let Task::Refused(complaints) = &items[0].task else { panic!("{items:?}") };
        assert_eq!(complaints[0].pointer, "/items/0/name");
        assert!(matches!(items[1].task, Task::Update(_)));
        // What is asked of a file twice means nothing, whichever comes first.
        let twice =
            json!({ "mode": "each", "items": [{ "action": "delete", "id": id }, { "action": "restore", "id": id }] });
        assert!(serde_json::from_value::<Batch>(twice).unwrap().parse().is_err());
    }
}
