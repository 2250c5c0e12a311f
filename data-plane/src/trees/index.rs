//! What came to exist by a job is made known to search when it is whole: until then it is hidden from search too.

use std::collections::BTreeMap;

use rowhouse_database::ActivePlacement;
use rowhouse_domain::{FileId, FolderId};
use rowhouse_problem::Result;
use uuid::Uuid;

use crate::changes::{Subject, Verb, apply_in_background};
use crate::work::WorkContext;
use crate::{files, folders};

/// Folders, or files, that are made known in one transaction.
const AT_ONCE: usize = 1_000;
/// Folders whose files are looked for together.
const TOGETHER: usize = 100;
/// Most folders of one copy that are made known.
const MOST_FOLDERS: usize = 1_000_000;

/// Makes everything in a folder known. It may have been done before, as far as it came.
///
/// # Errors
/// Where the tenant's database fails.
pub async fn index(context: &WorkContext, placement: &ActivePlacement, root: FolderId) -> Result<()> {
    let folders = folders::store::inside(&context.tenant(placement).await?, root, MOST_FOLDERS).await?;
    if folders.len() == MOST_FOLDERS {
        tracing::warn!(tenant.id = %placement.get().tenant, folder.id = %root, "search learns of no more than the first million folders in it");
    }
    for some in folders.chunks(AT_ONCE) {
        note(context, placement, some).await?;
    }
    for some in folders.chunks(TOGETHER) {
        let mut full = index_files(context, placement, some, Uuid::nil()).await?;
        while let Some((folder, after)) = full.pop() {
            full.extend(index_files(context, placement, &[folder], after).await?);
        }
    }
    Ok(())
}

/// Makes the next files of each of the folders known. Says of which folders there may be more, after which file.
async fn index_files(
    context: &WorkContext,
    placement: &ActivePlacement,
    folders: &[FolderId],
    after: Uuid,
) -> Result<Vec<(FolderId, Uuid)>> {
    let found = files::store::list_in(&context.tenant(placement).await?, folders, after, AT_ONCE).await?;
    let files: Vec<FileId> = found.iter().map(|(_, file)| *file).collect();
    for some in files.chunks(AT_ONCE) {
        note(context, placement, some).await?;
    }
    let mut ends: BTreeMap<FolderId, (usize, Uuid)> = BTreeMap::new();
    for (folder, file) in found {
        let end = ends.entry(folder).or_default();
        *end = (end.0 + 1, file.as_uuid());
    }
    Ok(ends.into_iter().filter(|(_, (count, _))| *count == AT_ONCE).map(|(folder, (_, last))| (folder, last)).collect())
}

async fn note<S: Into<Subject> + Copy>(context: &WorkContext, placement: &ActivePlacement, some: &[S]) -> Result<()> {
    apply_in_background(context, placement, async |change| change.record_all(Verb::Made, some).await).await
}
