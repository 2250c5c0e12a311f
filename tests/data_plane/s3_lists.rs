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
