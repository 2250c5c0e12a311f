//! What came to exist by a job is made known to search when it is whole: until then it is hidden from search too.

use rowhouse_database::ActivePlacement;
use rowhouse_domain::{FileId, FolderId};
use rowhouse_problem::Result;
use uuid::Uuid;

use crate::changes::{Verb, apply_in_background};
use crate::work::WorkContext;
use crate::{files, folders};

/// Folders, or files, that are made known in one transaction.
const AT_ONCE: usize = 1_000;
/// Most folders of one copy that are made known.
const MOST_FOLDERS: usize = 1_000_000;

/// Makes everything in a folder known. It may have been done before, as far as it came.
///
/// # Errors
/// Where the tenant's database fails.
pub async fn index(context: &WorkContext, placement: &ActivePlacement, root: FolderId) -> Result<()> {
    let folders = folders::store::inside(&context.tenant(placement).await?, root, MOST_FOLDERS).await?;
    for some in folders.chunks(AT_ONCE) {
        apply_in_background(context, placement, async |change| change.record_all(Verb::Made, some).await).await?;
    }
    let mut found: Vec<FileId> = Vec::new();
    for folder in folders {
        let mut after = Uuid::nil();
        loop {
            let limit = AT_ONCE - found.len();
            let page = files::store::list_in(&context.tenant(placement).await?, folder, after, limit).await?;
            found.extend(&page);
            if found.len() == AT_ONCE {
                note(context, placement, &mut found).await?;
            }
            match page.last() {
                Some(last) if page.len() == limit => after = last.as_uuid(),
                _ => break,
            }
        }
    }
    note(context, placement, &mut found).await
}

async fn note(context: &WorkContext, placement: &ActivePlacement, found: &mut Vec<FileId>) -> Result<()> {
    apply_in_background(context, placement, async |change| change.record_all(Verb::Made, found).await).await?;
    found.clear();
    Ok(())
}
