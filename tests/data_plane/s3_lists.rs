//! How lists of the S3-compatible door tell names: as they are, or encoded where a client asks for that, as most do.

use reqwest::Method;

use super::s3::{Setting, all};

/// Names that mean something else where one side encodes and the other does not decode, or the other way round.
const NAMES: [&str; 2] = ["a+b %20.txt", "d&r <+>/ü%2F.txt"];

#[tokio::test]
async fn names_in_lists_are_encoded_where_that_is_asked_for() {
    let setting = Setting::new().await;
    let bucket = format!("/{}", setting.bucket());
    let send = async |method: Method, path: &str, query: &str| {
        let response = setting.request(method, (path, query), &[]).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let encoded = ["a%2Bb%20%2520.txt", "d%26r%20%3C%2B%3E/%C3%BC%252F.txt"];
    for name in encoded {
        assert_eq!(send(Method::PUT, &format!("{bucket}/{name}"), "").await.0, 200);
        assert_eq!(send(Method::POST, &format!("{bucket}/{name}"), "uploads=").await.0, 200);
    }
    for kind in ["", "list-type=2", "uploads=", "versions="] {
        // Sorted, as they are signed.
        let query = |further: &str| {
            [further, kind].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("&")
        };
        let (_, plain) = send(Method::GET, &bucket, &query("")).await;
        let keys: Vec<String> = all(&plain, "Key").iter().map(|key| key.replace("&amp;", "&")).collect();
        let keys: Vec<String> = keys.iter().map(|key| key.replace("&lt;", "<").replace("&gt;", ">")).collect();
        assert_eq!(keys, NAMES, "{plain}");
        assert!(all(&plain, "EncodingType").is_empty(), "{plain}");
        let (_, told) = send(Method::GET, &bucket, &query("encoding-type=url")).await;
        assert_eq!(all(&told, "Key"), encoded, "{told}");
        assert_eq!(all(&told, "EncodingType"), ["url"], "{told}");
        assert_eq!(send(Method::GET, &bucket, &query("encoding-type=base64")).await.0, 400);
    }
    // What a list is asked for it tells in the same way, and so what it is to go on behind.
    let (_, first) = send(Method::GET, &bucket, "delimiter=%2F&encoding-type=url&max-keys=1").await;
    assert_eq!(all(&first, "NextMarker"), [encoded[0]], "{first}");
    let (_, second) = send(Method::GET, &bucket, "delimiter=%2F&encoding-type=url&marker=a%2Bb%20%2520.txt").await;
    assert_eq!(all(&second, "Marker"), [encoded[0]], "{second}");
    assert_eq!(all(&second, "Prefix").last().unwrap(), "d%26r%20%3C%2B%3E/", "{second}");
    let (_, third) = send(Method::GET, &bucket, "encoding-type=url&prefix=d%26r%20%3C%2B%3E%2F&versions=").await;
    assert_eq!(
        (all(&third, "Prefix"), all(&third, "Key")),
        (vec!["d%26r%20%3C%2B%3E/".to_owned()], vec![encoded[1].to_owned()])
    );
}

/// All pages of a list, as a client goes through them: what is told in `item` on each.
async fn pages(setting: &Setting, asked: &[String], markers: [(&str, &str); 2], item: &str) -> Vec<Vec<String>> {
    let path = format!("/{}", setting.bucket());
    let (mut pages, mut behind) = (Vec::new(), Vec::new());
    loop {
        // Sorted, as they are signed.
        let mut query = [asked, &behind].concat();
        query.sort();
        let answer = setting.request(Method::GET, (&path, &query.join("&")), &[]).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert_eq!(status, 200, "{text}");
        pages.push(all(&text, item));
        assert!(pages.len() < 20, "it does not end");
        if all(&text, "IsTruncated") != ["true"] {
            return pages;
        }
        behind = markers.map(|(marker, told)| format!("{marker}={}", all(&text, told)[0].replace('/', "%2F"))).to_vec();
    }
}

/// Asserts that the pages are full but for the last, and together everything.
fn assert_whole(pages: &[Vec<String>], most: usize, whole: &[String]) {
    assert_eq!(pages.concat(), whole, "{most}");
    let (last, full) = pages.split_last().unwrap();
    assert!(last.len() <= most && full.iter().all(|page| page.len() == most), "{most}: {pages:?}");
}

#[tokio::test]
async fn versions_come_in_pages_of_versions() {
    let setting = Setting::new().await;
    for (key, versions) in [("a.txt", 5), ("b.txt", 1), ("c.txt", 3)] {
        for version in 0..versions {
            let path = format!("/{}/{key}", setting.bucket());
            let put = setting.request(Method::PUT, (&path, ""), &[]).body(format!("{key} {version}"));
            assert_eq!(put.send().await.unwrap().status(), 200);
        }
    }
    let markers = [("key-marker", "NextKeyMarker"), ("version-id-marker", "NextVersionIdMarker")];
    let whole: Vec<String> = [5, 4, 3, 2, 1, 1, 3, 2, 1].iter().map(ToString::to_string).collect();
    for most in [1, 2, 5, 6, 8, 9, 100] {
        let asked = [format!("max-keys={most}"), "versions=".to_owned()];
        assert_whole(&pages(&setting, &asked, markers, "VersionId").await, most, &whole);
    }
}

#[tokio::test]
async fn versions_come_in_pages_beside_prefixes() {
    let setting = Setting::new().await;
    for key in ["a.txt", "a.txt", "b/1", "b/1", "b/2", "c.txt", "d/1"] {
        let path = format!("/{}/{key}", setting.bucket());
        assert_eq!(setting.request(Method::PUT, (&path, ""), &[]).body("text").send().await.unwrap().status(), 200);
    }
    let markers = [("key-marker", "NextKeyMarker"), ("version-id-marker", "NextVersionIdMarker")];
    for most in [1, 2, 3, 4, 5] {
        let asked = [
            "delimiter=%2F".to_owned(),
            "encoding-type=url".to_owned(),
            format!("max-keys={most}"),
            "versions=".to_owned(),
        ];
        let keys = pages(&setting, &asked, markers, "Key").await;
        assert_eq!(keys.concat(), ["a.txt", "a.txt", "c.txt"], "{most}");
        // The outer element is the list's own prefix, which was not asked for.
        let prefixes = pages(&setting, &asked, markers, "Prefix").await.concat();
        assert_eq!(prefixes, ["b/", "d/"], "{most}");
        assert!(keys.len() >= 5_usize.div_ceil(most), "{most}: {keys:?}");
    }
    // A marker outside of what is asked for tells of nothing itself.
    let path = format!("/{}", setting.bucket());
    let query = "key-marker=a.txt&prefix=b%2F&version-id-marker=2&versions=";
    let text = setting.request(Method::GET, (&path, query), &[]).send().await.unwrap().text().await.unwrap();
    assert_eq!(all(&text, "Key"), ["b/1", "b/1", "b/2"], "{text}");
}

#[tokio::test]
async fn a_marker_may_hold_what_no_key_can() {
    let setting = Setting::new().await;
    for name in ["a", "b"] {
        let _ = setting.given.upload(name, "x").await;
    }
    let begun = format!("/{}/b", setting.bucket());
    let _ = setting.request(Method::POST, (&begun, "uploads="), &[]).send().await.unwrap();
    let path = format!("/{}", setting.bucket());
    for (query, keys) in [
        // As some clients say "behind `a`".
        ("list-type=2&start-after=a%00", vec!["b"]),
        ("marker=a%00z", vec!["b"]),
        ("key-marker=a%00&versions=", vec!["b"]),
        ("key-marker=a%00&uploads=", vec!["b"]),
        ("key-marker=b%00&uploads=", vec![]),
        ("list-type=2&prefix=a%00", vec![]),
        ("prefix=%00&versions=", vec![]),
        ("prefix=%00&uploads=", vec![]),
    ] {
        let answer = setting.request(Method::GET, (&path, query), &[]).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{query}");
        assert_eq!(all(&answer.text().await.unwrap(), "Key"), keys, "{query}");
    }
}

#[tokio::test]
async fn uploads_come_in_pages() {
    let setting = Setting::new().await;
    let mut begun = Vec::new();
    for key in ["b", "a", "a", "c", "a", "B"] {
        let path = format!("/{}/{key}", setting.bucket());
        let answer = setting.request(Method::POST, (&path, "uploads="), &[]).send().await.unwrap();
        let upload = all(&answer.text().await.unwrap(), "UploadId")[0].clone();
        begun.push((key, upload));
    }
    begun.sort();
    let whole: Vec<String> = begun.into_iter().map(|(_, upload)| upload).collect();
    let markers = [("key-marker", "NextKeyMarker"), ("upload-id-marker", "NextUploadIdMarker")];
    for most in [1, 2, 5, 6, 100] {
        let asked = [format!("max-uploads={most}"), "uploads=".to_owned()];
        assert_whole(&pages(&setting, &asked, markers, "UploadId").await, most, &whole);
    }
    let asked = ["max-uploads=2".to_owned(), "prefix=a".to_owned(), "uploads=".to_owned()];
    assert_whole(&pages(&setting, &asked, markers, "UploadId").await, 2, &whole[1..4]);
}
