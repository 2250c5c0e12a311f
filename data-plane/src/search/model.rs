//! A search as it is asked, checked and answered. Pure.

use rowhouse_domain::{FileId, FolderId, WorkspaceId};
use rowhouse_problem::{Code, Error, FieldError, Result};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Characters of a query; what is longer is no question but a document.
const MAX_QUERY: usize = 1000;

/// Hits where the caller names no number, and at most.
const DEFAULT_LIMIT: i32 = 20;
const MAX_LIMIT: i32 = 100;

/// How to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// By words, with their forms: `invoices` finds `invoice`. Understands `"a phrase"`, `or` and `-not`.
    Text,
    /// By spelling: `invoce` finds `invoice`.
    Fuzzy,
    /// By likeness of passages.
    Semantic,
    /// By words and likeness, their ranks fused.
    Hybrid,
}

impl Mode {
    const ALL: [(&'static str, Self); 4] =
        [("text", Self::Text), ("fuzzy", Self::Fuzzy), ("semantic", Self::Semantic), ("hybrid", Self::Hybrid)];
}

/// What can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A file, by its name, metadata and content.
    File,
    /// A folder, by its name and metadata.
    Folder,
    /// A workspace, by its name, tags and metadata.
    Workspace,
}

impl Kind {
    const ALL: [(&'static str, Self); 3] =
        [("files", Self::File), ("folders", Self::Folder), ("workspaces", Self::Workspace)];

    /// The text that stands for the kind in the database.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "folder",
            Self::Workspace => "workspace",
        }
    }

    pub(super) fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().map(|(_, kind)| kind).find(|kind| kind.as_str() == text)
    }

    /// The API's form of an id of this kind.
    pub(super) fn id(self, uuid: Uuid) -> String {
        match self {
            Self::File => FileId::from_uuid(uuid).to_string(),
            Self::Folder => FolderId::from_uuid(uuid).to_string(),
            Self::Workspace => WorkspaceId::from_uuid(uuid).to_string(),
        }
    }
}

/// The parameters as they are sent. Everything is text here, so that whatever is wrong can be named.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SearchQuery {
    /// What to look for, 1 to 1,000 characters.
    #[serde(default)]
    #[param(required = true, min_length = 1, max_length = 1000, example = "annual report")]
    pub q: String,
    /// `text`, `fuzzy`, `semantic` or `hybrid` (default).
    #[param(value_type = Option<Mode>, inline)]
    pub mode: Option<String>,
    /// What may be found: any of `files`, `folders`, `workspaces`, separated by commas. All of them by default.
    #[serde(rename = "in")]
    #[param(example = "files,folders")]
    pub kinds: Option<String>,
    /// Only what lies in this workspace.
    pub workspace_id: Option<String>,
    /// Most hits to answer with, 1 to 100 (default 20).
    #[param(value_type = Option<i32>, minimum = 1, maximum = 100)]
    pub limit: Option<String>,
}

/// A search that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Search {
    pub(super) query: String,
    pub(super) mode: Mode,
    pub(super) kinds: Vec<Kind>,
    pub(super) workspace: Option<WorkspaceId>,
    pub(super) limit: i32,
}

impl Search {
    /// Checks the parameters and names everything that is wrong with them.
    pub(super) fn parse(query: &SearchQuery) -> Result<Self> {
        let workspace = query.workspace_id.as_deref().map(parse_workspace).transpose()?;
        let mut errors = Vec::new();
        let mut check = |name: &str, result: std::result::Result<(), String>| {
            if let Err(detail) = result {
                errors.push(FieldError::new(name, detail));
            }
        };
        let text = clean(&query.q);
        check("q", check_query(&text));
        let mode = query.mode.as_deref().map_or(Ok(Mode::Hybrid), |text| one_of(text, &Mode::ALL));
        check("mode", mode.clone().map(drop));
        let kinds = query.kinds.as_deref().map_or_else(|| Ok(all_kinds()), parse_kinds);
        check("in", kinds.clone().map(drop));
        let limit = query.limit.as_deref().map_or(Ok(DEFAULT_LIMIT), parse_limit);
        check("limit", limit.clone().map(drop));
        match (mode, kinds, limit) {
            (Ok(mode), Ok(kinds), Ok(limit)) if errors.is_empty() => {
                Ok(Self { query: text, mode, kinds, workspace, limit })
            }
            (Ok(_) | Err(_), Ok(_) | Err(_), Ok(_) | Err(_)) => Err(Error::invalid(errors)),
        }
    }
}

fn all_kinds() -> Vec<Kind> {
    Kind::ALL.map(|(_, kind)| kind).to_vec()
}

/// No word holds a control character, and PostgreSQL takes no NUL.
fn clean(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect::<String>()
        .trim()
        .to_owned()
}

fn check_query(text: &str) -> std::result::Result<(), String> {
    match text.chars().count() {
        0 => Err("must say what to look for".to_owned()),
        1..=MAX_QUERY => Ok(()),
        _ => Err(format!("must have at most {MAX_QUERY} characters")),
    }
}

fn parse_kinds(text: &str) -> std::result::Result<Vec<Kind>, String> {
    let mut kinds = text.split(',').map(|kind| one_of(kind.trim(), &Kind::ALL)).collect::<Result<Vec<_>, _>>()?;
    kinds.sort_unstable();
    kinds.dedup();
    Ok(kinds)
}

fn parse_limit(text: &str) -> std::result::Result<i32, String> {
    let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| format!("must be a number between 1 and {MAX_LIMIT}"))
}

fn parse_workspace(text: &str) -> Result<WorkspaceId> {
    text.parse().map_err(|error| Error::new(Code::MalformedId, format!("`workspace_id` is no id: {error}.")))
}

fn one_of<T: Copy>(text: &str, choices: &[(&str, T)]) -> std::result::Result<T, String> {
    choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice).ok_or_else(|| {
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
        format!("must be one of {}", names.join(", "))
    })
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hit {
    pub(super) kind: Kind,
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) workspace: WorkspaceId,
    pub(super) folder: Option<FolderId>,
    pub(super) score: f64,
    pub(super) snippet: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(q: &str) -> SearchQuery {
        SearchQuery { q: q.to_owned(), ..SearchQuery::default() }
    }

    fn check(query: SearchQuery, expected: &[&str]) {
        let error = Search::parse(&query).unwrap_err();
        let named: Vec<&str> = error.fields().iter().map(|field| field.pointer.as_str()).collect();
        assert_eq!((error.code(), named.as_slice()), (Code::InvalidRequest, expected), "{query:?}");
    }

    #[test]
    fn a_bare_question_is_hybrid_over_everything() {
        let search = Search::parse(&query(" annual\u{0}report ")).unwrap();
        assert_eq!((search.query.as_str(), search.mode, search.limit), ("annual report", Mode::Hybrid, 20));
        assert_eq!(search.kinds, [Kind::File, Kind::Folder, Kind::Workspace]);
    }

    #[test]
    fn everything_wrong_is_named_at_once() {
        check(query(" \u{0} "), &["q"]);
        check(query(&"ä".repeat(1001)), &["q"]);
        assert!(Search::parse(&query(&"ä".repeat(1000))).is_ok());
        for limit in ["0", "101", "-1", "ten", "99999999999", ""] {
            check(SearchQuery { limit: Some(limit.to_owned()), ..query("a") }, &["limit"]);
        }
        for kinds in ["", "files,", "file", "files;folders"] {
            check(SearchQuery { kinds: Some(kinds.to_owned()), ..query("a") }, &["in"]);
        }
        let all = SearchQuery {
            mode: Some("magic".to_owned()),
            kinds: Some("people".to_owned()),
            limit: Some("many".to_owned()),
            ..query("")
        };
        check(all, &["q", "mode", "in", "limit"]);
    }

    #[test]
    fn ids_that_are_none_are_malformed() {
        let error = Search::parse(&SearchQuery { workspace_id: Some("fil_1".to_owned()), ..query("a") }).unwrap_err();
        assert_eq!(error.code(), Code::MalformedId);
    }

    #[test]
    fn kinds_are_a_set() {
        let search =
            Search::parse(&SearchQuery { kinds: Some("folders, files,folders".to_owned()), ..query("a") }).unwrap();
        assert_eq!(search.kinds, [Kind::File, Kind::Folder]);
    }
}
