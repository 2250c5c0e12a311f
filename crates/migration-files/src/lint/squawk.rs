//! squawk's rules, those that fit, with our safe ways.

use std::collections::HashSet;

use squawk_linter::{Linter, LinterSettings, Rule};

use super::{Finding, Role, Source};
use rowhouse_migrations::{Kind, UndoKind};

const NEW_COLUMN: &str = "Add a new column that may be null, fill it by a backfill, read it in the next release, and drop the old \
                          one in the one after.";
const TWO_STEPS: &str =
    "Add it with `not valid` in one migration; `validate constraint` in the next, which lets others write.";
const CONTRACT: &str =
    "Drop it one release after the last one that used it, and say so: `-- rowhouse: allow <rule> <since when>`.";

const DROP_INDEX: &str = "Put `drop index concurrently if exists` alone into a file that begins with \
                          `-- rowhouse: no-transaction`.";

/// What a migration may not do, and what to do instead. Left out is what does not fit: limits are set by the runner, and what
/// runs in a transaction need not be repeatable.
const FORWARD: [(Rule, &str); 22] = [
    (Rule::AddingFieldWithDefault, "Add the column without it, set the default, then fill old rows by a backfill."),
    (Rule::AddingForeignKeyConstraint, TWO_STEPS),
    (
        Rule::AddingNotNullableField,
        "Add `check (… is not null) not valid`, validate it in the next migration, then set not null.",
    ),
    (Rule::AddingRequiredField, "Add it with a constant default, or let it be null and fill it by a backfill."),
    (Rule::AddingSerialPrimaryKeyField, "Make a unique index concurrently, then add the key `using index`."),
    (
        Rule::BanAlterDomainWithAddConstraint,
        "Use a check constraint on each column; a domain's is checked in every table.",
    ),
    (Rule::BanCharField, "Use text with a check constraint."),
    (Rule::BanCreateDomainWithConstraint, "Use a check constraint on each column."),
    (Rule::BanDropColumn, CONTRACT),
    (Rule::BanDropDatabase, "Purging a tenant is how its database goes."),
    (Rule::BanDropNotNull, "See that every release that is served can read nulls there, and say so."),
    (Rule::BanDropTable, CONTRACT),
    (Rule::BanTruncateCascade, "Name each table, or delete by a backfill."),
    (Rule::ChangingColumnType, NEW_COLUMN),
    (Rule::ConstraintMissingNotValid, TWO_STEPS),
    (Rule::DisallowedUniqueConstraint, "Make a unique index concurrently, then add the constraint `using index`."),
    (Rule::PreferTimestampTz, "Use timestamptz."),
    (Rule::RenamingColumn, NEW_COLUMN),
    (Rule::RenamingTable, "Make a view of the new name, or a new table, and drop the old one a release later."),
    (
        Rule::RequireConcurrentIndexCreation,
        "Put `create index concurrently if not exists` alone into a file that begins with \
        `-- rowhouse: no-transaction`.",
    ),
    (Rule::RequireConcurrentIndexDeletion, DROP_INDEX),
    (Rule::TransactionNesting, "Leave it out: the runner begins and commits, and the history's row with it."),
];

/// Taking back is destroying; how long it keeps others waiting matters all the same.
const UNDO: [(Rule, &str); 4] = [
    (Rule::BanDropDatabase, "Purging a tenant is how its database goes."),
    (Rule::BanTruncateCascade, "Name each table."),
    (Rule::RequireConcurrentIndexDeletion, DROP_INDEX),
    (Rule::TransactionNesting, "Leave it out: the runner begins and commits, and the history's row with it."),
];

pub(super) fn findings(source: &Source<'_>) -> Vec<Finding> {
    let (rules, in_transaction): (&[(Rule, &str)], bool) = match &source.role {
        Role::Forward { kind, .. } => (&FORWARD, !matches!(kind, Kind::NoTransaction)),
        Role::Undo(kind) => (&UNDO, !matches!(kind, UndoKind::NoTransaction)),
    };
    let mut linter = Linter::from(rules.iter().map(|(rule, _)| *rule).collect::<HashSet<_>>());
    linter.settings = LinterSettings { assume_in_transaction: in_transaction, ..LinterSettings::default() };
    linter
        .lint(&source.tree, source.sql)
        .into_iter()
        .map(|violation| {
            let ours = rules.iter().find(|(rule, _)| *rule == violation.code).map(|(_, safe_way)| *safe_way);
            let safe_way = ours.or(violation.help.as_deref()).unwrap_or_default();
            let offset = usize::from(violation.text_range.start());
            source.finding(offset, &violation.code.to_string(), violation.message.clone(), safe_way)
        })
        .collect()
}
