//! Rules of the house that a compiler does not know.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod frozen;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use rowhouse_migrations::{Migrations, Set};
use rowhouse_problem::Code;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The files of these folders with this ending, as path from the root and text.
fn files(folders: &[&str], ending: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, ending, found);
            } else if path.extension().is_some_and(|extension| extension == ending) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for folder in folders {
        walk(&root().join(folder), ending, &mut found);
    }
    found.sort();
    found
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect()
}

const SOURCES: [&str; 4] = ["crates", "control-plane", "data-plane", "tests"];

fn assert_none(rule: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{rule}:\n{}", offenders.join("\n"));
}

#[test]
fn no_file_is_longer_than_600_lines() {
    let offenders: Vec<String> = files(&SOURCES, "rs")
        .into_iter()
        .filter(|(_, text)| text.lines().count() > 600)
        .map(|(name, _)| name)
        .collect();
    assert_none("split by operation", &offenders);
}

#[test]
fn every_module_says_what_it_owns() {
    let offenders: Vec<String> = files(&SOURCES, "rs")
        .into_iter()
        .filter(|(_, text)| !text.trim_start().starts_with("//!"))
        .map(|(name, _)| name)
        .collect();
    assert_none("begin with `//!`", &offenders);
}

/// What stands before the bracket that closes the one before `rest`.
fn arguments(rest: &str) -> &str {
    let mut depth = 1;
    let end = rest.find(|letter| {
        depth += i32::from(letter == '(') - i32::from(letter == ')');
        depth == 0
    });
    &rest[..end.unwrap_or(rest.len())]
}

#[test]
fn nothing_that_a_tenants_connection_runs_outlives_its_transaction() {
    // A connection goes on to the next request as it is: a pin, a role or a path that stays set would go with it.
    const LASTING: [&str; 8] =
        ["set role", "set session", "set search_path", "set app.", "reset all", "reset role", "reset app.", "discard "];
    let settings = |text: &str| -> Vec<String> {
        let calls = text.split("set_config(").skip(1).map(|rest| arguments(rest).to_owned());
        calls.filter(|call| !call.trim_end().ends_with("true")).collect()
    };
    let mut offenders = Vec::new();
    for (name, text) in files(&["data-plane/src", "crates/database/src/tenants"], "rs")
        .into_iter()
        .chain(files(&["crates/database/src"], "rs").into_iter().filter(|(name, _)| name.ends_with("/session.rs")))
    {
        let text = text.to_lowercase();
        let lasting = LASTING.iter().filter(|statement| text.contains(*statement));
        offenders.extend(lasting.map(|statement| format!("{name}: {statement}")));
        offenders.extend(settings(&text).into_iter().map(|call| format!("{name}: set_config({call:.60}")));
    }
    for (name, text) in files(&["tenant-migrations"], "sql") {
        offenders
            .extend(settings(&text.to_lowercase()).into_iter().map(|call| format!("{name}: set_config({call:.60}")));
    }
    assert_none("what is set, is set for one transaction (`set_config(…, true)`)", &offenders);
}

#[test]
fn http_stays_in_its_rooms() {
    // `routes → behaviour → store`: actix is for routes, guards and the wiring.
    let offenders: Vec<String> = files(&["control-plane/src", "data-plane/src"], "rs")
        .into_iter()
        .filter(|(name, text)| {
            let below =
                ["/store.rs", "/model.rs", "/reconciler.rs", "/provision.rs"].iter().any(|room| name.ends_with(room));
            below && text.contains("actix_web")
        })
        .map(|(name, _)| name)
        .collect();
    assert_none("no HTTP below the routes", &offenders);
}

#[test]
fn sql_stays_in_stores() {
    let statements = ["\"select ", "\"insert into ", "\"update ", "\"delete from ", "\"with "];
    let offenders: Vec<String> = files(&["control-plane/src", "data-plane/src"], "rs")
        .into_iter()
        .filter(|(name, text)| name.ends_with("/routes.rs") && statements.iter().any(|start| text.contains(start)))
        .map(|(name, _)| name)
        .collect();
    assert_none("no SQL in routes", &offenders);
}

#[test]
fn crates_depend_downwards() {
    let may_start_services = ["crates/cli", "crates/testkit", "crates/xtask"];
    let offenders: Vec<String> = files(&SOURCES, "toml")
        .into_iter()
        .filter(|(name, text)| {
            let package = name.trim_end_matches("/Cargo.toml");
            let needs_service = text.contains("rowhouse-control-plane.") || text.contains("rowhouse-data-plane.");
            needs_service && package != "tests" && !may_start_services.contains(&package)
        })
        .map(|(name, _)| name)
        .collect();
    assert_none("only what starts the services depends on them", &offenders);
}

#[test]
fn only_one_crate_knows_each_library() {
    for (library, home) in [
        ("refinery", "crates/migrations/"),
        ("refinery-core", "crates/migrations/"),
        ("object_store", "crates/blobs/"),
        ("rusoto_s3", "crates/blobs/"),
    ] {
        let offenders: Vec<String> = files(&["crates", "control-plane", "data-plane"], "toml")
            .into_iter()
            .filter(|(name, text)| {
                !name.starts_with(home) && text.lines().any(|line| line.starts_with(&format!("{library}.workspace")))
            })
            .map(|(name, _)| name)
            .collect();
        assert_none(&format!("{library} is known to {home} alone"), &offenders);
    }
}

#[test]
fn nothing_is_left_for_later() {
    let words = ["todo!(", "unimplemented!(", "#[ignore]", "FIXME", "XXX"];
    let offenders: Vec<String> = files(&SOURCES, "rs")
        .into_iter()
        .filter(|(name, text)| name != "tests/tidy/main.rs" && words.iter().any(|word| text.contains(word)))
        .map(|(name, _)| name)
        .collect();
    assert_none("finish it or leave it out", &offenders);
}

#[test]
fn migrations_pass_the_linter() {
    // From the files, so that a new one needs no build to be looked at.
    for set in [Set::Platform, Set::Tenant] {
        let migrations = Migrations::read(set, &rowhouse_migration_files::folder(root(), set)).unwrap();
        let found: Vec<String> = rowhouse_migration_files::lint(&migrations)
            .iter()
            .map(|finding| format!("{}:{} {} [{}]", finding.file, finding.line, finding.message, finding.rule))
            .collect();
        assert_none("do it the safe way, or say why not", &found);
    }
}

#[test]
fn released_migrations_are_frozen() {
    let changed = rowhouse_migration_files::changed(root()).unwrap();
    let changed: Vec<String> = changed.into_iter().map(|change| change.path).collect();
    assert_none("write another migration: schemas have this one applied", &changed);
}

#[test]
fn migrations_make_no_extensions_and_name_no_schema() {
    let offenders: Vec<String> = files(&["tenant-migrations"], "sql")
        .into_iter()
        .filter(|(_, text)| {
            text.lines().map(|line| line.split("--").next().unwrap_or_default().to_lowercase()).any(|line| {
                line.contains("create extension")
                    || line.contains("public.")
                    || line.contains("set search_path = ")
                    || line.contains("set search_path to")
            })
        })
        .map(|(name, _)| name)
        .collect();
    assert_none("the same files run in any schema", &offenders);
}

/// `docs/errors.md` is the catalogue of codes. After a change: `ROWHOUSE_BLESS=1 cargo test --test tidy`.
#[test]
fn the_documented_errors_are_the_catalogue() {
    let mut page = String::from(
        "# Errors\n\nEvery error is `application/problem+json` (RFC 9457). `code` is stable; `title` is the same for every\n\
         occurrence; `detail` says what happened this time; `request_id` (also the header `x-request-id`) finds it in the logs.\n\
         Answers with status 503 or 504 carry `Retry-After`.\n\n| code | status | title |\n| --- | --- | --- |\n",
    );
    for code in Code::ALL {
        writeln!(page, "| `{}` | {} | {} |", code.as_str(), code.status(), code.title()).unwrap();
    }
    let path = root().join("docs/errors.md");
    #[expect(clippy::disallowed_methods, reason = "a switch of this test alone")]
    let bless = std::env::var("ROWHOUSE_BLESS").is_ok();
    if bless {
        std::fs::write(&path, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), page, "run again with ROWHOUSE_BLESS=1");
}
