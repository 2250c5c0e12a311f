//! Folders as archives, unpacked by a crate that has nothing to do with ours.

use std::io::{Cursor, Read, Write};
use std::time::{Duration, Instant};

use reqwest::Method;
use rowhouse_testkit::Given;
use zip::ZipArchive;

use crate::suite::clients::succeeded;
use crate::suite::folders::fill;

async fn upload(given: &Given, folder: &str, name: &str, content: impl Into<reqwest::Body>) {
    let path = format!("/v1/files?workspace_id={}&folder_id={folder}&name={name}", given.workspace);
    let _ = given.data.upload(&path, content).await.expect(201);
}

#[tokio::test]
async fn an_archive_holds_the_folder_as_it_is() {
    let given = crate::house().await.into_tenant().await;
    let outer = given.folder("Bücher", None).await;
    let (inner, _) = (given.folder("inner", Some(&outer)).await, given.folder("empty", Some(&outer)).await);
    let gone = given.folder("gone", Some(&outer)).await;
    let (text, noise) =
        ("walrus ".repeat(50_000), (0..300_000_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect::<Vec<_>>());
    upload(&given, &outer, "gr%C3%BC%C3%9Fe.txt", text.clone()).await;
    upload(&given, &inner, "noise.bin", noise.clone()).await;
    upload(&given, &inner, "nothing", "").await;
    // A folder and a file may have one name; in an archive they can't.
    upload(&given, &outer, "INNER", "a file").await;
    upload(&given, &gone, "gone.txt", "gone").await;
    let _ = given.data.delete(&format!("/v1/folders/{gone}")).await.expect(204);

    let answer = given.data.get(&format!("/v1/folders/{outer}/zip")).await.expect(200);
    assert_eq!(answer.header("content-type"), "application/zip");
    assert!(
        answer.header("content-disposition").contains("B%C3%BCcher.zip"),
        "{}",
        answer.header("content-disposition")
    );
    assert!(answer.bytes.len() < noise.len() + text.len() / 2, "text is compressed");
    let mut archive = ZipArchive::new(Cursor::new(&answer.bytes)).unwrap();
    let mut names: Vec<String> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
    names.sort();
    let renamed = names.iter().find(|name| name.starts_with("INNER (fil_")).unwrap().clone();
    assert_eq!(names, [&*renamed, "empty/", "grüße.txt", "inner/", "inner/noise.bin", "inner/nothing"]);
    let mut content = |name: &str| {
        let (mut entry, mut bytes) = (archive.by_name(name).unwrap(), Vec::new());
        assert!(entry.enclosed_name().is_some());
        entry.read_to_end(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(content("grüße.txt"), text.as_bytes());
    assert_eq!(content("inner/noise.bin"), noise);
    assert_eq!(content("inner/nothing"), b"");
    assert_eq!(content(&renamed), b"a file");
    given.data.get(&format!("/v1/folders/{gone}/zip")).await.problem(404, "not_found");
}

#[tokio::test]
async fn names_are_composed_and_no_two_are_one() {
    let given = crate::house().await.into_tenant().await;
    let outer = given.folder("a", None).await;
    // Decomposed, as some systems have it, and a ligature.
    for name in ["re\u{301}sume\u{301}", "\u{fb01}les"] {
        given.folder(name, Some(&outer)).await;
    }
    for name in ["re%CC%81sume%CC%81.txt", "R%C3%89SUM%C3%89", "FILES"] {
        upload(&given, &outer, name, "words").await;
    }
    let answer = given.data.get(&format!("/v1/folders/{outer}/zip")).await.expect(200);
    let archive = ZipArchive::new(Cursor::new(&answer.bytes)).unwrap();
    let names = archive.file_names().map(|name| name.unwrap().split(" (fil_").next().unwrap().to_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    assert_eq!(names, ["FILES", "R\u{c9}SUM\u{c9}", "r\u{e9}sum\u{e9}.txt", "r\u{e9}sum\u{e9}/", "\u{fb01}les/"]);
    // Two of them are a folder's, but for their case and form.
    assert_eq!(archive.file_names().filter(|name| name.as_ref().unwrap().contains(" (fil_")).count(), 2);
}

#[tokio::test]
async fn no_name_leads_out_of_an_archive() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let names = [("files", "../evil"), ("files", "a\\evil"), ("folders", "../evil"), ("folders", "..")];
    for (number, (table, name)) in names.iter().enumerate() {
        let outer = given.folder(&format!("outer {number}"), None).await;
        given.folder(&format!("folders{number}"), Some(&outer)).await;
        upload(&given, &outer, &format!("files{number}"), "words").await;
        // Behind the services' backs: by no door does such a name come in.
        let change = format!(
            "update {table} set name = '{name}' where tenant_id = app_tenant_id() and name = '{table}{number}' returning id"
        );
        assert_eq!(house.tenant_rows(&given, &change).await.len(), 1, "{table} {name}");
        let answer = given.data.request(Method::GET, &format!("/v1/folders/{outer}/zip")).send().await;
        let is_whole = match answer {
            Ok(answer) if answer.status() == 200 => answer.bytes().await.is_ok(),
            Ok(_) | Err(_) => false,
        };
        assert!(!is_whole, "{table} {name}");
    }
}

#[tokio::test]
async fn an_archive_that_can_not_be_whole_does_not_look_whole() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let folder = given.folder("a", None).await;
    upload(&given, &folder, "a.bin", vec![7; 3_000_000]).await;
    house.lose_objects();
    let answer = given.data.request(Method::GET, &format!("/v1/folders/{folder}/zip")).send().await;
    let whole = match answer {
        Ok(answer) => answer.bytes().await.is_ok(),
        Err(_) => false,
    };
    assert!(!whole);
}

#[tokio::test]
async fn whoever_goes_away_leaves_nothing_running() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let folder = given.folder("a", None).await;
    for number in 0..4 {
        upload(&given, &folder, &format!("{number}.bin"), vec![number; 8_000_000]).await;
    }
    // More often than archives may be sent at once.
    let begun = Instant::now();
    for _ in 0..40 {
        loop {
            let mut answer =
                given.data.request(Method::GET, &format!("/v1/folders/{folder}/zip")).send().await.unwrap();
            if answer.status() == 200 {
                assert!(answer.chunk().await.unwrap().is_some());
                break;
            }
            assert_eq!(answer.status(), 503);
            assert!(begun.elapsed() < Duration::from_secs(60), "places are not given back");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn a_tenant_that_fetches_many_leaves_room_for_others() {
    let house = crate::house().await;
    let (busy, other) = (house.tenant().await, house.tenant().await);
    let mut folders = Vec::new();
    for given in [&busy, &other] {
        let folder = given.folder("a", None).await;
        // More than the buffers of a connection take, so that it is under way until somebody reads it.
        upload(given, &folder, "a.bin", vec![0; 32_000_000]).await;
        folders.push(format!("/v1/folders/{folder}/zip"));
    }
    let mut open = Vec::new();
    let refused = loop {
        assert!(open.len() < 16, "one tenant has every place");
        let answer = busy.data.request(Method::GET, &folders[0]).send().await.unwrap();
        if answer.status() != 200 {
            break answer;
        }
        open.push(answer);
    };
    assert_eq!((refused.status().as_u16(), refused.headers().contains_key("retry-after")), (503, true));
    let answer = other.data.request(Method::GET, &folders[1]).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_folder_with_too_long_paths_is_refused() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let outer = given.folder("outer", None).await;
    let mut inner = outer.clone();
    for _ in 0..60 {
        inner = given.folder(&"x".repeat(255), Some(&inner)).await;
    }
    fill(&house, &given, &inner, 4_500).await;
    let problem = given.data.get(&format!("/v1/folders/{outer}/zip")).await.problem(422, "invalid_request");
    assert!(problem.to_string().contains("paths"), "{problem}");
}

/// More than the first form of the format can count (APPNOTE 4.3.14: 65,535).
const MANY: usize = 99_000;
/// What an archive of so many may take of memory, however long it takes to be read.
const MOST_MEMORY: u64 = 64 * 1024 * 1024;
const READ: &str = "
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    names = archive.namelist()
    assert archive.testzip() is None
    assert archive.read('1.txt') == b'the same in all' == archive.read(f'{sys.argv[2]}.txt')
print(len(set(names)))
";

#[expect(clippy::print_stderr, reason = "the figure is what it is run for")]
#[tokio::test]
async fn an_archive_of_more_files_than_its_first_form_can_count_is_read_by_others() {
    if !crate::suite::is_soak() {
        return;
    }
    let house = crate::house().await;
    let given = house.tenant().await;
    let folder = given.folder("folder", None).await;
    upload(&given, &folder, "1.txt", "the same in all").await;
    let inside = house.inside(&given).await;
    let fill = format!(
        "with seed as (select * from files where name = '1.txt'), made as (
            insert into files (workspace_id, folder_id, name, name_normalized, mime_type, size, checksum)
            select workspace_id, folder_id, n || '.txt', n || '.txt', mime_type, size, checksum
            from seed, generate_series(2, {MANY}) n returning id)
         insert into file_versions (file_id, version_number, blob_id, size, checksum, mime_type)
         select made.id, 1, version.blob_id, version.size, version.checksum, version.mime_type
         from made, seed join file_versions version on version.file_id = seed.id"
    );
    inside.run("set session_replication_role = replica").await.unwrap();
    inside.run(&fill).await.unwrap();
    inside.run("analyze files; analyze file_versions").await.unwrap();
    let process = house.data_plane_process("").await;
    let data = process.client.with_key(given.data.key());
    let _ = data.get(&format!("/v1/folders/{folder}")).await.expect(200);
    let before = process.peak_memory();
    let mut answer = data.request(Method::GET, &format!("/v1/folders/{folder}/zip")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    while let Some(piece) = answer.chunk().await.unwrap() {
        file.write_all(&piece).unwrap();
    }
    let grown = process.peak_memory() - before;
    eprintln!("{MANY} files in one archive: {} KiB of memory", grown / 1024);
    assert!(grown < MOST_MEMORY, "{grown} bytes for {MANY} files");
    let mut python = tokio::process::Command::new("python3");
    let read = python.args(["-c", READ]).arg(file.path()).arg(MANY.to_string()).output().await.unwrap();
    assert_eq!(succeeded(&read).trim(), MANY.to_string());
}

#[tokio::test]
async fn too_large_a_folder_is_refused() {
    if !crate::suite::is_soak() {
        return;
    }
    let house = crate::house().await;
    let given = house.tenant().await;
    let folder = given.folder("a", None).await;
    fill(&house, &given, &folder, 100_000).await;
    given.data.get(&format!("/v1/folders/{folder}/zip")).await.problem(422, "invalid_request");
}
