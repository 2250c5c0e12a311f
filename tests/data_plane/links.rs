//! Signed links: what they open without a key, and how they end.

use std::time::{Duration, Instant};

use reqwest::Method;
use rowhouse_testkit::{Answer, Client, Given};
use serde_json::{Value, json};

/// Whoever has nothing but an address.
async fn open(given: &Given, method: Method, url: &str) -> Answer {
    Answer::of(with(given, method, url)).await
}

fn with(given: &Given, method: Method, url: &str) -> reqwest::RequestBuilder {
    let anyone = given.data.anonymous();
    let path = url.strip_prefix(anyone.base()).expect("the address is the one that the caller used");
    anyone.request(method, path)
}

async fn link_to(client: &Client, file: &str, body: Value) -> Value {
    client.post(&format!("/v1/files/{file}/links"), &body).await.expect(201).json()
}

fn url(link: &Value) -> &str {
    link["url"].as_str().unwrap()
}

#[tokio::test]
async fn a_link_downloads_its_file_and_nothing_else() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let (file, other) = (given.upload("a.txt", "first").await, given.upload("b.txt", "other").await);
    let link = link_to(&given.data, &file, json!({"disposition": "inline"})).await;
    let read = open(&given, Method::GET, url(&link)).await.expect(200);
    assert_eq!((read.bytes.as_slice(), read.header("referrer-policy")), (b"first".as_slice(), "no-referrer"));
    assert!(read.header("content-disposition").starts_with("inline"));
    let part = with(&given, Method::GET, url(&link)).header("range", "bytes=1-2");
    assert_eq!(Answer::of(part).await.expect(206).bytes, b"ir");
    let head = open(&given, Method::HEAD, url(&link)).await.expect(200);
    assert_eq!(head.header("content-length"), "5");
    // The current version, unless it names one.
    let first = link_to(&given.data, &file, json!({"version": 1})).await;
    let put = given.data.request(Method::PUT, &format!("/v1/files/{file}/content")).body("second");
    let _ = Answer::of(put).await.expect(200);
    assert_eq!(open(&given, Method::GET, url(&link)).await.expect(200).bytes, b"second");
    assert_eq!(open(&given, Method::GET, url(&first)).await.expect(200).bytes, b"first");

    // Another file, another method, another tenant, another end.
    open(&given, Method::GET, &url(&link).replace(&file, &other)).await.problem(403, "invalid_link");
    open(&given, Method::PUT, url(&link)).await.problem(403, "invalid_link");
    let stranger = house.tenant().await;
    open(&given, Method::GET, &url(&link).replace(&given.tenant, &stranger.tenant)).await.problem(403, "invalid_link");
    let longer = url(&link).replace("expires=", "expires=9");
    open(&given, Method::GET, &longer).await.problem(403, "invalid_link");
    let (unsigned, _) = url(&link).rsplit_once('&').unwrap();
    open(&given, Method::GET, unsigned).await.problem(403, "invalid_link");
    given.data.post(&format!("/v1/files/{file}/links"), &json!({"version": 9})).await.problem(404, "not_found");
    let _ = given.data.delete(&format!("/v1/files/{file}")).await.expect(204);
    open(&given, Method::GET, url(&link)).await.problem(404, "not_found");
}

#[tokio::test]
async fn every_changed_byte_of_an_address_is_refused() {
    let house = crate::house_with(|settings| settings.auth.unknown_keys_per_second = 0).await;
    let given = house.tenant().await;
    let file = given.upload("a.txt", "words").await;
    let link = link_to(&given.data, &file, json!({})).await;
    let (path, query) = url(&link).split_once('?').unwrap();
    for place in 0..query.len() {
        let byte = query.as_bytes()[place];
        let other = if byte == b'x' { 'y' } else { 'x' };
        let changed = format!("{path}?{}{other}{}", &query[..place], &query[place + 1..]);
        open(&given, Method::GET, &changed).await.problem(403, "invalid_link");
    }
    let _ = open(&given, Method::GET, url(&link)).await.expect(200);
}

#[tokio::test]
async fn guessing_signatures_is_slowed_down_and_links_go_on() {
    let house = crate::house_with(|settings| settings.auth.unknown_keys_burst = 5).await;
    let given = house.tenant().await;
    let file = given.upload("a.txt", "words").await;
    let link = link_to(&given.data, &file, json!({})).await;
    let wrong = format!("{}x", url(&link));
    let mut guesses = Vec::new();
    for _ in 0..20 {
        guesses.push(open(&given, Method::GET, &wrong).await.status.as_u16());
    }
    assert!(guesses.starts_with(&[403; 5]) && guesses.contains(&429), "{guesses:?}");
    let _ = open(&given, Method::GET, url(&link)).await.expect(200);
}

#[tokio::test]
async fn a_link_ends_with_its_time() {
    let given = crate::house().await.into_tenant().await;
    let file = given.upload("a.txt", "words").await;
    let link = link_to(&given.data, &file, json!({"expires_in": 2})).await;
    let _ = open(&given, Method::GET, url(&link)).await.expect(200);
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    open(&given, Method::GET, url(&link)).await.problem(403, "expired_link");
    for seconds in [0, 604_801] {
        let body = json!({"expires_in": seconds});
        given.data.post(&format!("/v1/files/{file}/links"), &body).await.problem(422, "invalid_request");
    }
}

#[tokio::test]
async fn links_are_taken_back_one_by_one_by_file_and_by_key() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let (a, b) = (given.upload("a.txt", "a").await, given.upload("b.txt", "b").await);
    let reader = house.tenant_key(&given.tenant, &["read_files"]).await;
    let one = link_to(&given.data, &a, json!({})).await;
    let two = link_to(&given.data, &a, json!({})).await;
    let three = link_to(&given.data, &b, json!({})).await;
    let four = link_to(&reader, &b, json!({})).await;
    let gone = |link: Value| {
        let given = &given;
        async move { open(given, Method::GET, url(&link)).await.problem(403, "revoked_link") }
    };

    // Who may only read takes back its own.
    let path = |link: &Value| format!("/v1/links/{}", link["id"].as_str().unwrap());
    reader.delete(&path(&one)).await.problem(403, "missing_scope");
    let _ = given.data.delete(&path(&one)).await.expect(204);
    gone(one).await;
    assert_eq!(open(&given, Method::GET, url(&two)).await.expect(200).bytes, b"a");
    let _ = given.data.delete(&format!("/v1/files/{a}/links")).await.expect(204);
    gone(two).await;
    let _ = given.data.delete(&format!("/v1/links?key_id={}", four["key_id"].as_str().unwrap())).await.expect(204);
    gone(four).await;
    assert_eq!(open(&given, Method::GET, url(&three)).await.expect(200).bytes, b"b");

    let listed = given.data.get(&format!("/v1/links?file_id={b}")).await.expect(200).json();
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.len(), 2, "{listed}");
    assert!(items.iter().all(|item| item.get("url").is_none()), "{listed}");
    given.data.delete("/v1/links").await.problem(422, "invalid_request");
}

#[tokio::test]
async fn links_to_a_file_in_the_trash_can_be_taken_back() {
    let given = crate::house().await.into_tenant().await;
    let file = given.upload("a.txt", "a").await;
    let link = link_to(&given.data, &file, json!({})).await;
    let _ = given.data.delete(&format!("/v1/files/{file}")).await.expect(204);
    let _ = given.data.delete(&format!("/v1/files/{file}/links")).await.expect(204);
    let _ = given.data.post(&format!("/v1/files/{file}/restore"), &json!({})).await.expect(200);
    open(&given, Method::GET, url(&link)).await.problem(403, "revoked_link");
    let nothing = format!("/v1/files/{}/links", rowhouse_domain::FileId::new());
    given.data.delete(&nothing).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_list_of_one_keys_links_to_a_file_leaves_none_out() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let file = given.upload("a.txt", "a").await;
    let reader = house.tenant_key(&given.tenant, &["read_files"]).await;
    let mut wanted = Vec::new();
    for _ in 0..3 {
        for _ in 0..3 {
            let _ = link_to(&given.data, &file, json!({})).await;
        }
        wanted.push(link_to(&reader, &file, json!({})).await);
    }
    let base = format!("/v1/links?file_id={file}&key_id={}&limit=2", wanted[0]["key_id"].as_str().unwrap());
    let (mut listed, mut path) = (Vec::new(), base.clone());
    loop {
        let page = given.data.get(&path).await.expect(200).json();
        listed.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].clone()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("{base}&cursor={cursor}");
    }
    assert_eq!(listed, wanted.iter().map(|link| link["id"].clone()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_revoked_keys_links_end_within_a_second() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let file = given.upload("a.txt", "words").await;
    let path = format!("/v1/tenants/{}/api-keys", given.tenant);
    let made = house.admin.post(&path, &json!({"name": "sharer", "scopes": ["read_files"]})).await.expect(201);
    let sharer = given.data.with_key(&made.text("key"));
    let link = link_to(&sharer, &file, json!({})).await;
    let _ = open(&given, Method::GET, url(&link)).await.expect(200);
    let _ = house.admin.delete(&format!("{path}/{}", made.text("id"))).await.expect(204);
    let begun = Instant::now();
    while open(&given, Method::GET, url(&link)).await.status != 403 {
        assert!(begun.elapsed() < Duration::from_secs(1), "the link outlives its key");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    open(&given, Method::GET, url(&link)).await.problem(403, "revoked_link");
}

async fn upload_link(given: &Given, body: Value) -> Answer {
    let mut all = json!({"workspace_id": given.workspace, "name": "in.txt", "size": 5});
    all.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    given.data.post("/v1/upload-links", &all).await
}

#[tokio::test]
async fn a_link_takes_one_file_of_its_size_and_type() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let folder = given.folder("inbox", None).await;
    let body = json!({"folder_id": folder, "media_type": "text/plain", "expires_in": 604_800});
    let link = upload_link(&given, body).await.expect(201).json();
    assert_eq!(link["method"], "PUT");
    let put = |body: &'static str, kind: &str| {
        Answer::of(with(&given, Method::PUT, url(&link)).header("content-type", kind).body(body))
    };
    put("too long", "text/plain").await.problem(422, "invalid_request");
    put("words", "text/html").await.problem(422, "invalid_request");
    // No length is announced: it is counted as it comes.
    for pieces in [vec!["wo"], vec!["wor", "ds!"]] {
        let pieces = futures::stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
        let request = with(&given, Method::PUT, url(&link)).header("content-type", "text/plain");
        let answer = Answer::of(request.body(reqwest::Body::wrap_stream(pieces))).await;
        assert!([400, 413].contains(&answer.status.as_u16()), "{}", answer.status);
    }
    house.expect_reserved(0).await;
    let made = put("words", "text/plain; charset=utf-8").await.expect(201);
    assert_eq!((made.text("name"), made.text("folder_id")), ("in.txt".to_owned(), folder));
    // Sent again, it is the same file; another content is not taken.
    assert_eq!(put("words", "text/plain").await.expect(201).text("id"), made.text("id"));
    put("other", "text/plain").await.problem(422, "idempotency_mismatch");
    open(&given, Method::GET, url(&link)).await.problem(403, "invalid_link");
    house.expect_used(5).await;
    // A day later as well, whatever the file is called by then.
    let path = format!("/v1/files/{}", made.text("id"));
    let _ = given.data.patch(&path, &json!({"name": "renamed.txt"})).await.expect(200);
    let later = "update idempotency_keys set expires_at = expires_at - interval '25 hours'
        where tenant_id = app_tenant_id() and route = 'PUT /v1/links' returning id";
    assert_eq!(house.tenant_rows(&given, later).await.len(), 1);
    assert_eq!(put("words", "text/plain").await.expect(201).text("id"), made.text("id"));
    house.expect_used(5).await;
    assert_eq!(given.data.get(&format!("/v1/files/{}/content", made.text("id"))).await.expect(200).bytes, b"words");
}

#[tokio::test]
async fn an_upload_link_is_within_the_creators_quota() {
    let house = crate::house_with(|settings| settings.uploads.max_bytes = 1_000).await;
    let given = house.tenant().await;
    upload_link(&given, json!({"size": 1_001})).await.problem(413, "too_large");
    let link = upload_link(&given, json!({"size": 500})).await.expect(201).json();
    let _ = given
        .data
        .patch(&format!("/v1/workspaces/{}", given.workspace), &json!({"storage_quota": 499}))
        .await
        .expect(200);
    let put = with(&given, Method::PUT, url(&link)).body("x".repeat(500));
    Answer::of(put).await.problem(413, "quota_exceeded");
    upload_link(&given, json!({"size": 500, "name": "b"})).await.problem(413, "quota_exceeded");
    let nowhere = json!({"workspace_id": rowhouse_domain::WorkspaceId::new()});
    upload_link(&given, nowhere).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_repeated_request_makes_one_link_and_its_address_is_kept_nowhere() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let file = given.upload("a.txt", "words").await;
    let ask = || {
        let request = given.data.request(Method::POST, &format!("/v1/files/{file}/links"));
        Answer::of(request.header("idempotency-key", "once").json(&json!({})))
    };
    let (first, second) = (ask().await.expect(201).json(), ask().await.expect(201).json());
    assert_eq!((&first["id"], &first["url"]), (&second["id"], &second["url"]));
    let _ = open(&given, Method::GET, url(&second)).await.expect(200);
}
