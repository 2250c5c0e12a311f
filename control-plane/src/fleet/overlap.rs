//! Whether two runs may come to the same schema, now or later.
//!
//! Schemas are claimed from what there is at that moment, and tenants come while a run is under way: so it is no question of
//! which schemas there are, but of what two selections say, and of what never changes of a schema. A tenant stays with its
//! organization and its isolation; where it is it stays, too, from when it has a place; and the cluster of a shared database is
//! that of all who share it. What a type a tenant is of may change at any moment, so two types are not two sets.
//!
//! What can't be told counts as overlapping. Whoever lets tenants move between clusters, organizations or databases has to
//! keep those still that a run may come to.

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{ClusterId, Isolation, MigrationRunId, OrganizationId};
use rowhouse_problem::Result;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::model::Selection;

/// What holds of every schema of a selection, for as long as it is there. None: nothing is certain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Footprint {
    cluster: Option<ClusterId>,
    /// It is a tenant's own, and that tenant belongs to this one.
    organization: Option<OrganizationId>,
    is_shared: Option<bool>,
    /// It is this one.
    schema: Option<Uuid>,
}

/// What is known of the tenant that a selection names.
#[derive(Debug, Clone, Copy)]
struct Named {
    isolation: Isolation,
    organization: OrganizationId,
    /// None where it has no place yet, or none any more.
    cluster: Option<ClusterId>,
    schema: Option<Uuid>,
}

impl Footprint {
    fn of(selection: &Selection, named: Option<Named>) -> Self {
        let is_shared = named.map(|tenant| tenant.isolation == Isolation::Shared);
        // Shared databases are of no type and no organization.
        let is_own = selection.tenant_type.is_some() || selection.organization_id.is_some();
        let of_owner = named.filter(|_| is_shared == Some(false)).map(|tenant| tenant.organization);
        Self {
            cluster: selection.cluster_id.or(named.and_then(|tenant| tenant.cluster)),
            organization: selection.organization_id.or(of_owner),
            is_shared: if is_own { Some(false) } else { is_shared },
            schema: named.and_then(|tenant| tenant.schema),
        }
    }

    /// Whether no schema is in both, whatever comes.
    fn is_apart_from(self, other: Self) -> bool {
        fn differ<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
            one.zip(other).is_some_and(|(one, other)| one != other)
        }
        differ(self.cluster, other.cluster)
            || differ(self.organization, other.organization)
            || differ(self.is_shared, other.is_shared)
            || differ(self.schema, other.schema)
    }
}

/// A run in whose way another one would be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rival {
    pub(super) id: MigrationRunId,
    /// It was cancelled, and its last schemas are being finished.
    pub(super) has_ended: bool,
}

const ONE_AT_A_TIME: &str = "select pg_advisory_xact_lock(hashtextextended('rowhouse.migration_runs', 0))";

/// Has whoever else starts a run wait until this transaction is over: else neither would see the other's.
pub(super) async fn lock(tx: &impl Sql) -> Result<()> {
    tx.query(ONE_AT_A_TIME, &[]).await.context("waiting for others who start a run").map(drop)
}

macro_rules! footprints {
    ($of:literal) => {
        concat!(
            "select wanted.id, wanted.selection, wanted.has_ended, tenant.isolation, tenant.organization_id,
                case when tenant.database_name is not null then tenant.cluster_id end as cluster_id,
                case tenant.isolation when 'shared' then tenant.group_id else tenant.id end as schema_id
            from ",
            $of,
            " wanted left join tenants tenant on tenant.id = (wanted.selection ->> 'tenant_id')::uuid order by wanted.id"
        )
    };
}

const WANTED: &str = footprints!("(select null::uuid as id, $1::jsonb as selection, false as has_ended)");
const UNDER_WAY: &str = footprints!(
    "(select run.id, run.selection, run.ended_at is not null as has_ended from migration_runs run
        where run.ended_at is null
            or exists (select from migration_run_schemas begun where begun.run_id = run.id and begun.state = 'running'))"
);

/// The runs that may come to a schema of a selection, or are at work on one, the oldest first.
pub(super) async fn rivals(db: &impl Sql, selection: &Selection) -> Result<Vec<Rival>> {
    const DOING: &str = "looking for runs over the same schemas";
    let wanted = footprint(&db.query_one(WANTED, &[&selection.stored()]).await.context(DOING)?)?;
    let rows = db.query(UNDER_WAY, &[]).await.context(DOING)?;
    let mut rivals = Vec::new();
    for row in &rows {
        if !footprint(row)?.is_apart_from(wanted) {
            rivals.push(Rival { id: row.column("id")?, has_ended: row.column("has_ended")? });
        }
    }
    Ok(rivals)
}

fn footprint(row: &Row) -> Result<Footprint> {
    let selection = Selection::read(&row.column::<Value>("selection")?)?;
    let named = match row.column::<Option<Isolation>>("isolation")? {
        Some(isolation) => Some(Named {
            isolation,
            organization: row.column("organization_id")?,
            cluster: row.column("cluster_id")?,
            schema: row.column("schema_id")?,
        }),
        None => None,
    };
    Ok(Footprint::of(&selection, named))
}

#[cfg(test)]
mod tests {
    use rowhouse_domain::{TenantId, TenantType};

    use super::*;

    fn nth(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn cluster(number: u128) -> Selection {
        Selection { cluster_id: Some(ClusterId::from_uuid(nth(number))), ..Selection::default() }
    }

    fn organization(number: u128) -> Selection {
        Selection { organization_id: Some(OrganizationId::from_uuid(nth(number))), ..Selection::default() }
    }

    fn kind(kind: TenantType) -> Selection {
        Selection { tenant_type: Some(kind), ..Selection::default() }
    }

    fn tenant() -> Selection {
        Selection { tenant_id: Some(TenantId::from_uuid(nth(9))), ..Selection::default() }
    }

    /// A tenant of an organization on a cluster, with its schema; 0: not placed yet.
    fn named(isolation: Isolation, organization: u128, cluster: u128, schema: u128) -> Option<Named> {
        let known = |number: u128| (number > 0).then(|| nth(number));
        Some(Named {
            isolation,
            organization: OrganizationId::from_uuid(nth(organization)),
            cluster: known(cluster).map(ClusterId::from_uuid),
            schema: known(schema),
        })
    }

    type Side = (Selection, Option<Named>);

    #[track_caller]
    fn check(one: Side, other: Side, are_apart: bool) {
        let (left, right) = (Footprint::of(&one.0, one.1), Footprint::of(&other.0, other.1));
        assert_eq!(left.is_apart_from(right), are_apart, "{one:?} {other:?}");
        assert_eq!(right.is_apart_from(left), are_apart, "{other:?} {one:?}");
    }

    fn of(selection: Selection) -> Side {
        (selection, None)
    }

    #[test]
    fn selections_are_apart_that_differ_in_what_never_changes() {
        check(of(cluster(1)), of(cluster(2)), true);
        check(of(organization(1)), of(organization(2)), true);
        check(of(Selection { tenant_type: Some(TenantType::Trial), ..cluster(1) }), of(cluster(2)), true);
        check(of(cluster(1)), of(cluster(1)), false);
        check(of(organization(1)), of(organization(1)), false);
        check(of(cluster(1)), of(organization(1)), false);
        check(of(Selection::default()), of(cluster(1)), false);
        check(of(Selection::default()), of(Selection::default()), false);
    }

    #[test]
    fn two_types_are_not_two_sets() {
        check(of(kind(TenantType::Trial)), of(kind(TenantType::Standard)), false);
        check(of(kind(TenantType::Trial)), of(cluster(1)), false);
    }

    #[test]
    fn a_tenant_is_in_its_own_organization_and_cluster_only() {
        let own = (tenant(), named(Isolation::Schema, 1, 2, 9));
        check(own.clone(), of(organization(1)), false);
        check(own.clone(), of(organization(2)), true);
        check(own.clone(), of(cluster(2)), false);
        check(own.clone(), of(cluster(1)), true);
        check(own.clone(), of(kind(TenantType::Trial)), false);
        check(own.clone(), (tenant(), named(Isolation::Dedicated, 1, 2, 8)), true);
        check(own.clone(), own, false);
    }

    #[test]
    fn who_shares_a_database_is_in_the_set_of_all_who_do() {
        let shared = (tenant(), named(Isolation::Shared, 1, 2, 7));
        check(shared.clone(), (tenant(), named(Isolation::Shared, 3, 2, 7)), false);
        check(shared.clone(), (tenant(), named(Isolation::Shared, 1, 2, 6)), true);
        check(shared.clone(), of(cluster(2)), false);
        check(shared.clone(), of(cluster(1)), true);
        check(shared.clone(), of(Selection::default()), false);
        // Those that are about tenants leave shared databases out, also that of a tenant of theirs.
        check(shared.clone(), of(organization(1)), true);
        check(shared.clone(), of(kind(TenantType::Trial)), true);
        check(shared, (tenant(), named(Isolation::Schema, 1, 2, 9)), true);
    }

    #[test]
    fn who_has_no_place_yet_may_get_any() {
        let to_be = (tenant(), named(Isolation::Shared, 1, 0, 0));
        check(to_be.clone(), of(cluster(1)), false);
        check(to_be.clone(), (tenant(), named(Isolation::Shared, 2, 2, 7)), false);
        check(to_be, of(organization(1)), true);
        check((tenant(), None), of(organization(1)), false);
    }
}
