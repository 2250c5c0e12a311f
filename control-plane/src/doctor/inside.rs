//! What is inside a tenant's database or schema.

use rowhouse_database::{AdminConnection, Columns, Described, quote_ident};
use rowhouse_domain::{FileId, Isolation, TenantId};
use rowhouse_migrations::{Entry, Fingerprint, Migrations, applied_entry, difference};
use rowhouse_problem::Result;
use tokio_postgres::Row;

use super::finding::{Finding, Repair};
use super::storage;
use super::store::{Recorded, RecordedGroup};
use crate::clusters::ClusterLink;
use crate::context::Context;
use crate::tenants::provision::PUBLIC;

const LOOK: &str = "
    select to_regnamespace(quote_ident($1)) is not null as has_schema,
        to_regclass(quote_ident($1) || '.tenant_identity') is not null
            and to_regclass(quote_ident($1) || '.refinery_schema_history') is not null as has_tables,
        coalesce((select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = $1::text::name), '') as mark,
        coalesce((select pg_get_userbyid(nspowner) from pg_namespace where nspname = $1::text::name), '')::text as owner,
        coalesce((
            select bool_or(grants.grantee = 0)
            from pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) grants
            where nspname = $1::text::name), false) as is_public,
        array(
            select distinct pg_get_userbyid(grants.grantee)::text
            from pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) grants
            where nspname = $1::text::name and grants.grantee not in (0, nspowner)) as guests,
        array(
            select relname::text from pg_class
            join pg_attribute on attrelid = pg_class.oid and attname = 'tenant_id' and not attisdropped
            where relnamespace = to_regnamespace(quote_ident($1)) and relkind in ('r', 'p') and not relispartition
                and (not relrowsecurity or not exists (select from pg_policy where polrelid = pg_class.oid))
            order by 1) as without_policy,
        array(
            select relname::text from pg_class
            where relnamespace = to_regnamespace(quote_ident($1)) and relkind in ('r', 'p', 'v', 'm', 'S')
                and pg_get_userbyid(relowner) <> 'rowhouse_owner' order by 1) as not_owned,
        array(
            select relname::text from pg_class, aclexplode(relacl) grants
            where relnamespace = to_regnamespace(quote_ident($1)) and grants.grantee = 0
            group by relname order by relname) as public_tables";

/// Looks into one tenant's database or schema.
pub(super) async fn look(context: &Context, link: &ClusterLink, tenant: &Recorded) -> Result<Vec<Finding>> {
    let inside = link.open(context, &tenant.database).await?;
    inside.run("set role rowhouse_owner").await.context("becoming the owner")?;
    let rows = inside.query(LOOK, &[&tenant.schema]).await.context("looking into a tenant's database")?;
    let Some(row) = rows.first() else { return Ok(Vec::new()) };
    let mut findings = Vec::new();
    let subject = tenant.id.to_string();
    let finding = |check: &str, detail: String| Finding::new(check, Some(&link.name), &subject, detail);
    let repair = |sql: String| Repair::Inside { database: tenant.database.clone(), sql };
    let schema = quote_ident(&tenant.schema);
    if !row.column::<bool>("has_schema")? || !row.column::<bool>("has_tables")? {
        let detail = format!("Its schema {} or tables in it are missing. Restore it from a backup.", tenant.schema);
        return Ok(vec![finding("schema.missing", detail)]);
    }
    if row.column::<String>("owner")? != "rowhouse_owner" {
        findings.push(finding("schema.owner", format!("The schema {} is not rowhouse_owner's.", tenant.schema)));
    }
    if row.column::<bool>("is_public")? {
        let sql = format!("revoke all on schema {schema} from public");
        let finding = finding("schema.public", "Every login that can connect may look into its schema.".to_owned());
        findings.push(finding.fixed_by("revoke what PUBLIC has", repair(sql)));
    }
    let guests: Vec<String> = row.column("guests")?;
    for guest in guests.iter().filter(|guest| **guest != tenant.role) {
        let sql = format!("revoke all on schema {schema} from {}", quote_ident(guest));
        let finding = finding("schema.guest", format!("The role {guest} has rights on its schema."));
        findings.push(finding.fixed_by("revoke them", repair(sql)));
    }
    if !guests.contains(&tenant.role) {
        let sql = format!("grant usage on schema {schema} to {}", quote_ident(&tenant.role));
        let finding = finding("schema.grant", "Its login may not use its schema.".to_owned());
        findings.push(finding.fixed_by("grant USAGE", repair(sql)));
    }
    for (column, check, what) in [
        ("without_policy", "table.policy", "without row-level security or a policy"),
        ("not_owned", "table.owner", "that are not rowhouse_owner's"),
    ] {
        let tables: Vec<String> = row.column(column)?;
        if !tables.is_empty() {
            let detail = format!("It has tables {what}: {}. Compare it with the template.", tables.join(", "));
            findings.push(finding(check, detail));
        }
    }
    let public: Vec<String> = row.column("public_tables")?;
    if !public.is_empty() {
        let tables: Vec<String> = public.iter().map(|table| format!("{schema}.{}", quote_ident(table))).collect();
        let sql = format!("revoke all on {} from public", tables.join(", "));
        let finding = finding("table.public", format!("PUBLIC has rights on {}.", public.join(", ")));
        findings.push(finding.fixed_by("revoke them", repair(sql)));
    }
    identity(&inside, tenant, &finding, &mut findings).await?;
    version(context, &inside, tenant, &finding, &mut findings).await?;
    // Of a schema that is not whole nobody knows whether it can be counted in.
    if findings.is_empty() {
        findings.extend(storage::look(context, &inside, &link.name, tenant).await?);
    }
    contents(&inside, tenant, &finding, &mut findings).await?;
    strays(&inside, tenant, &finding, &mut findings).await?;
    Ok(findings)
}

/// Objects that the data plane has found no row for.
async fn strays(
    inside: &AdminConnection,
    tenant: &Recorded,
    finding: &(impl Fn(&str, String) -> Finding + Sync),
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let of_it = format!("{}.upload_intents where tenant_id = $1 and state = 'stray'", quote_ident(&tenant.schema));
    let sql = format!("select count(*) as objects, min(object_key) as one from {of_it}");
    for row in inside.query(&sql, &[&tenant.id]).await.context("counting objects without a row")? {
        let (count, one): (i64, Option<String>) = (row.column("objects")?, row.column("one")?);
        let Some(one) = one else { continue };
        let detail = format!("{count} objects in the store are named by no row, {one} for one.");
        // What removes them looks for their rows once more.
        let sql = format!(
            "update {}.upload_intents set state = 'abandoned', expires_at = now()
             where tenant_id = '{}' and state = 'stray'",
            quote_ident(&tenant.schema),
            tenant.id.as_uuid()
        );
        let repair = Repair::Inside { database: tenant.database.clone(), sql };
        findings.push(finding("contents.stray", detail).fixed_by("have them removed within a day", repair));
    }
    Ok(())
}

/// Contents that the data plane has read again and not found as they were stored.
async fn contents(
    inside: &AdminConnection,
    tenant: &Recorded,
    finding: &(impl Fn(&str, String) -> Finding + Sync),
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let schema = quote_ident(&tenant.schema);
    let sql = format!(
        "select damage, count(*) as contents, coalesce((array_agg(file_id))[1:3], '{{}}') as files
        from (
            select blob.damage, blob.id,
                (select version.file_id from {schema}.file_versions version
                 where version.tenant_id = blob.tenant_id and version.blob_id = blob.id limit 1) as file_id
            from {schema}.blobs blob where blob.tenant_id = $1 and blob.damage is not null and blob.state = 'ready'
        ) damaged
        group by damage order by damage"
    );
    for row in inside.query(&sql, &[&tenant.id]).await.context("looking for damaged contents")? {
        let (damage, count): (String, i64) = (row.column("damage")?, row.column("contents")?);
        let files: Vec<Option<FileId>> = row.column("files")?;
        let files: Vec<String> = files.iter().flatten().map(ToString::to_string).collect();
        let detail = format!(
            "{count} of its contents are {damage}, of {} for one. Restore the objects from a backup, or upload the same bytes again.",
            if files.is_empty() { "no file".to_owned() } else { files.join(", ") },
        );
        findings.push(finding(&format!("contents.{damage}"), detail));
    }
    Ok(())
}

async fn identity(
    inside: &AdminConnection,
    tenant: &Recorded,
    finding: &(impl Fn(&str, String) -> Finding + Sync),
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let sql = format!(
        "select coalesce(array_agg(tenant_id) filter (where tenant_id <> $1), '{{}}') as others,
            coalesce(bool_or(tenant_id = $1), false) as is_there
        from {}.tenant_identity",
        quote_ident(&tenant.schema)
    );
    let rows = inside.query(&sql, &[&tenant.id]).await.context("reading an identity")?;
    let Some(row) = rows.first() else { return Ok(()) };
    if !row.column::<bool>("is_there")? {
        let others: Vec<TenantId> = row.column("others")?;
        let what = if others.is_empty() {
            "It does not say whose data it is."
        } else {
            "It says that it is another tenant's."
        };
        findings.push(finding("identity.missing", format!("{what} Look into it before anything else.")));
    } else if tenant.isolation != Isolation::Shared && !row.column::<Vec<TenantId>>("others")?.is_empty() {
        findings.push(finding("identity.others", "It says that it is another tenant's, too.".to_owned()));
    }
    Ok(())
}

/// Looks at the schema that the tenants of a database share, which is there also while it has none.
pub(super) async fn look_at_shared(
    context: &Context,
    link: &ClusterLink,
    group: &RecordedGroup,
) -> Result<Vec<Finding>> {
    let inside = link.open(context, &group.database).await?;
    inside.run("set role rowhouse_owner").await.context("becoming the owner")?;
    let applied = Applied::read(&inside, PUBLIC).await?;
    let finding = |check: &str, detail: String| Finding::new(check, Some(&link.name), &group.database, detail);
    let mut findings: Vec<Finding> =
        applied.damage(&context.tenant_migrations).map(|detail| finding("group.history", detail)).into_iter().collect();
    if applied.version != group.schema_version {
        let detail = format!("Its row says version {}, its schema has {}.", group.schema_version, applied.version);
        let repair = Repair::GroupVersion { group: group.id, version: applied.version };
        let how = "write the schema's version into its row and its tenants'";
        findings.push(finding("group.version", detail).fixed_by(how, repair));
    }
    Ok(findings)
}

/// What a schema has by its own history.
struct Applied {
    version: i32,
    /// With their versions.
    history: Vec<(i32, Entry)>,
}

impl Applied {
    async fn read(inside: &AdminConnection, schema: &str) -> Result<Self> {
        let sql = format!(
            "select version, coalesce(name, '') as name, coalesce(checksum, '') as checksum
            from {}.refinery_schema_history order by version",
            quote_ident(schema)
        );
        let rows = inside.query(&sql, &[]).await.context("reading a schema's history")?;
        let read = |row: &Row| -> Result<(i32, Entry)> {
            let (version, name, checksum): (i32, String, String) =
                (row.column("version")?, row.column("name")?, row.column("checksum")?);
            Ok((version, applied_entry(&version.to_string(), &name, &checksum)))
        };
        let history: Vec<(i32, Entry)> = rows.iter().map(read).collect::<Result<_>>()?;
        Ok(Self { version: history.last().map_or(0, |(version, _)| *version), history })
    }

    /// In what it differs from what this release's migrations leave. Of what a newer one has applied nothing is known here.
    fn damage(&self, migrations: &Migrations) -> Option<String> {
        let version = u32::try_from(self.version).unwrap_or_default();
        let latest = i32::try_from(migrations.latest()).unwrap_or(i32::MAX);
        let known = self.history.iter().filter(|(version, _)| *version <= latest);
        let found = Fingerprint::of(known.map(|(_, entry)| entry.clone()).collect());
        let differences = difference(&Fingerprint::of(migrations.history(version)), &found);
        let said: Vec<String> = differences.iter().map(ToString::to_string).collect();
        (!said.is_empty()).then(|| {
            format!("Its history of migrations is not what they leave, and runs refuse it: {}.", said.join("; "))
        })
    }
}

async fn version(
    context: &Context,
    inside: &AdminConnection,
    tenant: &Recorded,
    finding: &(impl Fn(&str, String) -> Finding + Sync),
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let applied = Applied::read(inside, &tenant.schema).await?;
    findings.extend(applied.damage(&context.tenant_migrations).map(|detail| finding("schema.history", detail)));
    if applied.version != tenant.schema_version {
        let detail = format!("Its row says version {}, its schema has {}.", tenant.schema_version, applied.version);
        let repair = Repair::SchemaVersion { tenant: tenant.id, version: applied.version };
        findings.push(finding("schema.version", detail).fixed_by("write the schema's version into the row", repair));
    }
    Ok(())
}
