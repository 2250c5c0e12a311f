//! Keys in the order of their bytes, found by walking the tree of folders: what S3 calls a list.
//!
//! In a folder, files come by their names and folders by their names with a `/` behind. That is the order of the whole keys,
//! so a walk into each folder as it comes gives all keys in order, and any key says where to go on.

use std::collections::VecDeque;

use rowhouse_database::Sql;
use rowhouse_domain::{FileId, FolderId, ItemName, WorkspaceId};
use rowhouse_problem::Result;

use super::key::before_nul;
use super::store::{self, Found, Span};
use crate::folders;

/// Rows that are read at a time.
const BATCH: i64 = 1000;
/// Folders that one list goes into at most. One that finds little in many is cut short, and goes on where it was.
const MOST_FOLDERS: usize = 1000;
/// Behind every character that a name can have.
pub(super) const END: char = char::MAX;

/// What is asked for.
pub(super) struct Wanted<'a> {
    pub(super) workspace: WorkspaceId,
    pub(super) prefix: &'a str,
    /// Whether what lies in folders is summed up as their prefixes.
    pub(super) is_flat: bool,
    /// Only keys behind this one.
    pub(super) after: &'a str,
    pub(super) limit: usize,
}

/// A key, or a prefix that stands for those under it.
pub(super) enum Item {
    Object { key: String, found: Found },
    Prefix(String),
}

impl Item {
    /// The file of a key.
    pub(super) fn file(&self) -> Option<FileId> {
        match self {
            Self::Object { found, .. } => Some(found.id),
            Self::Prefix(_) => None,
        }
    }
}

/// A page of a list.
pub(super) struct Page {
    pub(super) items: Vec<Item>,
    /// The place to go on behind, where there is more.
    pub(super) next: Option<String>,
}

/// One folder on the way.
struct Level {
    folder: Option<FolderId>,
    /// Its key, up to and with the last `/`; empty at the workspace's top.
    path: String,
    /// Names lie before this.
    before: String,
    files: Queue<Found>,
    folders: Queue<(FolderId, String)>,
    /// The inner folder that the walk was in, and the rest of the key behind it.
    resume: Option<(String, String)>,
}

struct Queue<T> {
    rows: VecDeque<T>,
    after: String,
    is_exhausted: bool,
}

impl<T> Queue<T> {
    fn behind(after: &str) -> Self {
        Self { rows: VecDeque::new(), after: after.to_owned(), is_exhausted: false }
    }

    fn take_in(&mut self, rows: Vec<T>, name: impl Fn(&T) -> &str) {
        self.is_exhausted = i64::try_from(rows.len()).is_ok_and(|count| count < BATCH);
        if let Some(last) = rows.last() {
            name(last).clone_into(&mut self.after);
        }
        self.rows.extend(rows);
    }
}

/// Lists keys.
pub(super) async fn list(tenant: &impl Sql, wanted: &Wanted<'_>) -> Result<Page> {
    let mut page = Page { items: Vec::new(), next: None };
    if wanted.prefix.contains('\0') {
        return Ok(page);
    }
    let wanted = &Wanted { after: before_nul(wanted.after), ..*wanted };
    let Some(base) = base(tenant, wanted).await? else { return Ok(page) };
    let mut levels = vec![base];
    let mut folders = 0;
    while let Some(level) = levels.last_mut() {
        level.refill(tenant, wanted.workspace).await?;
        let Some(item) = level.next() else {
            levels.pop();
            continue;
        };
        if page.items.len() == wanted.limit {
            page.next = page.items.last().map(last_key);
            return Ok(page);
        }
        match item {
            Next::File(found) => page.items.push(Item::Object { key: format!("{}{}", level.path, found.name), found }),
            Next::Folder(_, name) if wanted.is_flat => page.items.push(Item::Prefix(format!("{}{name}", level.path))),
            Next::Folder(id, name) => {
                let path = format!("{}{name}", level.path);
                folders += 1;
                if folders > MOST_FOLDERS {
                    // Behind everything that was looked at: the folder before this one, or what lies before it here.
                    page.next = Some(just_before(&path));
                    return Ok(page);
                }
                let rest = level.resume.take_if(|(inner, _)| *inner == name).map(|(_, rest)| rest);
                levels.push(Level::new(Some(id), path, "", &rest.unwrap_or_default()));
            }
        }
    }
    Ok(page)
}

fn last_key(item: &Item) -> String {
    match item {
        Item::Object { key, .. } => key.clone(),
        // What lies under it comes behind it and is told by it.
        Item::Prefix(prefix) => format!("{prefix}{END}"),
    }
}

/// The last text before a key that ends with `/`, as far as keys go: `.` comes before `/`, and `END` behind every name.
fn just_before(path: &str) -> String {
    format!("{}.{END}", path.trim_end_matches('/'))
}

/// The folder that the prefix leads to, if it does.
async fn base(tenant: &impl Sql, wanted: &Wanted<'_>) -> Result<Option<Level>> {
    let (path, partial) = match wanted.prefix.rfind('/') {
        Some(slash) => wanted.prefix.split_at(slash + 1),
        None => ("", wanted.prefix),
    };
    let mut folder = None;
    for part in path.split_terminator('/') {
        let Ok(name) = ItemName::parse(part) else { return Ok(None) };
        match folders::store::find_by_name(tenant, wanted.workspace, folder, &name).await? {
            // Keys are told apart by their bytes here: `A/` is no prefix of `a/b`.
            Some((id, real)) if real == part => folder = Some(id),
            Some(_) | None => return Ok(None),
        }
    }
    let rest = match wanted.after.strip_prefix(path) {
        Some(rest) => rest,
        None if wanted.after < path => "",
        None => return Ok(None),
    };
    Ok(Some(Level::new(folder, path.to_owned(), partial, rest)))
}

enum Next {
    File(Found),
    Folder(FolderId, String),
}

impl Level {
    /// Of what begins with `partial` and lies behind `rest`.
    fn new(folder: Option<FolderId>, path: String, partial: &str, rest: &str) -> Self {
        let resume = rest.find('/').map(|slash| {
            let (inner, rest) = rest.split_at(slash + 1);
            (inner.to_owned(), rest.to_owned())
        });
        // Just before the inner folder, so that the walk goes into it once more.
        let after = match &resume {
            Some((inner, rest)) if !rest.starts_with(END) => just_before(inner),
            Some(_) | None => rest.to_owned(),
        };
        let before = format!("{partial}{END}");
        // All that begins with `partial` comes behind what is just before it.
        let begin = if partial.is_empty() { String::new() } else { before_all(partial) };
        let after = after.max(begin);
        Self { folder, path, before, files: Queue::behind(&after), folders: Queue::behind(&after), resume }
    }

    async fn refill(&mut self, tenant: &impl Sql, workspace: WorkspaceId) -> Result<()> {
        if self.files.rows.is_empty() && !self.files.is_exhausted {
            let rows = store::files(tenant, &self.span(workspace, &self.files.after)).await?;
            self.files.take_in(rows, |found| found.name.as_str());
        }
        if self.folders.rows.is_empty() && !self.folders.is_exhausted {
            let rows = store::folders(tenant, &self.span(workspace, &self.folders.after)).await?;
            self.folders.take_in(rows, |(_, name)| name.as_str());
        }
        Ok(())
    }

    fn span<'a>(&'a self, workspace: WorkspaceId, after: &'a str) -> Span<'a> {
        Span { workspace, folder: self.folder, after, before: &self.before, limit: BATCH }
    }

    fn next(&mut self) -> Option<Next> {
        let is_file = match (self.files.rows.front(), self.folders.rows.front()) {
            (Some(file), Some((_, folder))) => file.name < *folder,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if is_file {
            return self.files.rows.pop_front().map(Next::File);
        }
        self.folders.rows.pop_front().map(|(id, name)| Next::Folder(id, name))
    }
}

/// A text before everything that begins with `partial` and behind everything else that comes before it.
fn before_all(partial: &str) -> String {
    let mut text: Vec<char> = partial.chars().collect();
    let last = text.pop().unwrap_or_default();
    let mut before: String = text.into_iter().collect();
    if let Some(previous) = previous(last) {
        before.push(previous);
        before.push(END);
    }
    before
}

/// The character before one, skipping those that are none.
fn previous(character: char) -> Option<char> {
    let number = u32::from(character).checked_sub(1)?;
    char::from_u32(number).or(Some('\u{d7ff}'))
}
