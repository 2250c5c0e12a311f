//! Watches both folders of migrations, which the embedding macro does not, and embeds the undo files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

#[expect(clippy::disallowed_methods, reason = "cargo tells a build script its folders this way")]
fn main() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR")).join("../..");
    let mut generated = String::new();
    for (name, folder) in [("PLATFORM_UNDO", "platform-migrations"), ("TENANT_UNDO", "tenant-migrations")] {
        let folder = root.join(folder);
        let undo = folder.join("undo");
        println!("cargo::rerun-if-changed={}", folder.display());
        println!("cargo::rerun-if-changed={}", undo.display());
        writeln!(generated, "const {name}: &[UndoFile] = &[").expect("writing to a String works");
        for (stem, path) in undo_files(&undo) {
            println!("cargo::rerun-if-changed={}", path.display());
            writeln!(generated, "    ({stem:?}, include_str!({:?})),", path.display().to_string())
                .expect("writing to a String works");
        }
        generated.push_str("];\n");
    }
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("undo.rs");
    fs::write(&out, generated).unwrap_or_else(|error| panic!("writing {}: {error}", out.display()));
}

/// The `.sql` files of a folder: names without the ending, and paths. What they are called is looked at where they are read.
fn undo_files(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("reading {}: {error}", folder.display()));
    let mut files: Vec<(String, PathBuf)> = entries
        .map(|entry| entry.unwrap_or_else(|error| panic!("reading {}: {error}", folder.display())).path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .map(|path| (path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned(), path))
        .collect();
    files.sort();
    files
}
