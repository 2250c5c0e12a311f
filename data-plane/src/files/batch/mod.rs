//! Many files changed, copied, deleted and restored by one request, in one transaction and a handful of statements.
//!
//! Everything that the items are about is locked first, in the order in which everybody locks: workspaces, folders, files,
//! blobs, of each kind by id. Then each item is tried in memory ([`plan`]), and what they come to is written at once.

pub mod model;
mod plan;
mod store;
mod views;

use std::collections::{BTreeSet, HashMap};

use rowhouse_domain::{FileId, FolderId, ReservationId, VersionId, WorkspaceId};
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::IdempotencyKey;
use serde_json::Value;

use self::model::{Batch, Item, Mode, Task};
use self::plan::{Chosen, Done, World};
use super::room::{Refusal, apply_with_rooms};
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::changes::{Change, Verb, apply_once};
use crate::idempotency::Request;
use crate::state::AppState;
use crate::{folders, workspaces};

pub use views::{BatchErrorView, BatchItemView, BatchView};

const ROUTE: &str = "POST /v1/files/batch";

/// A version that is to be copied, or why there is no room for it.
type Granted = Result<Chosen, Error>;

/// Does what the items ask for.
pub(super) async fn batch(state: &AppState, caller: &Caller, key: &IdempotencyKey, body: Batch) -> Result<Answer> {
    let request = Request::new(caller, ROUTE, key, &body);
    let (mode, items) = body.parse()?;
    if !items.iter().any(|item| matches!(item.task, Task::Copy { .. })) {
        return apply_once(state, &request, async |change| {
            write(change, caller, mode, &items, HashMap::new(), None).await
        })
        .await;
    }
    let refusal = match mode {
        Mode::All => Refusal::OfAll,
        Mode::Each => Refusal::OfEach,
    };
    apply_with_rooms(
        state,
        &request,
        refusal,
        async |tenant| {
            let copies = copies(&items);
            let files: Vec<FileId> = copies.iter().map(|(_, id, _)| *id).collect();
            let numbers: Vec<Option<i32>> = copies.iter().map(|(_, _, version)| *version).collect();
            let found = store::versions(tenant, &files, &numbers).await?;
            let mut found: Vec<(usize, Chosen)> =
                found.into_iter().map(|(place, chosen)| (copies[place].0, chosen)).collect();
            found.sort_unstable_by_key(|(index, _)| *index);
            let sizes = found.iter().map(|(_, chosen)| chosen.size).collect();
            Ok((found, sizes))
        },
        async |change, found, room| {
            let granted = found.into_iter().zip(room.refused).map(|((index, chosen), refused)| {
                let granted = match refused {
                    None => Ok(chosen),
                    Some(error) => Err(error),
                };
                (index, granted)
            });
            write(change, caller, mode, &items, granted.collect(), Some(room.reservation)).await
        },
    )
    .await
}

/// The items that make copies: their places, files and versions.
fn copies(items: &[Item]) -> Vec<(usize, FileId, Option<i32>)> {
    let copy = |(index, item): (usize, &Item)| match item.task {
        Task::Copy { version, .. } => Some((index, item.id, version)),
        Task::Update(_) | Task::Delete | Task::Restore | Task::Refused(_) => None,
    };
    items.iter().enumerate().filter_map(copy).collect()
}

async fn write(
    change: &Change<'_>,
    caller: &Caller,
    mode: Mode,
    items: &[Item],
    mut granted: HashMap<usize, Granted>,
    reservation: Option<ReservationId>,
) -> Result<Answer> {
    let mut world = look(change, items, &granted).await?;
    let outcomes: Vec<Result<Done>> = items
        .iter()
        .enumerate()
        .map(|(index, item)| world.carry_out(item, granted.remove(&index).transpose()?))
        .collect();
    let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    if failed > 0 && mode == Mode::All {
        return Err(refusal(items, &outcomes, failed));
    }
    let mut files = carry_out(change, caller, world, reservation).await?;
    let views = outcomes.iter().zip(items).enumerate().map(|(index, (outcome, item))| match outcome {
        Ok(Done::Deleted) => BatchItemView::done(index, item.id, 204, None),
        Ok(Done::Copied(id)) => BatchItemView::done(index, item.id, 201, files.remove(id)),
        Ok(Done::Updated(id) | Done::Restored(id)) => BatchItemView::done(index, item.id, 200, files.remove(id)),
        Err(error) => BatchItemView::failed(index, item.id, error),
    });
    let view = BatchView { succeeded: items.len() - failed, failed, items: views.collect() };
    Ok(Answer::done(&view))
}

/// Locks what the items are about, and reads it.
async fn look(change: &Change<'_>, items: &[Item], granted: &HashMap<usize, Granted>) -> Result<World> {
    let ids: Vec<FileId> = items.iter().map(|item| item.id).collect::<BTreeSet<_>>().into_iter().collect();
    let places = store::places(change, &ids).await?;
    let (mut wanted_workspaces, mut wanted_folders): (BTreeSet<WorkspaceId>, BTreeSet<FolderId>) =
        (places.values().map(|place| place.0).collect(), BTreeSet::new());
    for item in items {
        match &item.task {
            Task::Update(wish) | Task::Copy { change: wish, .. } => {
                wanted_workspaces.extend(wish.workspace());
                wanted_folders.extend(wish.folder());
            }
            Task::Restore => wanted_folders.extend(places.get(&item.id).and_then(|place| place.1)),
            Task::Delete | Task::Refused(_) => {}
        }
        // A copy may stay where its file is.
        if let Task::Copy { .. } = item.task {
            wanted_folders.extend(places.get(&item.id).and_then(|place| place.1));
        }
    }
    let wanted_workspaces: Vec<WorkspaceId> = wanted_workspaces.into_iter().collect();
    let wanted_folders: Vec<FolderId> = wanted_folders.into_iter().collect();
    let mut world = World::default();
    world.rooms = workspaces::store::lock_rooms(change, &wanted_workspaces).await?;
    world.folders = folders::store::hold_all(change, &wanted_folders).await?;
    for file in store::lock(change, &ids).await? {
        if places.get(&file.id) != Some(&(file.workspace_id, file.folder_id)) {
            return Err(Error::unavailable("a file of the batch was moved before it was locked"));
        }
        world.files.insert(file.id, file);
    }
    world.sizes = store::sizes(change, &movers(&world, items)).await?;
    let wanted_names = world.wanted_names(items);
    world.set_names(store::taken(change, &wanted_names).await?);
    let versions: Vec<VersionId> = granted.values().filter_map(|chosen| Some(chosen.as_ref().ok()?.id)).collect();
    if !versions.is_empty() {
        world.sources = store::share(change, &versions).await?;
    }
    Ok(world)
}

/// The files that may go to another workspace.
fn movers(world: &World, items: &[Item]) -> Vec<FileId> {
    let goes = |item: &&Item| match &item.task {
        Task::Update(wish) => wish
            .workspace()
            .is_some_and(|wanted| world.files.get(&item.id).is_some_and(|file| file.workspace_id != wanted)),
        Task::Copy { .. } | Task::Delete | Task::Restore | Task::Refused(_) => false,
    };
    items.iter().filter(goes).map(|item| item.id).collect()
}

/// Writes what the items have come to, and shows the files as they are then.
async fn carry_out(
    change: &Change<'_>,
    caller: &Caller,
    world: World,
    reservation: Option<ReservationId>,
) -> Result<HashMap<FileId, super::model::File>> {
    let (writes, wanted) = world.into_writes();
    let wanted_files = |ids: &[FileId]| ids.iter().filter_map(|id| wanted.get(id)).collect::<Vec<_>>();
    let mut files = HashMap::new();
    if !writes.shifts.is_empty() {
        let shifts: Vec<(WorkspaceId, i64)> = writes.shifts.into_iter().collect();
        workspaces::store::shift(change, &shifts).await?;
    }
    if !writes.deleted.is_empty() {
        store::delete(change, &writes.deleted).await?;
        change.record_all(Verb::Deleted, &writes.deleted).await?;
    }
    if !writes.vacated.is_empty() {
        store::vacate(change, &writes.vacated).await?;
    }
    if !writes.updated.is_empty() {
        files.extend(store::update(change, &wanted_files(&writes.updated)).await?);
        change.record_all(Verb::Changed, &writes.updated).await?;
    }
    if !writes.restored.is_empty() {
        files.extend(store::restore(change, &wanted_files(&writes.restored)).await?);
        change.record_all(Verb::Restored, &writes.restored).await?;
    }
    if !writes.copied.is_empty() {
        files.extend(store::insert(change, &writes.copied, caller.account(), change.actor()).await?);
        let made: Vec<FileId> = writes.copied.iter().map(|copy| copy.file.id).collect();
        change.record_all(Verb::Made, &made).await?;
    }
    if reservation.is_some() {
        // Also of nothing: it ends the reservation of copies that did not come to be.
        let bytes = writes.copied.iter().map(|copy| copy.source.size).sum();
        change.charge_files(writes.copied.len(), bytes, caller.account(), reservation).await?;
    }
    Ok(files)
}

/// Why nothing was done: every item that could not be.
fn refusal(items: &[Item], outcomes: &[Result<Done>], failed: usize) -> Error {
    let causes: Vec<Value> = outcomes
        .iter()
        .zip(items)
        .enumerate()
        .filter_map(|(index, (outcome, item))| {
            let error = outcome.as_ref().err()?;
            Some(serde_json::to_value(BatchItemView::failed(index, item.id, error)).expect("views are plain values"))
        })
        .collect();
    let detail = format!(
        "Nothing was done, because {failed} of {} items can't be: `items` says which and why. Leave them out or mend them, \
         or send the batch with `\"mode\": \"each\"`.",
        items.len()
    );
    Error::new(Code::BatchFailed, detail).with("items", causes)
}
