//! Which files the demo uploads.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use ignore::WalkBuilder;

/// More would make the demo a load test.
const MAX_FILES: usize = 500;
/// Larger files are not documents.
const MAX_BYTES: u64 = 32 * 1024 * 1024;

/// A file to upload.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// Where it is on this machine.
    pub(crate) path: PathBuf,
    /// Where it shall be in the workspace: folders and name.
    pub(crate) place: PathBuf,
    pub(crate) bytes: u64,
}

/// The documents of the first and of the second tenant: those of `input` for both, or this repository's
/// documentation for the one and its migrations for the other.
pub(crate) fn choose(input: Option<PathBuf>) -> Result<(Vec<Document>, Vec<Document>)> {
    if let Some(folder) = input {
        let found = collect(&[folder.as_path()])?;
        return Ok((found.clone(), found));
    }
    let ours = ["README.md", "ARCHITECTURE.md", "docs"].map(Path::new);
    let migrations = ["platform-migrations", "tenant-migrations"].map(Path::new);
    Ok((collect(&ours)?, collect(&migrations)?))
}

fn collect(roots: &[&Path]) -> Result<Vec<Document>> {
    let (mut found, mut left_out) = (Vec::new(), 0);
    for root in roots {
        if !root.exists() {
            bail!(
                "there is no `{}` here; run the demo in the repository, or name a folder with --input",
                root.display()
            );
        }
        let above = root.parent().unwrap_or(Path::new(""));
        for entry in WalkBuilder::new(root).sort_by_file_path(Ord::cmp).build() {
            let entry = entry?;
            if !entry.file_type().is_some_and(|kind| kind.is_file()) {
                continue;
            }
            let bytes = entry.metadata()?.len();
            if (1..=MAX_BYTES).contains(&bytes) && found.len() < MAX_FILES && entry.path().to_str().is_some() {
                let place = entry.path().strip_prefix(above).unwrap_or(entry.path()).to_owned();
                found.push(Document { path: entry.path().to_owned(), place, bytes });
            } else {
                left_out += 1;
            }
        }
    }
    if left_out > 0 {
        println!(
            "  left out: {left_out} files that are empty, over 32 MiB, not named in UTF-8, or beyond the first {MAX_FILES}"
        );
    }
    if found.is_empty() {
        bail!("there are no files to upload in {roots:?}");
    }
    Ok(found)
}
