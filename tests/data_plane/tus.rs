//! Resumable uploads (tus 1.0): begun, broken off, gone on with, put together.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt, stream};
use reqwest::{Body, Method, RequestBuilder};
use rowhouse_testkit::{Answer, Client, Given, TestHouse};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::recount;

const OFFSET: &str = "application/offset+octet-stream";

pub(super) fn request(client: &Client, method: Method, path: &str) -> RequestBuilder {
    client.request(method, path).header("tus-resumable", "1.0.0")
}

fn metadata(given: &Given, name: &str) -> String {
    let pairs = [("workspace_id", given.workspace.as_str()), ("filename", name), ("filetype", "text/plain")];
    pairs.map(|(name, value)| format!("{name} {}", STANDARD.encode(value))).join(",")
}

/// Begins an upload and gives its address.
pub(super) async fn begin(given: &Given, name: &str, length: usize) -> String {
    let begin = request(&given.data, Method::POST, "/v1/uploads").header("upload-length", length);
    let begun = Answer::of(begin.header("upload-metadata", metadata(given, name))).await.expect(201);
    assert!(begun.headers.contains_key("upload-expires"));
    begun.header("location").to_owned()
}

pub(super) fn patch(client: &Client, path: &str, offset: usize) -> RequestBuilder {
    request(client, Method::PATCH, path).header("content-type", OFFSET).header("upload-offset", offset)
}

pub(super) async fn offset(client: &Client, path: &str) -> usize {
    let head = Answer::of(request(client, Method::HEAD, path)).await.expect(200);
    assert_eq!(head.header("cache-control"), "no-store");
    head.header("upload-offset").parse().unwrap()
}

pub(super) async fn content(given: &Given, name: &str) -> Option<Vec<u8>> {
    let files = given.data.get(&format!("/v1/files?workspace_id={}", given.workspace)).await.expect(200).json();
    let file = files["items"].as_array().unwrap().iter().find(|file| file["name"] == name)?;
    let path = format!("/v1/files/{}/content", file["id"].as_str().unwrap());
    Some(given.data.get(&path).await.expect(200).bytes)
}

/// The room of an upload that has become a file is the file's until it is counted, also where the upload is forgotten before that.
#[tokio::test]
async fn what_a_finished_upload_holds_is_not_given_back_with_it() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let quota = json!({"storage_quota": 100});
    let _ = house.admin.patch(&format!("/v1/tenants/{}", given.tenant), &quota).await.expect(200);
    house.sql("revoke execute on function usage_record_all from rowhouse_data").await;
    for name in ["deleted", "expired"] {
        let path = begin(&given, name, 30).await;
        let _ = Answer::of(patch(&given.data, &path, 0).body(vec![7; 30])).await.expect(204);
        if name == "deleted" {
            let _ = Answer::of(request(&given.data, Method::DELETE, &path)).await.expect(204);
        }
    }
    let expire = "update upload_sessions set expires_at = now() where tenant_id = app_tenant_id() returning 1";
    assert_eq!(house.tenant_rows(&given, expire).await.len(), 1);
    house.sql(&super::trash::mark(&given)).await;
    let sessions = "select from upload_sessions where tenant_id = app_tenant_id()";
    while !house.tenant_rows(&given, sessions).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Whoever ends it gives back what it held right after.
    tokio::time::sleep(Duration::from_millis(500)).await;
    house.expect_reserved(60).await;
    let path = format!("/v1/files?workspace_id={}&name=more", given.workspace);
    given.data.upload(&path, vec![7; 41]).await.problem(413, "quota_exceeded");
    house.sql("grant execute on function usage_record_all to rowhouse_data").await;
    house.expect_used(60).await;
    house.expect_reserved(0).await;
}

#[tokio::test]
async fn an_upload_comes_in_pieces() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let options = given.data.request(Method::OPTIONS, "/v1/uploads");
    let options = Answer::of(options).await.expect(204);
    assert!(options.header("tus-extension").contains("creation-with-upload"));
    let path = begin(&given, "a.txt", 11).await;
    house.expect_reserved(11).await;
    assert_eq!(offset(&given.data, &path).await, 0);
    let first = Answer::of(patch(&given.data, &path, 0).body("hello ")).await.expect(204);
    assert_eq!(first.header("upload-offset"), "6");
    assert_eq!(content(&given, "a.txt").await, None, "there is no file before the last byte");
    let again = Answer::of(patch(&given.data, &path, 0).body("hello ")).await.problem(409, "offset_mismatch");
    assert_eq!(again["offset"], 6);
    let longer = patch(&given.data, &path, 6).body("world, and more");
    Answer::of(longer).await.problem(413, "too_large");
    assert_eq!(offset(&given.data, &path).await, 6);
    let last = Answer::of(patch(&given.data, &path, 6).body("world")).await.expect(204);
    assert_eq!(last.header("upload-offset"), "11");
    assert_eq!(content(&given, "a.txt").await.unwrap(), b"hello world");
    assert_eq!(offset(&given.data, &path).await, 11);
    house.expect_used(11).await;
    house.expect_reserved(0).await;
    house.expect_stored_objects(1).await;
}

#[tokio::test]
async fn requests_that_are_not_of_tus_are_told_so() {
    let given = crate::house().await.into_tenant().await;
    let path = begin(&given, "a.txt", 5).await;
    let old = given.data.request(Method::HEAD, &path).header("tus-resumable", "0.2.2");
    let old = Answer::of(old).await;
    assert_eq!((old.status.as_u16(), old.header("tus-version")), (412, "1.0.0"));
    Answer::of(given.data.request(Method::POST, "/v1/uploads")).await.problem(412, "tus_version");
    let form = request(&given.data, Method::PATCH, &path).header("upload-offset", 0).body("words");
    Answer::of(form).await.problem(415, "unsupported_media_type");
    let nowhere = request(&given.data, Method::PATCH, &path).header("content-type", OFFSET).body("words");
    Answer::of(nowhere).await.problem(400, "malformed_request");
    for (header, value) in [("upload-length", "-1"), ("upload-length", "x"), ("upload-metadata", "name %")] {
        let odd = request(&given.data, Method::POST, "/v1/uploads").header(header, value);
        Answer::of(odd).await.problem(400, "malformed_request");
    }
    let unnamed = request(&given.data, Method::POST, "/v1/uploads").header("upload-length", 5);
    Answer::of(unnamed).await.problem(422, "invalid_request");
}

#[tokio::test]
async fn every_answer_says_what_is_spoken() {
    let given = crate::house().await.into_tenant().await;
    let path = begin(&given, "a.txt", 5).await;
    let stranger = given.data.with_key("rht_nothing");
    let nothing = format!("/v1/uploads/{}", rowhouse_domain::UploadId::new());
    for (request, status) in [
        (given.data.request(Method::PATCH, &path), 415),
        (given.data.request(Method::POST, "/v1/uploads"), 412),
        (patch(&given.data, &path, 3).body("words"), 409),
        (request(&given.data, Method::HEAD, &nothing), 404),
        (request(&given.data, Method::DELETE, "/v1/uploads/nothing"), 400),
        (request(&stranger, Method::HEAD, &path), 401),
        (patch(&given.data, &path, 0).body("words"), 204),
    ] {
        let request = if status == 415 { request.header("tus-resumable", "1.0.0") } else { request };
        let answer = Answer::of(request).await;
        assert_eq!((answer.status.as_u16(), answer.header("tus-resumable")), (status, "1.0.0"));
        assert_eq!(answer.headers.contains_key("tus-version"), status == 412);
        assert!(answer.headers.contains_key("x-request-id"));
    }
}

#[tokio::test]
async fn a_client_without_patch_and_delete_says_what_it_means() {
    let given = crate::house().await.into_tenant().await;
    let path = begin(&given, "a.txt", 10).await;
    let means =
        |method: &str, path: &str| request(&given.data, Method::POST, path).header("x-http-method-override", method);
    let piece = means("PATCH", &path).header("content-type", OFFSET).header("upload-offset", 0).body("words");
    assert_eq!(Answer::of(piece).await.expect(204).header("upload-offset"), "5");
    Answer::of(means("GET", &path)).await.problem(405, "method_not_allowed");
    let _ = Answer::of(means("DELETE", &path)).await.expect(204);
    assert_eq!(Answer::of(request(&given.data, Method::HEAD, &path)).await.status.as_u16(), 404);
    // Elsewhere a method is what it is.
    let made = given.upload("b.txt", "words").await;
    let file = format!("/v1/files/{made}");
    assert_ne!(Answer::of(means("DELETE", &file)).await.status.as_u16(), 204);
    let _ = given.data.get(&file).await.expect(200);
}

#[tokio::test]
async fn a_length_can_be_said_later() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let begin =
        || request(&given.data, Method::POST, "/v1/uploads").header("upload-metadata", metadata(&given, "a.txt"));
    for (defer, length) in [("2", None), ("1", Some("5"))] {
        let odd = begin().header("upload-defer-length", defer);
        let odd = length.iter().fold(odd, |odd, length| odd.header("upload-length", *length));
        Answer::of(odd).await.problem(400, "malformed_request");
    }
    let begun = Answer::of(begin().header("upload-defer-length", "1")).await.expect(201);
    let path = begun.header("location").to_owned();
    let head = || request(&given.data, Method::HEAD, &path);
    let open = Answer::of(head()).await.expect(200);
    assert_eq!((open.header("upload-defer-length"), open.headers.get("upload-length")), ("1", None));
    let _ = Answer::of(patch(&given.data, &path, 0).body("hello ")).await.expect(204);
    house.expect_reserved(6).await;
    let short = patch(&given.data, &path, 6).header("upload-length", 5).body("");
    Answer::of(short).await.problem(400, "malformed_request");
    let stated = patch(&given.data, &path, 6).header("upload-length", 11).body("wo");
    let _ = Answer::of(stated).await.expect(204);
    house.expect_reserved(11).await;
    let known = Answer::of(head()).await.expect(200);
    assert_eq!((known.header("upload-length"), known.headers.get("upload-defer-length")), ("11", None));
    let other = patch(&given.data, &path, 8).header("upload-length", 12).body("rld");
    Answer::of(other).await.problem(400, "malformed_request");
    let long = patch(&given.data, &path, 8).body("rld and more");
    Answer::of(long).await.problem(413, "too_large");
    let last = Answer::of(patch(&given.data, &path, offset(&given.data, &path).await).body("rld")).await.expect(204);
    assert_eq!(last.header("upload-offset"), "11");
    assert_eq!(content(&given, "a.txt").await.unwrap(), b"hello world");
    house.expect_used(11).await;
    house.expect_reserved(0).await;
}

/// Begins an upload whose length is left open.
async fn begin_open(given: &Given, name: &str) -> String {
    let begin = request(&given.data, Method::POST, "/v1/uploads").header("upload-defer-length", "1");
    let begun = Answer::of(begin.header("upload-metadata", metadata(given, name))).await.expect(201);
    begun.header("location").to_owned()
}

/// A body of which the first half comes, and the second when somebody says so.
fn halting(first: &'static str, second: &'static str) -> (oneshot::Sender<()>, Body) {
    let (go_on, told) = oneshot::channel::<()>();
    let second = stream::once(async move {
        told.await.unwrap();
        Ok::<_, std::io::Error>(second)
    });
    (go_on, Body::wrap_stream(stream::iter([Ok(first)]).chain(second)))
}

/// Sends a body, and waits until it is being taken in.
pub(super) async fn under_way(house: &TestHouse, given: &Given, request: RequestBuilder) -> JoinHandle<Answer> {
    let sending = tokio::spawn(Answer::of(request));
    for _ in 0..300 {
        if !house.tenant_rows(given, "select from upload_intents").await.is_empty() {
            return sending;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nothing is taken in");
}

#[tokio::test]
async fn what_has_no_room_is_refused_before_it_is_taken_in() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let quota = json!({"storage_quota": 10});
    let _ = house.admin.patch(&format!("/v1/tenants/{}", given.tenant), &quota).await.expect(200);
    let path = begin_open(&given, "a.txt").await;
    // It never comes: it is refused for what it says that it is.
    let never = Body::wrap_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let announced = Answer::of(patch(&given.data, &path, 0).header("content-length", 11).body(never));
    let refused = tokio::time::timeout(Duration::from_secs(30), announced).await.expect("an answer before the body");
    refused.problem(413, "quota_exceeded");
    // Nor does it help to say nothing of the length.
    let pieces = stream::iter(["six by", "tes, and six more"].map(Ok::<_, std::io::Error>));
    let silent = patch(&given.data, &path, 0).body(Body::wrap_stream(pieces));
    Answer::of(silent).await.problem(413, "quota_exceeded");
    assert!(house.tenant_rows(&given, "select from upload_intents").await.is_empty(), "something of it was kept");
    assert_eq!(offset(&given.data, &path).await, 0);
    // What was reserved for that is there for what comes instead.
    let whole = patch(&given.data, &path, 0).header("upload-length", 10).body("ten bytes.");
    let _ = Answer::of(whole).await.expect(204);
    assert_eq!(content(&given, "a.txt").await.unwrap(), b"ten bytes.");
    house.expect_used(10).await;
    house.expect_reserved(0).await;
}

#[tokio::test]
async fn what_is_sent_again_reserves_nothing_more() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let path = begin_open(&given, "a.txt").await;
    let (go_on, body) = halting("wo", "rds");
    let first = patch(&given.data, &path, 0).header("content-length", 5).body(body);
    let first = under_way(&house, &given, first).await;
    let _ = Answer::of(patch(&given.data, &path, 0).body("words")).await.expect(204);
    go_on.send(()).unwrap();
    first.await.unwrap().problem(409, "offset_mismatch");
    house.expect_reserved(5).await;
    let _ = Answer::of(request(&given.data, Method::DELETE, &path)).await.expect(204);
    house.expect_reserved(0).await;
}

#[tokio::test]
async fn a_length_that_is_said_meanwhile_holds() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let path = begin_open(&given, "a.txt").await;
    let (go_on, body) = halting("six", " by");
    let long = patch(&given.data, &path, 0).header("content-length", 6).body(body);
    let long = under_way(&house, &given, long).await;
    let _ = Answer::of(patch(&given.data, &path, 0).header("upload-length", 5).body("")).await.expect(204);
    go_on.send(()).unwrap();
    long.await.unwrap().problem(409, "offset_mismatch");
    let _ = Answer::of(patch(&given.data, &path, 0).body("words")).await.expect(204);
    assert_eq!(content(&given, "a.txt").await.unwrap(), b"words");
    house.expect_used(5).await;
    house.expect_reserved(0).await;
}

#[tokio::test]
async fn what_came_before_a_connection_broke_is_kept() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let whole: Vec<u8> = (0..1_500_000u32).flat_map(u32::to_le_bytes).collect();
    let path = begin(&given, "large.bin", whole.len()).await;
    // The first half, and then the connection is gone.
    let half = whole[..3_000_000].to_vec();
    let stream = stream::iter([Ok(half), Err(std::io::Error::other("gone"))]);
    let broken = patch(&given.data, &path, 0).header("content-length", whole.len()).body(Body::wrap_stream(stream));
    assert!(broken.send().await.is_err());
    let mut known = 0;
    for _ in 0..100 {
        known = offset(&given.data, &path).await;
        if known > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(known > 0 && known <= 3_000_000, "{known}");
    let rest = whole[known..].to_vec();
    let _ = Answer::of(patch(&given.data, &path, known).body(rest)).await.expect(204);
    assert_eq!(Sha256::digest(content(&given, "large.bin").await.unwrap()), Sha256::digest(&whole));
    house.expect_reserved(0).await;
    house.expect_stored_objects(1).await;
}

#[tokio::test]
async fn a_piece_has_the_checksum_that_was_stated() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let path = begin(&given, "a.txt", 10).await;
    let stated = |words: &str| format!("sha256 {}", STANDARD.encode(Sha256::digest(words)));
    let wrong = patch(&given.data, &path, 0).header("upload-checksum", stated("other")).body("words");
    Answer::of(wrong).await.problem(460, "checksum_mismatch");
    assert_eq!(offset(&given.data, &path).await, 0);
    house.expect_stored_objects(0).await;
    let right = patch(&given.data, &path, 0).header("upload-checksum", stated("words")).body("words");
    let _ = Answer::of(right).await.expect(204);
    let sha1 =
        patch(&given.data, &path, 5).header("upload-checksum", "sha1 o+22ld/AztSp6ZlvwNEfjQTIWSA=").body("words");
    Answer::of(sha1).await.problem(460, "checksum_mismatch");
    let odd = patch(&given.data, &path, 5).header("upload-checksum", "crc32 AAAA").body("words");
    Answer::of(odd).await.problem(400, "malformed_request");
}

#[tokio::test]
async fn creation_takes_the_beginning_along_and_termination_leaves_nothing() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let with_upload = |name: &str, length: usize| {
        let begin = request(&given.data, Method::POST, "/v1/uploads").header("upload-length", length);
        begin.header("upload-metadata", metadata(&given, name)).header("content-type", OFFSET).body("words")
    };
    let whole = Answer::of(with_upload("whole.txt", 5)).await.expect(201);
    assert_eq!(whole.header("upload-offset"), "5");
    assert_eq!(content(&given, "whole.txt").await.unwrap(), b"words");
    let part = Answer::of(with_upload("part.txt", 50)).await.expect(201);
    assert_eq!(part.header("upload-offset"), "5");
    let path = part.header("location");
    let _ = Answer::of(request(&given.data, Method::DELETE, path)).await.expect(204);
    assert_eq!(Answer::of(request(&given.data, Method::HEAD, path)).await.status.as_u16(), 404);
    house.expect_reserved(0).await;
    house.expect_stored_objects(1).await;
    // Nothing is begun that could not end well.
    Answer::of(with_upload("whole.txt", 5)).await.problem(409, "name_taken");
    Answer::of(with_upload("huge.bin", 6_000_000_000)).await.problem(413, "too_large");
    let quota = json!({"storage_quota": 100});
    let _ = given.data.patch(&format!("/v1/workspaces/{}", given.workspace), &quota).await.expect(200);
    Answer::of(with_upload("b.bin", 96)).await.problem(413, "quota_exceeded");
    // An upload of nothing is whole at once.
    let _ = begin(&given, "empty.txt", 0).await;
    assert_eq!(content(&given, "empty.txt").await.unwrap(), b"");
    house.expect_reserved(0).await;
}

/// Nobody knows the address of what was begun by a creation that failed.
#[tokio::test]
async fn a_creation_that_fails_or_is_left_holds_nothing() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let with_upload = |length: usize| {
        let begin = request(&given.data, Method::POST, "/v1/uploads").header("upload-length", length);
        begin.header("upload-metadata", metadata(&given, "a.txt")).header("content-type", OFFSET)
    };
    let wrong = format!("sha256 {}", STANDARD.encode(Sha256::digest("other")));
    for _ in 0..3 {
        let answer = Answer::of(with_upload(500).header("upload-checksum", &wrong).body("words")).await;
        answer.problem(460, "checksum_mismatch");
        house.expect_reserved_within(0, Duration::from_millis(500)).await;
    }
    house.expect_stored_objects(0).await;
    // One whose client goes away in the middle of the beginning.
    let (_halt, body) = halting("words", "");
    let sending = under_way(&house, &given, with_upload(500).body(body)).await;
    sending.abort();
    house.expect_reserved(0).await;
    let sessions = "select from upload_sessions where tenant_id = app_tenant_id()";
    assert!(house.tenant_rows(&given, sessions).await.is_empty());
}

#[tokio::test]
async fn pieces_are_put_together() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let mut pieces = Vec::new();
    for words in ["one ", "two ", "three"] {
        let begin = request(&given.data, Method::POST, "/v1/uploads").header("upload-length", words.len());
        let begin = begin.header("upload-concat", "partial").header("content-type", OFFSET).body(words);
        pieces.push(Answer::of(begin).await.expect(201).header("location").to_owned());
    }
    let head = Answer::of(request(&given.data, Method::HEAD, &pieces[0])).await.expect(200);
    assert_eq!((head.header("upload-concat"), head.header("upload-offset")), ("partial", "4"));
    let together = |name: &str, pieces: &[String]| {
        let begin = request(&given.data, Method::POST, "/v1/uploads");
        let begin = begin.header("upload-concat", format!("final;{}", pieces.join(" ")));
        Answer::of(begin.header("upload-metadata", metadata(&given, name)))
    };
    let unfinished = begin(&given, "x.txt", 5).await;
    together("no.txt", &[pieces[0].clone(), unfinished]).await.problem(409, "invalid_transition");
    // Where it comes to nothing, the pieces stay, with their room.
    house.expect_reserved(13 + 5).await;
    let workspace = format!("/v1/workspaces/{}", given.workspace);
    let _ = given.data.patch(&workspace, &json!({"storage_quota": 12})).await.expect(200);
    together("large.txt", &pieces).await.problem(413, "quota_exceeded");
    let _ = given.data.patch(&workspace, &json!({"storage_quota": null})).await.expect(200);
    house.expect_reserved(13 + 5).await;
    // From absolute addresses, with no more room than for each byte once.
    let quota = json!({"storage_quota": 13 + 5});
    let _ = house.admin.patch(&format!("/v1/tenants/{}", given.tenant), &quota).await.expect(200);
    let absolute: Vec<String> = pieces.iter().map(|piece| format!("http://example.org{piece}")).collect();
    let made = together("all.txt", &absolute).await.expect(201);
    assert_eq!(content(&given, "all.txt").await.unwrap(), b"one two three");
    house.expect_used(13).await;
    house.expect_reserved(5).await;
    let path = made.header("location");
    let head = Answer::of(request(&given.data, Method::HEAD, path)).await.expect(200);
    assert_eq!((head.header("upload-offset"), head.header("upload-length")), ("13", "13"));
    assert_eq!(head.header("upload-concat"), format!("final;{}", pieces.join(" ")));
    Answer::of(patch(&given.data, path, 13).body("")).await.problem(403, "final_upload");
    // The pieces end with it.
    assert_eq!(Answer::of(request(&given.data, Method::HEAD, &pieces[0])).await.status.as_u16(), 404);
    together("again.txt", &pieces).await.problem(404, "not_found");
    house.expect_stored_objects(1).await;
}

#[tokio::test]
async fn pieces_that_another_account_brought_keep_no_room_of_its() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let brings = recount::with_an_account(&house, &given, 150).await;
    let begin = request(&brings, Method::POST, "/v1/uploads").header("upload-length", 5);
    let begin = begin.header("upload-concat", "partial").header("content-type", OFFSET).body("words");
    let piece = Answer::of(begin).await.expect(201).header("location").to_owned();
    house.expect_reserved(5).await;
    let joins = request(&given.data, Method::POST, "/v1/uploads").header("upload-concat", format!("final;{piece}"));
    let _ = Answer::of(joins.header("upload-metadata", metadata(&given, "all.txt"))).await.expect(201);
    house.expect_used(5).await;
    house.expect_reserved(0).await;
}

#[tokio::test]
async fn what_nobody_goes_on_with_is_forgotten() {
    let house = crate::house_with(|settings| settings.uploads.session_ttl = Duration::from_secs(3)).await;
    let given = house.tenant().await;
    let path = begin(&given, "a.txt", 1_000).await;
    let _ = Answer::of(patch(&given.data, &path, 0).body("words")).await.expect(204);
    assert_eq!(house.stored_objects(), 1);
    house.expect_stored_objects(0).await;
    house.expect_reserved(0).await;
    assert_eq!(Answer::of(request(&given.data, Method::HEAD, &path)).await.status.as_u16(), 404);
    Answer::of(patch(&given.data, &path, 5).body("more")).await.problem(404, "not_found");
}

#[tokio::test]
async fn another_tenant_knows_nothing_of_an_upload() {
    let house = crate::house().await;
    let (given, other) = (house.tenant().await, house.tenant().await);
    let path = begin(&given, "a.txt", 5).await;
    assert_eq!(Answer::of(request(&other.data, Method::HEAD, &path)).await.status.as_u16(), 404);
    Answer::of(patch(&other.data, &path, 0).body("words")).await.problem(404, "not_found");
    Answer::of(request(&other.data, Method::DELETE, &path)).await.problem(404, "not_found");
    let foreign = request(&other.data, Method::POST, "/v1/uploads").header("upload-length", 5);
    Answer::of(foreign.header("upload-metadata", metadata(&given, "a.txt"))).await.problem(404, "not_found");
    assert_eq!(offset(&given.data, &path).await, 0);
}

#[tokio::test]
async fn parts_are_encrypted_like_everything_else() {
    let house = crate::house_with(|settings| settings.blobs.encryption = rowhouse_settings::Encryption::On).await;
    let given = house.tenant().await;
    let words = "the walrus and the carpenter";
    let path = begin(&given, "a.txt", words.len()).await;
    let _ = Answer::of(patch(&given.data, &path, 0).body(&words[..10])).await.expect(204);
    for entry in std::fs::read_dir(house.blob_root()).unwrap() {
        for object in std::fs::read_dir(entry.unwrap().path()).unwrap() {
            let bytes = std::fs::read(object.unwrap().path()).unwrap();
            assert!(!bytes.windows(6).any(|window| window == b"walrus"), "a part lies open");
        }
    }
    let _ = Answer::of(patch(&given.data, &path, 10).body(&words[10..])).await.expect(204);
    assert_eq!(content(&given, "a.txt").await.unwrap(), words.as_bytes());
}
