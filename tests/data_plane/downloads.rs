//! Content going out: ranges, conditions, headers that keep a browser out of trouble.

use std::time::Duration;

use reqwest::Method;
use rowhouse_testkit::{Answer, Given};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn ask(given: &Given, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = headers
        .iter()
        .fold(given.data.request(Method::GET, path), |request, (name, value)| request.header(*name, *value));
    Answer::of(request).await
}

#[tokio::test]
async fn ranges_are_exact() {
    let given = crate::house().await.into_tenant().await;
    let path = format!("/v1/files/{}/content", given.upload("digits.txt", "0123456789").await);
    for (range, expected, place) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=5-500", "56789", "bytes 5-9/10"),
    ] {
        let part = ask(&given, &path, &[("range", range)]).await.expect(206);
        assert_eq!((part.bytes.as_slice(), part.header("content-range")), (expected.as_bytes(), place), "{range}");
    }
    let outside = ask(&given, &path, &[("range", "bytes=10-")]).await;
    assert_eq!(outside.header("content-range"), "bytes */10");
    outside.problem(416, "range_not_satisfiable");
    // What is no range is ignored (RFC 9110 §14.2).
    for range in ["bytes=x-y", "lines=1-2", "bytes=5-2"] {
        assert_eq!(ask(&given, &path, &[("range", range)]).await.expect(200).bytes, b"0123456789", "{range}");
    }
    let etag = ask(&given, &path, &[]).await.header("etag").to_owned();
    let _ = ask(&given, &path, &[("range", "bytes=0-1"), ("if-range", &etag)]).await.expect(206);
    let _ = ask(&given, &path, &[("range", "bytes=0-1"), ("if-range", "\"other\"")]).await.expect(200);
}

#[tokio::test]
async fn what_the_caller_has_is_not_sent_again() {
    let given = crate::house().await.into_tenant().await;
    let path = format!("/v1/files/{}/content", given.upload("a.txt", "words").await);
    let full = ask(&given, &path, &[]).await.expect(200);
    let same = ask(&given, &path, &[("if-none-match", full.header("etag"))]).await.expect(304);
    assert!(same.bytes.is_empty());
    let _ = ask(&given, &path, &[("if-none-match", "\"other\"")]).await.expect(200);
    let _ = ask(&given, &path, &[("if-modified-since", full.header("last-modified"))]).await.expect(304);
    let head = Answer::of(given.data.request(Method::HEAD, &path)).await.expect(200);
    assert_eq!((head.header("content-length"), head.bytes.len()), ("5", 0));
}

#[tokio::test]
async fn a_browser_never_runs_what_was_uploaded() {
    let given = crate::house().await.into_tenant().await;
    let page = given.upload("page.html", "<script>alert(1)</script>").await;
    let answer = ask(&given, &format!("/v1/files/{page}/content?disposition=inline"), &[]).await.expect(200);
    assert!(answer.header("content-disposition").starts_with("attachment"));
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(answer.header("content-security-policy").contains("sandbox"));
    let name = given.upload("%E2%82%AC%20rates%22.txt", "x").await;
    let answer = ask(&given, &format!("/v1/files/{name}/content"), &[]).await.expect(200);
    assert!(
        answer.header("content-disposition").contains("filename*=UTF-8''%E2%82%AC"),
        "{}",
        answer.header("content-disposition")
    );
}

#[tokio::test]
async fn a_download_that_nobody_reads_is_ended() {
    let house = crate::house_with(|settings| settings.uploads.idle_timeout = Duration::from_secs(1)).await;
    let given = house.tenant().await;
    let size = 64 * 1024 * 1024;
    let file = given.upload("large.bin", vec![1; size]).await;
    let address = given.data.base().trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET /v1/files/{file}/content HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\r\n",
        given.data.key()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let mut read = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut read)).await;
    let _ = ended.expect("the connection has an end");
    assert!(read.len() < size, "{} bytes came after all", read.len());
}
