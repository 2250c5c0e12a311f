//! Carries sweeps on: a duty of the leader, which may be another one each time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use rowhouse_domain::{ClusterId, SchemaCheckState, SweepCause};
use rowhouse_problem::Result;

use super::check::{self, Seen, shown};
use super::model::Sweep;
use super::store::{self, Counted, Place};
use crate::audit::Requester;
use crate::clusters::{ClusterLink, find_link};
use crate::context::Context;
use crate::fleet::{self, Selection};

/// Schemas between two notes of how far it is.
const AT_A_TIME: i64 = 50;

/// Begins with a scheduled sweep where it is time, and carries on what there is until nothing is left.
pub(crate) async fn carry_on(context: &Context) -> Result<()> {
    let every = context.settings.migrations.verify_every;
    if !every.is_zero() {
        let connection = context.platform.get().await?;
        if store::is_due(&connection, every.as_secs_f64()).await? {
            let id =
                store::insert(&connection, SweepCause::Schedule, &Selection::default(), &Requester::SYSTEM).await?;
            tracing::info!(sweep.id = %id, "it is time to compare all schemas with their templates");
        }
    }
    // Looked for each time: what somebody waits for comes first.
    loop {
        let sweep = store::next(&context.platform.get().await?).await?;
        let Some(sweep) = sweep else { return Ok(()) };
        step(context, &sweep).await?;
    }
}

/// Shows how many schemas differ. Now and then, not when a sweep ends: what is not set for two minutes is shown no more.
pub(crate) async fn show(context: &Context) -> Result<()> {
    let (different, blocked, unreadable) = store::count(&context.platform.get().await?).await?;
    #[expect(clippy::cast_precision_loss, reason = "far fewer than a float can count")]
    for (name, count) in [
        ("rowhouse_schemas_different", different),
        ("rowhouse_schemas_blocked", blocked),
        ("rowhouse_schemas_unreadable", unreadable),
    ] {
        metrics::gauge!(name).set(count as f64);
    }
    Ok(())
}

async fn step(context: &Context, sweep: &Sweep) -> Result<()> {
    let places = store::ahead(&context.platform.get().await?, sweep.id, AT_A_TIME).await?;
    let Some(last) = places.last().map(|place| place.schema_id) else { return end(context, sweep).await };
    let mut links: HashMap<ClusterId, Arc<ClusterLink>> = HashMap::new();
    for place in &places {
        if let Entry::Vacant(missing) = links.entry(place.cluster) {
            let link = find_link(&context.platform.get().await?, place.cluster).await?;
            missing.insert(Arc::new(link));
        }
    }
    // Boxed one by one: the compiler can't name the futures of a closure that borrows.
    let mut looks = Vec::new();
    for place in &places {
        let Some(link) = links.get(&place.cluster) else { continue };
        looks.push(look(context, sweep, link, place).boxed());
    }
    let at_once = context.settings.migrations.verify_parallel;
    let mut looks = futures::stream::iter(looks).buffer_unordered(at_once);
    let mut counted = Counted::default();
    while let Some(state) = looks.next().await {
        let count = match state? {
            Some(SchemaCheckState::Same) => &mut counted.same,
            Some(SchemaCheckState::Different) => &mut counted.different,
            Some(SchemaCheckState::Accepted) => &mut counted.accepted,
            Some(SchemaCheckState::Unreadable) => &mut counted.unreadable,
            None => &mut counted.passed_by,
        };
        *count += 1;
    }
    store::advance(&context.platform.get().await?, sweep.id, last, counted).await
}

/// Looks at one schema and keeps what was seen; none where nothing can be said of it now.
async fn look(context: &Context, sweep: &Sweep, link: &ClusterLink, place: &Place) -> Result<Option<SchemaCheckState>> {
    // Just before: what a worker writes down while the sweep is at other schemas is older than what is seen now.
    let looked_at = store::now(&context.platform.get().await?).await?;
    let seen = match check::look(context, link, &place.database, &place.schema).await {
        Ok(None) => return Ok(None),
        Ok(Some(seen)) => seen,
        Err(error) => {
            if !fleet::is_of_the_fleet(&context.platform.get().await?, place.schema_id).await? {
                return Ok(None);
            }
            tracing::warn!(
                schema = place.name,
                error = error.chain(),
                "a schema could not be compared with its template"
            );
            let (state, error) = (SchemaCheckState::Unreadable, Some(error.chain()));
            Seen { state, version: None, differences: Vec::new(), error }
        }
    };
    let state = store::record(&mut context.platform.get().await?, place, sweep.id, looked_at, &seen).await?;
    if state == SchemaCheckState::Different {
        let what = shown(&seen.differences);
        tracing::warn!(schema = place.name, database = place.database, what, "a schema differs from its template");
    }
    metrics::counter!("rowhouse_schema_checks_total", "outcome" => state.as_str()).increment(1);
    Ok(Some(state))
}

async fn end(context: &Context, sweep: &Sweep) -> Result<()> {
    let connection = context.platform.get().await?;
    if !store::end(&connection, sweep.id).await? {
        return Ok(());
    }
    let seen = sweep.same + sweep.different + sweep.accepted + sweep.unreadable;
    let (cause, accepted) = (sweep.cause.as_str(), sweep.accepted);
    if sweep.different + sweep.unreadable > 0 {
        let (different, unreadable) = (sweep.different, sweep.unreadable);
        tracing::warn!(
            sweep.id = %sweep.id, cause, seen, different, accepted, unreadable,
            "schemas differ from their templates: `rowhouse migrate verify` shows in what"
        );
    } else {
        tracing::info!(sweep.id = %sweep.id, cause, seen, accepted, "all schemas are what their templates are, or are meant to be");
    }
    Ok(())
}
