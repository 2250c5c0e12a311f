//! From an upload to a hit, in every mode, and never to another tenant's.

use std::time::{Duration, Instant};

use rowhouse_testkit::Given;
use serde_json::{Value, json};

/// The hits, asked for again until there are any or the promise of two seconds (and the machine's patience) is over.
pub(crate) async fn search(given: &Given, query: &str) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let answer = given.data.get(&format!("/v1/search?{query}")).await.expect(200).json();
        let items = answer["items"].as_array().unwrap().clone();
        if !items.is_empty() || begun.elapsed() > Duration::from_secs(10) {
            return items;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn names(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["name"].as_str().unwrap()).collect()
}

const PDF: &[u8] = include_bytes!("search/hello.pdf");

#[tokio::test]
async fn every_mode_finds_what_it_should() {
    let given = crate::house().await.into_tenant().await;
    given.upload("invoices.md", "# Invoices\n\nThe quarterly **revenue** of the lighthouse was astonishing.").await;
    given.upload("cats.txt", "Cats sleep most of the day and purr when they are content.").await;
    given
        .upload(
            "page.html",
            "<html><head><style>p{color:red}</style></head><body><p>Tomatoes &amp; basil</p></body></html>",
        )
        .await;
    let hits = search(&given, "q=lighthouse&mode=text").await;
    assert_eq!(names(&hits), ["invoices.md"]);
    assert!(hits[0]["snippet"].as_str().unwrap().to_lowercase().contains("lighthouse"), "{hits:?}");
    assert_eq!(names(&search(&given, "q=tomatoes&mode=text").await), ["page.html"]);
    assert!(search_now(&given, "q=color&mode=text").await.is_empty(), "style sheets are no text");
    assert!(names(&search(&given, "q=---&mode=fuzzy").await).is_empty(), "nothing to go by");
    assert!(names(&search(&given, "q=invoises&mode=fuzzy").await).contains(&"invoices.md"));
    assert_eq!(names(&search(&given, "q=cats%20that%20purr%20and%20sleep&mode=semantic").await)[0], "cats.txt");
    assert_eq!(names(&search(&given, "q=quarterly%20revenue&mode=hybrid").await)[0], "invoices.md");
}

async fn search_now(given: &Given, query: &str) -> Vec<Value> {
    given.data.get(&format!("/v1/search?{query}")).await.expect(200).json()["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_pdf_is_read_and_a_broken_one_hurts_nobody() {
    let given = crate::house().await.into_tenant().await;
    given.upload("broken.pdf", "%PDF-1.7\n1 0 obj << /Type /Catalog").await;
    given.upload("hello.pdf", PDF).await;
    assert_eq!(names(&search(&given, "q=marmalade&mode=text").await), ["hello.pdf"]);
    // Found by its name all the same.
    assert!(names(&search(&given, "q=broken&mode=fuzzy").await).contains(&"broken.pdf"));
}

#[tokio::test]
async fn folders_and_workspaces_are_found_and_can_be_asked_for_alone() {
    let given = crate::house().await.into_tenant().await;
    given.folder("Zeppelin plans", None).await;
    let other = given.data.post("/v1/workspaces", &json!({"name": "Zeppelin"})).await.expect(201).text("id");
    given.upload("zeppelin.txt", "zeppelin").await;
    let begun = Instant::now();
    let kinds = loop {
        let items = search_now(&given, "q=zeppelin&mode=text").await;
        if items.len() == 3 || begun.elapsed() > Duration::from_secs(10) {
            break items
                .iter()
                .map(|item| item["kind"].as_str().unwrap().to_owned())
                .collect::<std::collections::BTreeSet<_>>();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), ["file", "folder", "workspace"]);
    let only = search_now(&given, "q=zeppelin&mode=text&in=folders").await;
    assert_eq!(names(&only), ["Zeppelin plans"]);
    let inside = search_now(&given, &format!("q=zeppelin&mode=text&in=files&workspace_id={other}")).await;
    assert!(inside.is_empty(), "{inside:?}");
}

#[tokio::test]
async fn what_is_deleted_is_not_found_and_what_is_renamed_is() {
    let given = crate::house().await.into_tenant().await;
    let file = given.upload("walrus.txt", "nothing of note").await;
    assert_eq!(search(&given, "q=walrus&mode=text").await.len(), 1);
    let _ = given.data.patch(&format!("/v1/files/{file}"), &json!({"name": "penguin.txt"})).await.expect(200);
    assert_eq!(names(&search(&given, "q=penguin&mode=text").await), ["penguin.txt"]);
    assert!(given.data.delete(&format!("/v1/files/{file}")).await.status.is_success());
    assert!(search_now(&given, "q=penguin&mode=text").await.is_empty());
}

#[tokio::test]
async fn another_tenants_words_are_not_found() {
    let house = crate::house().await;
    let (own, other) = (house.tenant().await, house.tenant().await);
    own.upload("xylophone.txt", "xylophone music").await;
    assert_eq!(search(&own, "q=xylophone&mode=text").await.len(), 1);
    for mode in ["text", "fuzzy", "semantic", "hybrid"] {
        assert!(search_now(&other, &format!("q=xylophone&mode={mode}")).await.is_empty(), "{mode}");
    }
}

#[tokio::test]
async fn questions_that_can_not_be_asked_are_refused() {
    let given = crate::house().await.into_tenant().await;
    for query in ["", "q=", "q=x&mode=psychic", "q=x&in=planets", "q=x&limit=0", "q=x&limit=1000"] {
        given.data.get(&format!("/v1/search?{query}")).await.problem(422, "invalid_request");
    }
    given.data.get("/v1/search?q=x&workspace_id=42").await.problem(400, "malformed_id");
    for query in [
        "q=%27%22%3B--",
        "q=(((&mode=text",
        "q=%25_%5C&mode=fuzzy",
        "q=%F0%9F%90%99&mode=semantic",
        "q=!%26%7C&mode=hybrid",
    ] {
        let _ = given.data.get(&format!("/v1/search?{query}")).await.expect(200);
    }
}

#[tokio::test]
async fn many_labels_are_learned_at_once_and_no_text_is_forgotten() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let mut items = Vec::new();
    for number in 0..40_u8 {
        // Half of them nobody can read, and each has the same words as others.
        let (name, content) = match number % 2 {
            0 => (format!("photo{number}.bin"), vec![0, 159, 146, number]),
            _ => (format!("letter{number}.txt"), format!("the marzipan of number {number}").into_bytes()),
        };
        items.push(json!({"action": "update", "id": given.upload(&name, content).await, "name": format!("holiday snow {number}")}));
    }
    all_found(&given, "q=marzipan&mode=text", 20).await;
    all_found(&given, "q=photo&mode=fuzzy", 20).await;
    let _ = given.data.post("/v1/files/batch", &json!({"items": items})).await.expect(200);
    all_found(&given, "q=holiday%20snow&mode=text", 40).await;
    // A passage of a text is found by what it says, not by what its file is called.
    all_found(&given, "q=holiday&mode=semantic", 20).await;
    all_found(&given, "q=marzipan&mode=text", 20).await;
    assert!(search_now(&given, "q=letter&mode=text").await.is_empty(), "an old name is still known");
    let states = "select state, count(*) from file_search where tenant_id = app_tenant_id() group by 1 order by 1";
    let states: Vec<(String, i64)> = house
        .tenant_rows(&given, states)
        .await
        .iter()
        .map(|row| (row.try_get(0).unwrap(), row.try_get(1).unwrap()))
        .collect();
    assert_eq!(states, [("indexed".to_owned(), 20), ("skipped".to_owned(), 20)]);
}

#[tokio::test]
async fn a_label_of_what_was_never_read_has_it_read() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let file = given.upload("letter.txt", "the marzipan of the moon").await;
    all_found(&given, "q=marzipan&mode=text", 1).await;
    // As where its first job was given up.
    house.tenant_rows(&given, "delete from file_search where tenant_id = app_tenant_id() returning id").await;
    assert!(search_now(&given, "q=marzipan&mode=text").await.is_empty());
    let _ = given.data.patch(&format!("/v1/files/{file}"), &json!({"tags": ["sweet"]})).await.expect(200);
    all_found(&given, "q=marzipan&mode=text", 1).await;
    all_found(&given, "q=sweet&mode=text", 1).await;
}

/// Each time that a search row is written its words are computed, and entered into every index.
#[tokio::test]
async fn what_nobody_can_read_is_written_once() {
    let house = crate::house().await;
    let given = house.tenant().await;
    for number in 0..10_u8 {
        let _ = given.upload(&format!("photo{number}.bin"), vec![0, 159, 146, number]).await;
    }
    all_found(&given, "q=photo&mode=fuzzy", 10).await;
    let written = "select coalesce(sum(n_tup_ins), 0)::bigint, coalesce(sum(n_tup_upd), 0)::bigint
        from pg_stat_user_tables where relname = 'file_search'";
    let begun = Instant::now();
    loop {
        let found = house.tenant_rows(&given, written).await;
        let (made, changed): (i64, i64) = (found[0].try_get(0).unwrap(), found[0].try_get(1).unwrap());
        assert_eq!(changed, 0, "{made} search rows were made and changed again");
        if made == 10 {
            break;
        }
        // A session tells of what it did ten seconds after it did nothing more.
        assert!(begun.elapsed() < Duration::from_secs(30), "{made} search rows were made");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let passages = "select from file_embeddings where tenant_id = app_tenant_id()";
    assert_eq!(house.tenant_rows(&given, passages).await.len(), 10);
}

#[tokio::test]
async fn what_is_changed_while_it_is_introduced_is_seen_to_afterwards() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let file = given.upload("snow.bin", vec![0, 159, 146]).await;
    all_found(&given, "q=snow&mode=fuzzy", 1).await;
    let holder = house.inside(&given).await;
    holder.run("begin; update files set name = 'marzipan.bin' where tenant_id = app_tenant_id()").await.unwrap();
    // As if it had just come.
    let anew = "with gone as (delete from file_search where tenant_id = app_tenant_id() returning file_id),
            passages as (delete from file_embeddings where tenant_id = app_tenant_id())
        insert into jobs (kind, subject_id) select 'index_label', file_id from gone returning id";
    assert_eq!(house.tenant_rows(&given, anew).await.len(), 1, "{file}");
    let _ = given.upload("moon.bin", vec![0, 159, 147]).await;
    all_found(&given, "q=moon&mode=fuzzy", 1).await;
    assert_eq!(search_now(&given, "q=marzipan&mode=fuzzy").await.len(), 0);
    holder.run("commit").await.unwrap();
    all_found(&given, "q=marzipan&mode=fuzzy", 1).await;
    all_found(&given, "q=marzipan&mode=semantic", 1).await;
}

/// Waits until a search finds so many.
async fn all_found(given: &Given, query: &str, count: usize) {
    let begun = Instant::now();
    loop {
        let found = search_now(given, &format!("{query}&limit=100")).await.len();
        if found == count {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{found} of {count} are found by {query}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
