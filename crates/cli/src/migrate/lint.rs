//! `rowhouse migrate lint`: what in the files would hurt, and the safe way.

use anyhow::{Result, bail};
use rowhouse_migration_files::{Finding, folder, lint};
use rowhouse_migrations::{Migrations, Set};

use super::{Root, SetName};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Only this set.
    set: Option<SetName>,
    /// Print a JSON array of findings.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    root: Root,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let sets = arguments.set.map_or_else(|| vec![Set::Platform, Set::Tenant], |set| vec![set.into()]);
    let mut findings = Vec::new();
    for set in sets {
        findings.extend(lint(&Migrations::read(set, &folder(&arguments.root.root, set))?));
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        findings.iter().for_each(print);
    }
    match findings.len() {
        0 => Ok(()),
        1 => bail!("1 finding"),
        many => bail!("{many} findings"),
    }
}

fn print(finding: &Finding) {
    let Finding { set, file, line, rule, message, safe_way, .. } = finding;
    println!("{set}-migrations/{file}:{line}: {message} [{rule}]\n    {safe_way}");
}
