//! Which of the two sets a command is about, and what it takes then.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, ValueEnum};
use rowhouse_migrations::Set;

use super::platform::Place;
use crate::remote::Connection;

/// What means something for the schema of `saas_platform`, which is one and is reached without a control plane.
const OF_PLATFORM: [&str; 8] =
    ["set", "settings", "json", "to", "undo", "repair_plan", "lock_timeout", "statement_timeout"];
/// What means something for no other.
const OF_PLATFORM_ALONE: [&str; 1] = ["settings"];

/// Which of the two sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SetName {
    /// Of the main database, `saas_platform`.
    Platform,
    /// Of every tenant's database or schema.
    Tenant,
}

impl From<SetName> for Set {
    fn from(name: SetName) -> Self {
        match name {
            SetName::Platform => Self::Platform,
            SetName::Tenant => Self::Tenant,
        }
    }
}

/// Which schemas a command is about: those of all tenants, by a control plane, or that of `saas_platform` itself, which needs
/// none to be up.
#[derive(clap::Args)]
pub(super) struct Which {
    /// Whose schema: that of saas_platform itself, or those of all tenants
    #[arg(default_value = "tenant")]
    pub(super) set: SetName,
    /// With `platform`, in place of --url and --key: the control plane's settings, a TOML file; `ROWHOUSE__SECTION__KEY` in the
    /// environment wins over it
    #[arg(long, value_name = "FILE")]
    pub(super) settings: Option<PathBuf>,
}

impl Which {
    /// How to reach `saas_platform`, where it is about that.
    pub(super) fn platform(&self, connection: &Connection) -> Option<Place<'_>> {
        let place = Place { settings: self.settings.as_deref(), json: connection.json };
        (self.set == SetName::Platform).then_some(place)
    }
}

/// Ends the program where a command line has an option that means nothing for the set that it names.
pub(crate) fn refuse_foreign_options(program: &Command, matches: &ArgMatches) {
    let Some(("migrate", migrate)) = matches.subcommand() else { return };
    let Some((name, given)) = migrate.subcommand() else { return };
    let Some(command) = program.find_subcommand("migrate").and_then(|command| command.find_subcommand(name)) else {
        return;
    };
    // Those of `create` and `lint` say themselves what they are for.
    if !command.get_arguments().any(|argument| argument.get_id() == "set" && argument.is_positional())
        || ["create", "lint"].contains(&name)
    {
        return;
    }
    let is_platform = given.get_one::<SetName>("set") == Some(&SetName::Platform);
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        let is_given = given.ids().any(|one| one == id) && given.value_source(id) == Some(ValueSource::CommandLine);
        let is_foreign = if is_platform { !OF_PLATFORM.contains(&id) } else { OF_PLATFORM_ALONE.contains(&id) };
        if is_given && is_foreign {
            let set = if is_platform { "platform" } else { "tenant" };
            let option = argument.get_long().unwrap_or(id);
            let said = format!("`--{option}` means nothing for `rowhouse migrate {name} {set}`");
            program.clone().error(ErrorKind::ArgumentConflict, said).exit();
        }
    }
}
