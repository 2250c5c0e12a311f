//! Drafts a migration from a database that somebody has changed by hand.

use std::path::Path;

use anyhow::{Result, bail};
use rowhouse_database::{AdminConnection, Columns, Described, platform_schema, quote_ident};
use rowhouse_migration_files::{Drawn, draft, folder};
use rowhouse_migrations::{Migrations, Options, Set, fingerprint, functions, unobserved};

use super::server::{EMPTY, Server, said};

/// The statements that make the newest schema into that of `database`, and those that take it back.
pub(super) async fn drafted(
    root: &Path,
    settings: Option<&Path>,
    set: Set,
    [database, schema]: [&str; 2],
) -> Result<(String, String)> {
    let migrations = Migrations::read(set, &folder(root, set))?;
    let server = Server::of(settings)?;
    let found = draw(&mut server.open(database, &path(set, schema)).await?, schema).await?;
    let admin = server.open(&server.platform, &["public"]).await?;
    let template = match set {
        Set::Platform => EMPTY.to_owned(),
        Set::Tenant => newest(&admin, &migrations).await?,
    };
    let scratch = server.scratch(&admin, "draft", &template).await?;
    let expected = async {
        let mut inside = server.open(&scratch.name, &path(set, "public")).await?;
        if set == Set::Platform {
            inside.run(platform_schema()).await.context("preparing a database to compare with").map_err(said)?;
        }
        // What the template lacks of these files; and a refusal where it was made of others.
        rowhouse_migrations::run(inside.client(), &migrations, &Options::default(), &unobserved).await?;
        draw(&mut inside, "public").await
    };
    let expected = expected.await;
    scratch.drop(&admin).await?;
    let expected = expected?;
    let forward = draft(&expected, &found);
    if forward.is_empty() {
        bail!("{database} is as V{} leaves it: there is nothing to draft", migrations.latest());
    }
    Ok((forward, draft(&found, &expected)))
}

/// Where its migrations look for things.
fn path(set: Set, schema: &str) -> Vec<&str> {
    match set {
        Set::Platform => vec![schema],
        Set::Tenant => vec![schema, "extensions"],
    }
}

async fn draw(connection: &mut AdminConnection, schema: &str) -> Result<Drawn> {
    let client = connection.client();
    Ok(Drawn { fingerprint: fingerprint(client, schema).await?, functions: functions(client, schema).await? })
}

const TEMPLATES: &str = "
    select datname::text as name from pg_database
    where datname::text ~ '^template_v[0-9]{1,6}$' and substring(datname::text from 11)::integer <= $1
    order by substring(datname::text from 11)::integer desc limit 1";

/// The newest template that these migrations may have made.
async fn newest(admin: &AdminConnection, migrations: &Migrations) -> Result<String> {
    let latest = i32::try_from(migrations.latest())?;
    let rows = admin.query(TEMPLATES, &[&latest]).await.context("looking for a template").map_err(said)?;
    let Some(row) = rows.first() else {
        bail!("there is no template on this server: a control plane makes one with its first tenant");
    };
    let template: String = row.column("name").map_err(said)?;
    Ok(quote_ident(&template))
}
