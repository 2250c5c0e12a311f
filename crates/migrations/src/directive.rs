//! What a file of migrations says to the runner, in comments that begin with `-- rowhouse:`.

use std::time::Duration;

const MARK: &str = "-- rowhouse:";

/// How a migration is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// In one transaction with its row of the history: all of it or nothing.
    Transactional,
    /// One statement outside a transaction, because PostgreSQL insists (`create index concurrently`).
    NoTransaction,
    /// One statement, again and again for the next keys of a table, each time in a transaction of its own.
    Backfill(Backfill),
}

/// What a backfill walks through, and how fast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backfill {
    /// The table whose primary key is followed.
    pub table: String,
    /// How many of its rows a transaction takes on.
    pub batch: u32,
    /// How long to rest between two transactions.
    pub pause: Duration,
}

/// How a migration is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UndoKind {
    /// In one transaction with its row of the history.
    Transactional,
    /// One statement outside a transaction.
    NoTransaction,
    /// Not at all, for this reason.
    Irreversible(String),
}

/// A rule of the linter that a file breaks knowingly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// The rule's name.
    pub rule: String,
    /// Why it is broken here.
    pub reason: String,
}

/// Why a directive is not understood: the line, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {detail}")]
pub struct InvalidDirective {
    /// Counted from one.
    pub line: usize,
    /// What is wrong.
    pub detail: String,
}

/// Reads a migration's directives: its kind, which only the first line can say, and what it allows itself.
pub(crate) fn of_migration(sql: &str) -> Result<(Kind, Vec<Allowance>), InvalidDirective> {
    let mut kind = Kind::Transactional;
    let mut allowances = Vec::new();
    for Directive { line, word, rest } in directives(sql) {
        let invalid = |detail: String| InvalidDirective { line, detail };
        match word {
            "allow" => allowances.push(allowance(rest).map_err(invalid)?),
            "no-transaction" | "backfill" if line != 1 => {
                return Err(invalid(format!("`{word}` must be in the first line")));
            }
            "no-transaction" if rest.is_empty() => kind = Kind::NoTransaction,
            "no-transaction" => return Err(invalid(format!("`no-transaction` takes nothing, found `{rest}`"))),
            "backfill" => kind = Kind::Backfill(backfill(rest).map_err(invalid)?),
            unknown => return Err(invalid(format!("unknown directive `{unknown}`"))),
        }
    }
    Ok((kind, allowances))
}

/// Reads the directives of an undo file.
pub(crate) fn of_undo(sql: &str) -> Result<(UndoKind, Vec<Allowance>), InvalidDirective> {
    let mut kind = UndoKind::Transactional;
    let mut allowances = Vec::new();
    for Directive { line, word, rest } in directives(sql) {
        let invalid = |detail: String| InvalidDirective { line, detail };
        match word {
            "allow" => allowances.push(allowance(rest).map_err(invalid)?),
            "no-transaction" | "irreversible" if line != 1 => {
                return Err(invalid(format!("`{word}` must be in the first line")));
            }
            "no-transaction" if rest.is_empty() => kind = UndoKind::NoTransaction,
            "no-transaction" => return Err(invalid(format!("`no-transaction` takes nothing, found `{rest}`"))),
            "irreversible" if rest.is_empty() => return Err(invalid("`irreversible` needs a reason".to_owned())),
            "irreversible" => kind = UndoKind::Irreversible(rest.to_owned()),
            unknown => return Err(invalid(format!("unknown directive `{unknown}`"))),
        }
    }
    Ok((kind, allowances))
}

struct Directive<'a> {
    line: usize,
    word: &'a str,
    rest: &'a str,
}

fn directives(sql: &str) -> impl Iterator<Item = Directive<'_>> {
    sql.lines().enumerate().filter_map(|(index, line)| {
        let text = line.trim().strip_prefix(MARK)?.trim();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        Some(Directive { line: index + 1, word, rest: rest.trim() })
    })
}

fn allowance(rest: &str) -> Result<Allowance, String> {
    match rest.split_once(char::is_whitespace) {
        Some((rule, reason)) => Ok(Allowance { rule: rule.to_owned(), reason: reason.trim().to_owned() }),
        None => Err("`allow` needs a rule and a reason".to_owned()),
    }
}

fn backfill(rest: &str) -> Result<Backfill, String> {
    const MOST_ROWS: u32 = 100_000;
    let (mut table, mut batch, mut pause) = (None, 1000, Duration::ZERO);
    for setting in rest.split_whitespace() {
        match setting.split_once('=') {
            Some(("table", value)) if is_plain_identifier(value) => table = Some(value.to_owned()),
            Some(("batch", value)) => {
                batch = value
                    .parse()
                    .ok()
                    .filter(|rows| (1..=MOST_ROWS).contains(rows))
                    .ok_or_else(|| format!("`batch` is a number of rows from 1 to {MOST_ROWS}, found `{value}`"))?;
            }
            Some(("pause", value)) => {
                pause = value
                    .parse::<jiff::SignedDuration>()
                    .ok()
                    .and_then(|pause| Duration::try_from(pause).ok())
                    .ok_or_else(|| format!("`pause` is a duration like 20ms, found `{value}`"))?;
            }
            _ => return Err(format!("`backfill` takes table=, batch= and pause=, found `{setting}`")),
        }
    }
    Ok(Backfill { table: table.ok_or("`backfill` needs table=")?, batch, pause })
}

/// Neither quoted nor qualified.
fn is_plain_identifier(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name
            .chars()
            .all(|character| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(sql: &str) -> Result<Kind, String> {
        of_migration(sql).map(|(kind, _)| kind).map_err(|error| error.to_string())
    }

    fn undo_kind(sql: &str) -> Result<UndoKind, String> {
        of_undo(sql).map(|(kind, _)| kind).map_err(|error| error.to_string())
    }

    #[test]
    fn the_first_line_says_the_kind() {
        assert_eq!(kind("-- Why: nothing.\nselect 1;"), Ok(Kind::Transactional));
        assert_eq!(kind("-- rowhouse: no-transaction\nselect 1;"), Ok(Kind::NoTransaction));
        let backfill = Backfill { table: "files".to_owned(), batch: 500, pause: Duration::from_millis(20) };
        assert_eq!(
            kind("-- rowhouse: backfill table=files batch=500 pause=20ms\nupdate …"),
            Ok(Kind::Backfill(backfill))
        );
        let by_default = Backfill { table: "files".to_owned(), batch: 1000, pause: Duration::ZERO };
        assert_eq!(kind("-- rowhouse: backfill table=files"), Ok(Kind::Backfill(by_default)));
    }

    #[test]
    fn what_is_not_understood_is_an_error_with_its_line() {
        for (sql, part) in [
            ("-- rowhouse: no-transactions", "line 1: unknown directive `no-transactions`"),
            ("-- Why.\n-- rowhouse: no-transaction", "line 2: `no-transaction` must be in the first line"),
            ("-- rowhouse: no-transaction please", "takes nothing"),
            ("-- rowhouse: irreversible it is gone", "unknown directive `irreversible`"),
            ("-- rowhouse:", "unknown directive ``"),
            ("-- rowhouse: backfill batch=10", "needs table="),
            ("-- rowhouse: backfill table=public.files", "found `table=public.files`"),
            ("-- rowhouse: backfill table=files batch=0", "from 1 to 100000"),
            ("-- rowhouse: backfill table=files pause=-1s", "a duration like 20ms"),
            ("-- rowhouse: backfill table=files speed=9", "found `speed=9`"),
            ("select 1;\n-- rowhouse: allow drop-column", "line 2: `allow` needs a rule and a reason"),
        ] {
            let message = kind(sql).expect_err(sql);
            assert!(message.contains(part), "{sql}: {message}");
        }
    }

    #[test]
    fn an_undo_file_can_say_that_it_can_not() {
        assert_eq!(undo_kind("-- Undoes V1.\ndrop table x;"), Ok(UndoKind::Transactional));
        assert_eq!(
            undo_kind("-- rowhouse: irreversible the old values are gone"),
            Ok(UndoKind::Irreversible("the old values are gone".to_owned()))
        );
        assert_eq!(undo_kind("-- rowhouse: no-transaction\ndrop index concurrently x;"), Ok(UndoKind::NoTransaction));
        assert!(undo_kind("-- rowhouse: irreversible").expect_err("no reason").contains("needs a reason"));
        assert!(undo_kind("-- rowhouse: backfill table=x").expect_err("unknown").contains("unknown directive"));
    }

    #[test]
    fn a_file_allows_itself_a_rule_with_a_reason() {
        let (_, allowances) =
            of_migration("-- Why.\n-- rowhouse: allow drop-column nobody reads it since 0.3\n").expect("valid");
        let expected = Allowance { rule: "drop-column".to_owned(), reason: "nobody reads it since 0.3".to_owned() };
        assert_eq!(allowances, [expected]);
    }
}
