//! Platform table `org_members`. Owns its SQL; decides nothing.

use rowhouse_database::{Columns, Described, QueryError, Sql};
use rowhouse_domain::{Actor, MemberId, MemberRole, MemberStatus, OrganizationId};
use rowhouse_problem::{Code, Error, Result};
use tokio_postgres::Row;

use super::model::{Member, NewMember};

macro_rules! columns {
    () => {
        "id, organization_id, user_id, email, name, role, status, permissions, invited_at, accepted_at, joined_at,
            created_at, updated_at"
    };
}

const INSERT: &str = concat!(
    "insert into org_members (id, organization_id, user_id, email, name, role, status, permissions, invited_at, joined_at,
        created_by_kind, created_by)
    values ($1, $2, $3, $4, $5, $6,
        case when $3::uuid is null then 'invited' else 'active' end::member_status, $7,
        case when $3::uuid is null then now() end, case when $3::uuid is not null then now() end, $8, $9)
    returning ",
    columns!()
);

/// Records an invitation, or the membership of an existing user.
pub(super) async fn insert(
    tx: &impl Sql,
    organization: OrganizationId,
    new: &NewMember,
    email: &str,
    actor: &Actor,
) -> Result<Member> {
    let row = tx
        .query_one(
            INSERT,
            &[
                &new.id,
                &organization,
                &new.user_id,
                &email,
                &new.name,
                &new.role,
                &new.permissions,
                &actor.kind,
                &actor.id,
            ],
        )
        .await;
    from_row(&already_member(row).context("inserting a member")?)
}

fn already_member<T>(result: Result<T, QueryError>) -> Result<T, QueryError> {
    let exists = || Error::new(Code::MemberExists, "This person is a member or invited already. Change that entry.");
    result
        .on_constraint("org_members_organization_id_email_key", exists)
        .on_constraint("org_members_organization_id_user_id_key", exists)
}

const USER_EMAIL: &str = "select email from users where id = $1 and deleted_at is null and is_active";

/// The address of a user who can become a member.
pub(super) async fn user_email(db: &impl Sql, user: rowhouse_domain::UserId) -> Result<Option<String>> {
    let row = db.query_opt(USER_EMAIL, &[&user]).await.context("reading a user")?;
    row.map(|row| row.column("email")).transpose()
}

const COUNT: &str = "select count(*) as count from org_members where organization_id = $1";

/// How many members there are, invited ones included.
pub(super) async fn count(db: &impl Sql, organization: OrganizationId) -> Result<i64> {
    db.query_one(COUNT, &[&organization]).await.context("counting members")?.column("count")
}

const FIND: &str = concat!("select ", columns!(), " from org_members where organization_id = $1 and id = $2");

/// One member of an organization.
pub(super) async fn find(db: &impl Sql, organization: OrganizationId, id: MemberId) -> Result<Option<Member>> {
    let row = db.query_opt(FIND, &[&organization, &id]).await.context("reading a member")?;
    row.as_ref().map(from_row).transpose()
}

const OWNERS: &str =
    concat!("select ", columns!(), " from org_members where organization_id = $1 and role = 'owner' and id <> $2");

/// The owners besides one member.
pub(super) async fn other_owners(db: &impl Sql, organization: OrganizationId, id: MemberId) -> Result<Vec<Member>> {
    let rows = db.query(OWNERS, &[&organization, &id]).await.context("reading owners")?;
    rows.iter().map(from_row).collect()
}

const LIST: &str = concat!(
    "select ",
    columns!(),
    " from org_members
    where organization_id = $1 and ($2::uuid is null or id > $2)
        and ($3::member_role is null or role = $3) and ($4::member_status is null or status = $4)
        and ($5::text is null or lower(email) = lower($5))
    order by id limit $6"
);

/// Which members are wanted.
pub(super) struct Filter {
    pub(super) after: Option<MemberId>,
    pub(super) role: Option<MemberRole>,
    pub(super) status: Option<MemberStatus>,
    pub(super) email: Option<String>,
}

/// Members in the order of their making.
pub(super) async fn list(
    db: &impl Sql,
    organization: OrganizationId,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Member>> {
    let rows = db
        .query(LIST, &[&organization, &filter.after, &filter.role, &filter.status, &filter.email, &limit])
        .await
        .context("listing members")?;
    rows.iter().map(from_row).collect()
}

const UPDATE: &str = concat!(
    "update org_members set name = $2, role = $3, status = $4, permissions = $5, joined_at = $6 where id = $1 returning ",
    columns!()
);

/// Writes the fields that can be changed.
pub(super) async fn update(tx: &impl Sql, next: &Member) -> Result<Member> {
    let row = tx
        .query_one(UPDATE, &[&next.id, &next.name, &next.role, &next.status, &next.permissions, &next.joined_at])
        .await
        .context("updating a member")?;
    from_row(&row)
}

const DELETE: &str = "delete from org_members where id = $1";

/// Removes a member.
pub(super) async fn delete(tx: &impl Sql, id: MemberId) -> Result<()> {
    tx.execute(DELETE, &[&id]).await.context("removing a member").map(drop)
}

fn from_row(row: &Row) -> Result<Member> {
    Ok(Member {
        id: row.column("id")?,
        organization_id: row.column("organization_id")?,
        user_id: row.column("user_id")?,
        email: row.column("email")?,
        name: row.column("name")?,
        role: row.column("role")?,
        status: row.column("status")?,
        permissions: row.column("permissions")?,
        invited_at: row.column("invited_at")?,
        accepted_at: row.column("accepted_at")?,
        joined_at: row.column("joined_at")?,
        created_at: row.column("created_at")?,
        updated_at: row.column("updated_at")?,
    })
}
