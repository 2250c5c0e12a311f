//! What `saas_platform` is told of this replica.

use std::time::Duration;

use rowhouse_database::{Described, Replica, Sql};
use rowhouse_problem::Result;

use crate::authentication::SERVED_SCHEMAS;

const SERVES: &str = "select replica_serves($1, $2, $3, $4, $5, make_interval(secs => $6))";

/// Says that a replica is up, and what it serves, for so long.
pub(super) async fn serves(db: &impl Sql, replica: &Replica, host: &str, ttl: Duration) -> Result<()> {
    let (oldest, newest) = (SERVED_SCHEMAS.start(), SERVED_SCHEMAS.end());
    let parameters: rowhouse_database::Parameters<'_> =
        &[&replica.id(), &replica.epoch(), &host, oldest, newest, &ttl.as_secs_f64()];
    db.query_one(SERVES, parameters).await.context("saying which versions are served").map(drop)
}
