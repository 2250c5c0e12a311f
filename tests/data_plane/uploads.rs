//! Content coming in: raw, as a form, streamed, checked, cut off.

use std::time::Duration;

use base64::Engine;
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method};
use rowhouse_testkit::{Answer, Given};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn what_goes_in_comes_out() {
    let given = crate::house().await.into_tenant().await;
    let content: Vec<u8> = (0..3_000_000u32).flat_map(|number| number.to_le_bytes()).collect();
    let path = format!("/v1/files?workspace_id={}&name=numbers.bin", given.workspace);
    let made = given.data.upload(&path, content.clone()).await.expect(201);
    let hash = Sha256::digest(&content);
    assert_eq!(made.json()["size"], content.len());
    let read = given.data.get(&format!("/v1/files/{}/content", made.text("id"))).await.expect(200);
    assert_eq!(Sha256::digest(&read.bytes), hash);
    assert_eq!(
        read.header("etag"),
        format!("\"{}\"", hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    );
    let digest = base64::engine::general_purpose::STANDARD.encode(hash);
    assert_eq!(read.header("repr-digest"), format!("sha-256=:{digest}:"));
}

#[tokio::test]
async fn a_form_with_a_file_is_taken_too() {
    let given = crate::house().await.into_tenant().await;
    let part = Part::bytes(b"from a form".to_vec()).file_name("form.txt").mime_str("text/plain").unwrap();
    let form = Form::new().text("workspace_id", given.workspace.clone()).part("file", part);
    let made = Answer::of(given.data.request(Method::POST, "/v1/files").multipart(form)).await.expect(201);
    assert_eq!(made.text("name"), "form.txt");
    let read = given.data.get(&format!("/v1/files/{}/content", made.text("id"))).await.expect(200);
    assert_eq!(read.bytes, b"from a form");
}

#[tokio::test]
async fn a_body_without_a_length_is_cut_at_the_limit() {
    let house = crate::house_with(|settings| settings.uploads.max_bytes = 1_000_000).await;
    let given = house.tenant().await;
    let path = format!("/v1/files?workspace_id={}&name=endless.bin", given.workspace);
    let pieces = futures::stream::iter((0..400).map(|_| Ok::<_, std::io::Error>(vec![0u8; 10_000])));
    let request = given.data.request(Method::POST, &path).body(Body::wrap_stream(pieces));
    Answer::of(request).await.problem(413, "too_large");
    // A declared length is refused before a byte of the body is read.
    let never = futures::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let request =
        given.data.request(Method::POST, &path).header("content-length", 1_000_001).body(Body::wrap_stream(never));
    let answer = tokio::time::timeout(Duration::from_secs(5), Answer::of(request)).await.unwrap();
    answer.problem(413, "too_large");
    house.expect_stored_objects(0).await;
    house.expect_reserved(0).await;
}

#[tokio::test]
async fn a_wrong_digest_is_refused_and_leaves_nothing() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let path = format!("/v1/files?workspace_id={}&name=a.txt", given.workspace);
    let send = |digest: String| {
        Answer::of(given.data.request(Method::POST, &path).header("content-digest", digest).body("words"))
    };
    let of =
        |text: &str| format!("sha-256=:{}:", base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text)));
    send(of("other words")).await.problem(400, "digest_mismatch");
    house.expect_stored_objects(0).await;
    house.expect_reserved(0).await;
    let _ = send(of("words")).await.expect(201);
}

#[tokio::test]
async fn each_header_that_states_a_hash_is_checked() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let sha256 = |text: &str| format!("sha-256=:{}:", base64(&Sha256::digest(text)));
    let (md5, other_md5) = ("iXWeEoTiR5uZHSZp3hBJQg==", "JcbZd1Ozyz+udRzA+u10SQ==");
    let path = |name: &str| format!("/v1/files?workspace_id={}&name={name}", given.workspace);
    let send = |name: &str, header: &str, value: String| {
        Answer::of(given.data.request(Method::POST, &path(name)).header(header, value).body("words"))
    };
    for (header, value) in [
        ("repr-digest", sha256("other words")),
        ("content-digest", sha256("other words")),
        ("content-md5", other_md5.to_owned()),
    ] {
        send("wrong", header, value).await.problem(400, "digest_mismatch");
    }
    // One that nobody checks is not taken for one that was.
    for value in ["sha-512=:AA==:", "md5=:AA==:"] {
        send("wrong", "repr-digest", value.to_owned()).await.problem(400, "malformed_request");
    }
    house.expect_stored_objects(0).await;
    house.expect_reserved(0).await;
    let made = send("a", "repr-digest", sha256("words")).await.expect(201).text("id");
    // It is noted also where the bytes are there already.
    let again = send("b", "content-md5", md5.to_owned()).await.expect(201).text("id");
    let content = given.data.get(&format!("/v1/files/{again}/content")).await.expect(200);
    assert_eq!(content.header("content-digest"), sha256("words"));
    assert_eq!(content.header("repr-digest"), sha256("words"));
    let version = given.data.get(&format!("/v1/files/{made}/versions/1")).await.expect(200).json();
    assert_eq!(version["md5"], "89759e1284e2479b991d2669de104942");
    let part = given.data.request(Method::GET, &format!("/v1/files/{again}/content")).header("range", "bytes=0-1");
    assert!(!Answer::of(part).await.expect(206).headers.contains_key("content-digest"));
}

#[tokio::test]
async fn a_hash_that_a_form_states_is_checked_or_refused() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let sha256 = |text: &str| format!("sha-256=:{}:", base64(&Sha256::digest(text)));
    let form = |header: &'static str, value: &str| {
        let headers = HeaderMap::from_iter([(HeaderName::from_static(header), value.parse().unwrap())]);
        let part = Part::bytes(b"words".to_vec()).file_name("form.txt").headers(headers);
        let form = Form::new().text("workspace_id", given.workspace.clone()).part("file", part);
        given.data.request(Method::POST, "/v1/files").multipart(form)
    };
    for (header, value) in [
        ("repr-digest", sha256("other words")),
        ("content-digest", sha256("other words")),
        ("content-md5", "JcbZd1Ozyz+udRzA+u10SQ==".to_owned()),
    ] {
        Answer::of(form(header, &value)).await.problem(400, "digest_mismatch");
        // Of the whole form, also where it is right.
        let whole = form("x-other", "").header(header, value);
        Answer::of(whole).await.problem(400, "malformed_request");
    }
    house.expect_stored_objects(0).await;
    house.expect_reserved(0).await;
    let _ = Answer::of(form("repr-digest", &sha256("words"))).await.expect(201);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let path = format!("/v1/files?workspace_id={}&name=half.bin", given.workspace);
    let address = given.data.base().trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\ncontent-length: 100000000\r\n\r\n",
        given.data.key()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..20 {
        socket.write_all(&[7; 100_000]).await.unwrap();
    }
    house.expect_reserved(100_000_000).await;
    drop(socket);
    house.expect_reserved(0).await;
    house.expect_stored_objects(0).await;
    let _ = given.data.upload(&path, "whole").await.expect(201);
}

#[tokio::test]
async fn a_retried_upload_makes_one_file() {
    let given = crate::house().await.into_tenant().await;
    let path = format!("/v1/files?workspace_id={}&name=once.txt", given.workspace);
    let send =
        || Answer::of(given.data.request(Method::POST, &path).header("idempotency-key", "upload-1").body("words"));
    let first = send().await.expect(201);
    let second = send().await.expect(201);
    assert_eq!(first.text("id"), second.text("id"));
}

#[tokio::test]
async fn a_key_stands_for_one_content() {
    let given = crate::house().await.into_tenant().await;
    let path = format!("/v1/files?workspace_id={}&name=once.txt", given.workspace);
    let send = |body: &'static str| {
        Answer::of(given.data.request(Method::POST, &path).header("idempotency-key", "upload-1").body(body))
    };
    let first = send("words").await.expect(201);
    send("wordy").await.problem(422, "idempotency_mismatch");
    assert_eq!(send("words").await.expect(201).text("id"), first.text("id"));
    let form = |content: &'static str| {
        let form = Form::new()
            .text("workspace_id", given.workspace.clone())
            .part("file", Part::bytes(content.as_bytes()).file_name("form.txt"));
        Answer::of(given.data.request(Method::POST, "/v1/files").header("idempotency-key", "form-1").multipart(form))
    };
    let first = form("words").await.expect(201);
    form("other words").await.problem(422, "idempotency_mismatch");
    assert_eq!(form("words").await.expect(201).text("id"), first.text("id"));
}

/// Sends the head of an upload and the beginning of its body, and nothing more.
async fn begin(given: &Given, query: &str, headers: &str, body: &str) -> TcpStream {
    let address = given.data.base().trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/files{query} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\
         content-length: 1000\r\n{headers}\r\n{body}",
        given.data.key()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket
}

async fn end(mut socket: TcpStream) -> String {
    let mut answer = String::new();
    let read = tokio::time::timeout(Duration::from_secs(10), socket.read_to_string(&mut answer)).await;
    let _ = read.expect("an answer comes in time").unwrap();
    answer
}

#[tokio::test]
async fn whoever_stops_sending_is_not_waited_for() {
    let house = crate::house_with(|settings| settings.uploads.idle_timeout = Duration::from_secs(1)).await;
    let given = house.tenant().await;
    let form = "content-type: multipart/form-data; boundary=x\r\n";
    let workspace =
        format!("--x\r\ncontent-disposition: form-data; name=\"workspace_id\"\r\n\r\n{}\r\n", given.workspace);
    let file = "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nwords";
    let query = format!("?workspace_id={}&name=a", given.workspace);
    for (query, headers, body) in [
        (query.as_str(), "", "words".to_owned()),
        ("", form, "--x\r\ncontent-disp".to_owned()),
        ("", form, workspace.clone()),
        ("", form, format!("{workspace}{file}")),
        ("", form, format!("{workspace}{file}\r\n--x\r\n")),
    ] {
        let answer = end(begin(&given, query, headers, &body).await).await;
        assert!(answer.starts_with("HTTP/1.1 504"), "{body}\n{answer}");
    }
    house.expect_reserved(0).await;
    house.expect_stored_objects(0).await;
}

#[tokio::test]
async fn a_form_is_no_way_to_send_fields_without_end() {
    let given = crate::house().await.into_tenant().await;
    let form = (0..20).fold(Form::new(), |form, _| form.text("name", "a"));
    let part = Part::bytes(b"words".to_vec()).file_name("form.txt");
    let send = |form: Form| Answer::of(given.data.request(Method::POST, "/v1/files").multipart(form));
    send(form.part("file", part)).await.problem(422, "invalid_request");
    let part = Part::bytes(vec![b'x'; 3_000]);
    send(Form::new().part("name", part)).await.problem(422, "invalid_request");
}

#[tokio::test]
async fn a_tenant_that_sends_too_much_at_once_is_asked_to_come_back() {
    let house = crate::house_with(|settings| settings.uploads.parallel = 4).await;
    let (busy, other) = (house.tenant().await, house.tenant().await);
    let query = |given: &Given, name: &str| format!("?workspace_id={}&name={name}", given.workspace);
    let mut socket = begin(&busy, &query(&busy, "slow"), "", "").await;
    house.expect_reserved(1_000).await;
    let refused = busy.data.upload(&format!("/v1/files{}", query(&busy, "quick")), "words").await;
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    refused.problem(503, "unavailable");
    let _ = other.upload("quick", "words").await;
    socket.write_all(&[1; 1_000]).await.unwrap();
    assert!(end(socket).await.starts_with("HTTP/1.1 201"));
    let _ = busy.upload("quick", "words").await;
}

#[tokio::test]
async fn an_upload_that_lost_its_room_is_not_recorded() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let mut socket = begin(&given, &format!("?workspace_id={}&name=late", given.workspace), "", "").await;
    house.expect_reserved(1_000).await;
    house.sql("update quota_reservations set expires_at = now() - interval '1 second'").await;
    house.sql("select quota_expire(100)").await;
    house.expect_reserved(0).await;
    socket.write_all(&[1; 1_000]).await.unwrap();
    let answer = end(socket).await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    house.expect_stored_objects(0).await;
    house.expect_used(0).await;
}
