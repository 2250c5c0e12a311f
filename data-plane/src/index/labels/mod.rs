//! Many files at once of which search needs to know no more than what they are called: what nobody can read, and what was
//! read before and has another name, tags or metadata now.

mod store;

use std::collections::BTreeSet;

use pgvector::Vector;
use rowhouse_database::Sql;
use rowhouse_domain::FileId;
use rowhouse_problem::Result;

use self::store::{Labelled, Line};
use super::passages::vector;
use super::store::{add_label_passages, remove_passages};
use crate::media::is_readable;

/// Texts whose words are computed anew, because what they are called is part of them; in bytes. No single one is longer than this, as
/// `file_search` has it.
const MOST_TEXT: usize = 4 << 20;

/// Writes the labels of files, and says of which files more is to be done: whose content is to be read, whose long text is
/// better dealt with by itself, and which can't be seen or are being changed right now.
///
/// # Errors
/// Where the tenant's database fails.
pub async fn labels(transaction: &impl Sql, ids: &[FileId]) -> Result<Vec<FileId>> {
    let ids = Vec::from_iter(ids.iter().copied().collect::<BTreeSet<_>>());
    let are_new = introduce(transaction, &ids).await?;
    let found = store::lock_labels(transaction, &ids).await?;
    let seen: BTreeSet<FileId> = found.iter().map(|file| file.id).collect();
    let mut left: Vec<FileId> = ids.into_iter().filter(|id| !seen.contains(id)).collect();
    let (mut lines, mut text) = (Vec::new(), 0);
    for file in found {
        let is_unread = !file.is_indexed && is_readable(&file.mime_type);
        // Words are taught by one statement of a transaction, so that nobody waits in a ring: what was changed since it was introduced
        // waits as well.
        let must_wait = are_new || text + file.text_bytes > MOST_TEXT;
        // Where only the place of a file is another, there is nothing to write.
        let is_known = file.is_named_so && (file.is_indexed || is_unread);
        if is_unread || must_wait && !is_known {
            left.push(file.id);
        }
        if !must_wait && !is_known {
            text += file.text_bytes;
            lines.push(line(file, is_unread));
        }
    }
    if !lines.is_empty() {
        replace_passages(transaction, &lines).await?;
        store::save_labels(transaction, &lines).await?;
    }
    Ok(left)
}

/// Makes the files' search rows where there are none. Says whether all of them were new, and are written already as they were found.
async fn introduce(transaction: &impl Sql, ids: &[FileId]) -> Result<bool> {
    let found = store::find_new(transaction, ids).await?;
    let are_new = found.len() == ids.len();
    if are_new {
        let lines: Vec<Line> = found
            .into_iter()
            .map(|file| {
                let is_unread = is_readable(&file.mime_type);
                line(file, is_unread)
            })
            .collect();
        store::introduce(transaction, &lines).await?;
    } else if !found.is_empty() {
        store::ensure_searches(transaction, ids).await?;
    }
    Ok(are_new)
}

/// A file without a text is found by its label as if that were its text; one that is still to be read, by its name meanwhile.
fn line(file: Labelled, is_unread: bool) -> Line {
    let text = file.label.text();
    let keeps_content = file.has_text || is_unread;
    let vector = if keeps_content { None } else { vector(&text) };
    Line { file, keeps_content, text, vector }
}

async fn replace_passages(transaction: &impl Sql, lines: &[Line]) -> Result<()> {
    let without_text: Vec<FileId> = lines.iter().filter(|line| !line.keeps_content).map(|line| line.file.id).collect();
    remove_passages(transaction, &without_text).await?;
    let passages: Vec<(FileId, &str, &Vector)> = lines
        .iter()
        // A name without a word, such as `---`, has no direction to be found in.
        .filter_map(|line| Some((line.file.id, line.text.as_str(), line.vector.as_ref()?)))
        .collect();
    add_label_passages(transaction, &passages).await
}
