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
async fn several_ranges_come_as_parts() {
    for encryption in [rowhouse_settings::Encryption::Off, rowhouse_settings::Encryption::On] {
        let house = crate::house_with(|settings| settings.blobs.encryption = encryption).await;
        let given = house.tenant().await;
        // Longer than a frame of what is sealed, so that parts lie in several.
        let content: String = (0..50_000).map(|number| format!("{number:05}\n")).collect();
        let path = format!("/v1/files/{}/content", given.upload("numbers.txt", content.clone()).await);
        let answer =
            ask(&given, &path, &[("range", "bytes=299994-, 0-5, 3-11, 131069-131080, 400000-")]).await.expect(206);
        let kind = answer.header("content-type").to_owned();
        let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
        let part = |first: usize, last: usize| {
            format!(
                "--{boundary}\r\ncontent-type: text/plain\r\ncontent-range: bytes {first}-{last}/300000\r\n\r\n{}\r\n",
                &content[first..=last]
            )
        };
        let expected = format!("{}{}{}--{boundary}--\r\n", part(299_994, 299_999), part(0, 11), part(131_069, 131_080));
        assert_eq!(String::from_utf8(answer.bytes.clone()).unwrap(), expected);
        assert_eq!(answer.header("content-length"), expected.len().to_string());
        assert!(answer.headers.get("content-range").is_none());
        // What is put together to one is one part, as ever.
        let one = ask(&given, &path, &[("range", "bytes=0-5,6-11")]).await.expect(206);
        assert_eq!(
            (one.header("content-range"), one.bytes.as_slice()),
            ("bytes 0-11/300000", &content.as_bytes()[..12])
        );
        let outside = ask(&given, &path, &[("range", "bytes=300000-,400000-")]).await;
        outside.problem(416, "range_not_satisfiable");
        let many: Vec<String> = (0..33).map(|number| format!("{0}-{0}", number * 2)).collect();
        let all = ask(&given, &path, &[("range", &format!("bytes={}", many.join(",")))]).await.expect(200);
        assert_eq!(all.bytes.len(), content.len());
    }
}

#[tokio::test]
async fn the_hash_is_sent_unless_it_is_not_wanted() {
    let given = crate::house().await.into_tenant().await;
    let path = format!("/v1/files/{}/content", given.upload("a.txt", "words").await);
    for (wish, is_sent) in [("sha-256=1", true), ("sha-512=9, sha-256=0", false)] {
        let answer = ask(&given, &path, &[("want-repr-digest", wish)]).await.expect(200);
        assert_eq!(answer.headers.contains_key("repr-digest"), is_sent, "{wish}");
    }
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
async fn what_the_caller_does_not_mean_is_not_sent() {
    let given = crate::house().await.into_tenant().await;
    let path = format!("/v1/files/{}/content", given.upload("a.txt", "words").await);
    let full = ask(&given, &path, &[]).await.expect(200);
    let (etag, modified) = (full.header("etag"), full.header("last-modified"));
    let long_ago = "Sun, 06 Nov 1994 08:49:37 GMT";
    let _ = ask(&given, &path, &[("if-match", etag)]).await.expect(200);
    ask(&given, &path, &[("if-match", "\"other\"")]).await.problem(412, "precondition_failed");
    let _ = ask(&given, &path, &[("if-unmodified-since", modified)]).await.expect(200);
    ask(&given, &path, &[("if-unmodified-since", long_ago)]).await.problem(412, "precondition_failed");
    // What is no date counts for nothing, and a tag for more than a date.
    let _ = ask(&given, &path, &[("if-unmodified-since", "yesterday")]).await.expect(200);
    let _ = ask(&given, &path, &[("if-match", etag), ("if-unmodified-since", long_ago)]).await.expect(200);
    let head = given.data.request(Method::HEAD, &path).header("range", "bytes=1-2");
    let head = Answer::of(head).await.expect(200);
    assert_eq!((head.header("content-length"), head.headers.get("content-range")), ("5", None));
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
