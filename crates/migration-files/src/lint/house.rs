//! Our own rules.

use rowhouse_migrations::{Kind, Set, UndoKind};
use squawk_syntax::ast::{self, AstNode};

use super::{Finding, Role, Source, facts};

pub(super) fn findings(source: &Source<'_>) -> Vec<Finding> {
    let mut found = syntax(source);
    found.extend(foreign_ignores(source));
    match &source.role {
        Role::Forward { kind, has_undo } => {
            if !has_undo {
                let message = "There is no undo file.".to_owned();
                let safe_way = "Write `undo/<n>__<name>.sql`; where there is no way back, let it say \
                                `-- rowhouse: irreversible <reason>`.";
                found.push(source.finding(0, "missing-undo", message, safe_way));
            }
            found.extend(missing_why(source));
            if source.set == Set::Tenant {
                found.extend(tenant_tables(source));
                found.extend(tables_from_queries(source));
                found.extend(policies_taken_away(source));
            }
            match kind {
                Kind::Transactional => found.extend(concurrent_in_transaction(source)),
                Kind::NoTransaction => {
                    found.extend(one_statement(source));
                    found.extend(repeatable(source));
                }
                Kind::Backfill(_) => {
                    found.extend(concurrent_in_transaction(source));
                    found.extend(one_statement(source));
                    found.extend(batch_unused(source));
                }
            }
        }
        Role::Undo(UndoKind::NoTransaction) => {
            found.extend(one_statement(source));
            found.extend(repeatable(source));
        }
        Role::Undo(UndoKind::Transactional) => found.extend(concurrent_in_transaction(source)),
        Role::Undo(UndoKind::Irreversible(_)) => {}
    }
    found
}

fn syntax(source: &Source<'_>) -> Vec<Finding> {
    let errors = source.tree.errors();
    errors
        .iter()
        .map(|error| {
            let message = format!("It can't be parsed: {}", error.message());
            let safe_way = "Correct it. If PostgreSQL takes it all the same, allow the rule and say so.";
            source.finding(error.range().start().into(), "syntax", message, safe_way)
        })
        .collect()
}

/// squawk's own comments would silence its rules without a reason.
fn foreign_ignores(source: &Source<'_>) -> Option<Finding> {
    let offset = source.sql.find("squawk-ignore")?;
    let safe_way = "Write `-- rowhouse: allow <rule> <reason>`.";
    Some(source.finding(offset, "squawk-ignore", "squawk is told to look away.".to_owned(), safe_way))
}

fn missing_why(source: &Source<'_>) -> Option<Finding> {
    let has = |heading: &str| {
        source.sql.lines().any(|line| line.strip_prefix(heading).is_some_and(|text| !text.trim().is_empty()))
    };
    let missing = ["-- Why:", "-- Locks:"].into_iter().find(|heading| !has(heading))?;
    let message = format!("It does not say `{missing}`.");
    let safe_way = "Say why it is there, which locks it takes for how long, and whether earlier releases work with it.";
    Some(source.finding(0, "missing-why", message, safe_way))
}

/// Every row names its tenant, and the database sees to it.
fn tenant_tables(source: &Source<'_>) -> Vec<Finding> {
    let file = source.tree.tree();
    let (secured, with_policy) = (facts::with_row_security(&file), facts::with_policy(&file));
    let mut found = Vec::new();
    for table in facts::new_tables(&file) {
        if table.first_of_key.as_deref() != Some("tenant_id") {
            let message = format!("The primary key of `{}` does not begin with `tenant_id`.", table.name);
            let safe_way =
                "Begin it with `tenant_id uuid not null default app_tenant_id()`, and every foreign key too.";
            found.push(source.finding(table.offset, "tenant-id-first", message, safe_way));
        }
        if !secured.contains(&table.name) || !with_policy.contains(&table.name) {
            let message = format!("`{}` has no policy, or its row-level security is not enabled.", table.name);
            let safe_way = "`alter table … enable row level security` and `create policy tenant_isolation on …` in the same \
                            file, as its neighbours have them.";
            found.push(source.finding(table.offset, "missing-policy", message, safe_way));
        }
    }
    found
}

/// Such a table has neither a key nor a policy, and the other rules can't see what is in it.
fn tables_from_queries(source: &Source<'_>) -> Vec<Finding> {
    let offsets = facts::tables_from_queries(&source.tree.tree());
    let finding = |offset| {
        let message = "A table is made of a query, without a key and a policy.".to_owned();
        let safe_way = "Make it by `create table`, with its key and policy, and fill it by a backfill.";
        source.finding(offset, "table-from-query", message, safe_way)
    };
    offsets.into_iter().map(finding).collect()
}

/// What keeps tenants apart may be replaced, and not only taken away.
fn policies_taken_away(source: &Source<'_>) -> Vec<Finding> {
    let file = source.tree.tree();
    let made_again = facts::with_policy(&file);
    let dropped = facts::without_policy(&file).into_iter().filter(|(table, _)| !made_again.contains(table));
    let finding = |(table, offset): (String, usize)| {
        let message = format!("`{table}` loses a policy, or its row-level security.");
        let safe_way =
            "Make the policy that takes its place in the same file. A table that is to go is dropped instead.";
        source.finding(offset, "policy-taken-away", message, safe_way)
    };
    dropped.chain(facts::without_row_security(&file)).map(finding).collect()
}

fn one_statement(source: &Source<'_>) -> Option<Finding> {
    let statements: Vec<ast::Stmt> = source.tree.tree().stmts().collect();
    let offset = statements.get(1).map_or(0, |second| facts::offset_of(second.syntax()));
    let message = format!("There are {} statements.", statements.len());
    let safe_way = "Outside a transaction and in a backfill there is one; the others get files of their own.";
    (statements.len() != 1).then(|| source.finding(offset, "one-statement", message, safe_way))
}

/// PostgreSQL refuses it. squawk says so too, though not of a file with a single statement.
fn concurrent_in_transaction(source: &Source<'_>) -> Option<Finding> {
    let is_concurrent = |statement: &ast::Stmt| {
        matches!(statement, ast::Stmt::CreateIndex(index) if index.concurrently_token().is_some())
            || matches!(statement, ast::Stmt::DropIndex(index) if index.concurrently_token().is_some())
    };
    let statement = source.tree.tree().stmts().find(is_concurrent)?;
    let message = "PostgreSQL refuses `concurrently` in a transaction.".to_owned();
    let safe_way = "Put it alone into a file that begins with `-- rowhouse: no-transaction`.";
    Some(source.finding(facts::offset_of(statement.syntax()), "concurrent-in-transaction", message, safe_way))
}

/// A runner may die behind the statement and before its row.
fn repeatable(source: &Source<'_>) -> Option<Finding> {
    let statement = source.tree.tree().stmts().next()?;
    let words = statement.syntax().text().to_string().to_lowercase();
    let makes_or_drops =
        ["create", "drop"].iter().any(|verb| words.trim_start().starts_with(verb)) || words.contains("add value");
    let is_repeatable = words.contains("if not exists") || words.contains("if exists");
    (makes_or_drops && !is_repeatable).then(|| {
        let message = "It can't run again after a crash.".to_owned();
        let safe_way =
            "Say `if not exists` or `if exists`; an invalid index of an earlier try is dropped by the runner.";
        source.finding(facts::offset_of(statement.syntax()), "repeatable", message, safe_way)
    })
}

fn batch_unused(source: &Source<'_>) -> Option<Finding> {
    let statement = source.tree.tree().stmts().next()?;
    let text = statement.syntax().text().to_string();
    let names_batch = text
        .split(|letter: char| !(letter.is_alphanumeric() || letter == '_'))
        .any(|word| word.eq_ignore_ascii_case("batch"));
    (!names_batch).then(|| {
        let message = "The statement does not look at `batch`, so each batch changes everything.".to_owned();
        let safe_way = "Add `where (tenant_id, id) in (select tenant_id, id from batch)`.";
        source.finding(facts::offset_of(statement.syntax()), "batch-unused", message, safe_way)
    })
}
