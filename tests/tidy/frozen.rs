//! What releases froze, by their tags: `migrations.lock` could be edited together with the file that it freezes.
//!
//! Before the first release there is no tag `v…`, and nothing is compared. A clone that lacks the tags or the history can't tell,
//! and fails: fetch both.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::root;

const LOCK: &str = "migrations.lock";
/// The version of the first release, and of what came before it.
const FIRST: &str = "0.1.0";

fn git(root: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

fn frozen(lock: &str) -> BTreeSet<&str> {
    lock.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// The path in a line of the lock file.
fn path(line: &str) -> &str {
    line.split_once("  ").map_or(line, |(_, path)| path)
}

/// What is wrong with the lock file of a checkout, held against those of the releases that it comes from.
fn wrong(root: &Path, version: &str) -> Vec<String> {
    let tags = git(root, &["tag", "--list", "v[0-9]*", "--merged", "HEAD"]).unwrap();
    let tags: Vec<&str> = tags.lines().collect();
    let is_shallow = git(root, &["rev-parse", "--is-shallow-repository"]).unwrap().trim() == "true";
    if is_shallow || (tags.is_empty() && version != FIRST) {
        return vec![format!(
            "{version} comes after a release that this clone knows nothing of: fetch history and tags"
        )];
    }
    let now = std::fs::read_to_string(root.join(LOCK)).unwrap_or_default();
    let now = frozen(&now);
    let mut wrong = Vec::new();
    for tag in tags {
        let lock = git(root, &["show", &format!("{tag}:{LOCK}")]).unwrap_or_default();
        let then = frozen(&lock);
        wrong.extend(then.difference(&now).map(|line| format!("{} is not as {tag} froze it", path(line))));
        let files = ["ls-tree", "-r", "--name-only", tag, "--", "platform-migrations", "tenant-migrations"];
        let files = git(root, &files).unwrap();
        let known: BTreeSet<&str> = then.iter().map(|line| path(line)).collect();
        let forgotten = files.lines().filter(|file| file.ends_with(".sql") && !known.contains(file));
        wrong.extend(forgotten.map(|file| format!("{tag} has {file}, and did not freeze it")));
    }
    wrong
}

#[test]
fn what_a_release_froze_is_frozen_still() {
    if !root().join(".git").exists() {
        // The sources alone, without what they come from.
        return;
    }
    crate::assert_none(
        "write another migration, and leave the lines of a release alone",
        &wrong(root(), env!("CARGO_PKG_VERSION")),
    );
}

/// A repository with one migration, which a release froze.
fn released() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "-q", "-b", "main"]).unwrap();
    std::fs::create_dir_all(root.join("tenant-migrations/undo")).unwrap();
    std::fs::create_dir_all(root.join("platform-migrations")).unwrap();
    write(root, "tenant-migrations/V1__a.sql", "select 1;");
    write(root, "tenant-migrations/undo/1__a.sql", "select 2;");
    assert_eq!(wrong_after(root, FIRST), [""; 0], "nothing was released");
    rowhouse_migration_files::freeze(root).unwrap();
    assert_eq!(wrong_after(root, FIRST), [""; 0], "it is about to be");
    git(root, &["tag", "v0.1.0"]).unwrap();
    assert_eq!(wrong_after(root, FIRST), [""; 0]);
    folder
}

fn write(root: &Path, name: &str, text: &str) {
    std::fs::write(root.join(name), text).unwrap();
}

/// Commits what there is, and looks.
fn wrong_after(root: &Path, version: &str) -> Vec<String> {
    git(root, &["add", "-A"]).unwrap();
    let name = ["-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false"];
    git(root, &[&name[..], &["commit", "-q", "--allow-empty", "-m", "a"]].concat()).unwrap();
    wrong(root, version)
}

#[test]
fn a_lock_that_is_edited_with_its_file_is_seen() {
    let folder = released();
    let root = folder.path();
    // What comes later is free until the next release.
    write(root, "tenant-migrations/V2__b.sql", "select 3;");
    rowhouse_migration_files::freeze(root).unwrap();
    write(root, "tenant-migrations/V2__b.sql", "select 4;");
    std::fs::remove_file(root.join(LOCK)).unwrap();
    rowhouse_migration_files::freeze(root).unwrap();
    assert_eq!(wrong_after(root, "0.1.1"), [""; 0]);

    write(root, "tenant-migrations/V1__a.sql", "select 5;");
    std::fs::remove_file(root.join(LOCK)).unwrap();
    rowhouse_migration_files::freeze(root).unwrap();
    assert_eq!(rowhouse_migration_files::changed(root).unwrap(), [], "by itself it sees nothing");
    assert_eq!(wrong_after(root, "0.1.1"), ["tenant-migrations/V1__a.sql is not as v0.1.0 froze it"]);
    std::fs::remove_file(root.join(LOCK)).unwrap();
    assert_eq!(wrong_after(root, "0.1.1").len(), 2, "nothing is frozen any more");
}

#[test]
fn a_release_that_froze_less_than_it_has_is_seen() {
    let folder = released();
    let root = folder.path();
    write(root, "platform-migrations/V1__c.sql", "select 6;");
    assert_eq!(wrong_after(root, "0.2.0"), [""; 0]);
    git(root, &["tag", "v0.2.0"]).unwrap();
    assert_eq!(wrong_after(root, "0.2.0"), ["v0.2.0 has platform-migrations/V1__c.sql, and did not freeze it"]);
}

#[test]
fn a_clone_that_can_not_tell_does_not_pass() {
    let folder = released();
    let root = folder.path();
    git(root, &["tag", "-d", "v0.1.0"]).unwrap();
    let said = wrong_after(root, "0.1.1");
    assert!(said.len() == 1 && said[0].contains("fetch history and tags"), "{said:?}");
}
