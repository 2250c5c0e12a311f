//! The S3-compatible door, as the S3 client of the crate `object_store` sees it; public clients follow in `s3_clients`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig};
use reqwest::{Method, RequestBuilder};
use rowhouse_testkit::{Given, TestHouse};
use serde_json::{Value, json};

/// A tenant with what its key's holder needs to talk S3.
pub(crate) struct Setting {
    pub(crate) house: TestHouse,
    pub(crate) given: Given,
    pub(crate) key: Value,
}

impl Setting {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut rowhouse_settings::Settings)) -> Self {
        let house = crate::house_with(|settings| {
            settings.s3.enabled = true;
            change(settings);
        })
        .await;
        let given = house.tenant().await;
        let key = make_key(&house, &given, &["read_files", "write_files"]).await;
        Self { house, given, key }
    }

    pub(crate) fn bucket(&self) -> String {
        self.given.workspace.replace('_', "-")
    }

    pub(crate) fn endpoint(&self) -> &str {
        self.house.s3.as_deref().unwrap()
    }

    pub(crate) fn store(&self) -> AmazonS3 {
        store(self.endpoint(), &self.bucket(), &self.key)
    }
}

pub(crate) async fn make_key(house: &TestHouse, given: &Given, scopes: &[&str]) -> Value {
    let path = format!("/v1/tenants/{}/api-keys", given.tenant);
    house.admin.post(&path, &json!({"name": "s3", "scopes": scopes})).await.expect(201).json()
}

pub(crate) fn store(endpoint: &str, bucket: &str, key: &Value) -> AmazonS3 {
    AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_bucket_name(bucket)
        .with_access_key_id(key["prefix"].as_str().unwrap())
        .with_secret_access_key(key["s3_secret"].as_str().unwrap())
        .with_virtual_hosted_style_request(false)
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .build()
        .unwrap()
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

async fn keys(store: &AmazonS3, prefix: Option<&str>) -> Vec<String> {
    let prefix = prefix.map(path);
    store.list(prefix.as_ref()).map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap()
}

#[tokio::test]
async fn what_comes_in_by_one_door_goes_out_by_the_other() {
    let setting = Setting::new().await;
    let (store, given) = (setting.store(), &setting.given);
    let content = Bytes::from(vec![7; 300_000]);
    let put = store.put(&path("reports/2026/q1 ü.bin"), content.clone().into()).await.unwrap();
    // The folders are there, and so is the file.
    let files = given.data.get(&format!("/v1/files?workspace_id={}", given.workspace)).await.expect(200).json();
    assert_eq!(files["items"][0]["name"], "q1 ü.bin");
    let etag = format!("\"{}\"", files["items"][0]["sha256"].as_str().unwrap());
    assert_eq!(put.e_tag.as_deref(), Some(etag.as_str()));
    let id = files["items"][0]["id"].as_str().unwrap();
    assert_eq!(given.data.get(&format!("/v1/files/{id}/content")).await.expect(200).bytes, content);
    let folder = files["items"][0]["folder_id"].as_str().unwrap();
    let folder = given.data.get(&format!("/v1/folders/{folder}")).await.expect(200).json();
    assert_eq!(folder["name"], "2026");
    setting.house.expect_used(300_000).await;

    // And the other way round; put again, it is the next version.
    given.upload("native.txt", "one").await;
    let read = store.get(&path("native.txt")).await.unwrap();
    assert_eq!(read.meta.version.as_deref(), Some("1"));
    assert_eq!(read.bytes().await.unwrap(), "one");
    let put = store.put(&path("native.txt"), "two".into()).await.unwrap();
    assert_eq!(put.version.as_deref(), Some("2"));
    let old = GetOptions { version: Some("1".to_owned()), ..GetOptions::default() };
    assert_eq!(store.get_opts(&path("native.txt"), old).await.unwrap().bytes().await.unwrap(), "one");
    assert_eq!(store.head(&path("native.txt")).await.unwrap().size, 3);
}

#[tokio::test]
async fn an_answer_before_the_body_ends_the_connection_of_whoever_waited_to_send_it() {
    let setting = Setting::new().await;
    let put = async |name: &str, content: &'static str, waits: bool| {
        let path = format!("/{}/{name}", setting.bucket());
        let mut put = setting.request(Method::PUT, (&path, ""), &[]).body(content);
        if waits {
            put = put.header("expect", "100-continue");
        }
        let answer = put.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.headers().contains_key("connection")
    };
    // Of an empty body nothing comes.
    assert!(put("a", "", true).await);
    assert!(!put("b", "", false).await);
    assert!(!put("c", "four", true).await);
}

#[tokio::test]
async fn ranges_and_conditions_are_those_of_s3() {
    let setting = Setting::new().await;
    let store = setting.store();
    let name = path("digits.txt");
    let put = store.put(&name, "0123456789".into()).await.unwrap();
    let part = |range| {
        let options = GetOptions::new().with_range(Some(range));
        let (store, name) = (&store, &name);
        async move { store.get_opts(name, options).await.unwrap().bytes().await.unwrap() }
    };
    assert_eq!(part(GetRange::Bounded(2..5)).await, "234");
    assert_eq!(part(GetRange::Offset(7)).await, "789");
    assert_eq!(part(GetRange::Suffix(3)).await, "789");
    let tag = put.e_tag.clone().unwrap();
    let known = GetOptions { if_none_match: Some(tag.clone()), ..GetOptions::default() };
    assert!(matches!(store.get_opts(&name, known).await.unwrap_err(), Error::NotModified { .. }));
    let other = GetOptions { if_match: Some("\"other\"".to_owned()), ..GetOptions::default() };
    assert!(matches!(store.get_opts(&name, other).await.unwrap_err(), Error::Precondition { .. }));

    let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    let refused = store.put_opts(&name, "x".into(), create.clone()).await.unwrap_err();
    assert!(matches!(refused, Error::AlreadyExists { .. }), "{refused}");
    store.put_opts(&path("new.txt"), "x".into(), create).await.unwrap();
    let update = |tag: &str| PutOptions {
        mode: PutMode::Update(object_store::UpdateVersion { e_tag: Some(tag.to_owned()), version: None }),
        ..PutOptions::default()
    };
    assert!(matches!(
        store.put_opts(&name, "x".into(), update("\"other\"")).await.unwrap_err(),
        Error::Precondition { .. }
    ));
    store.put_opts(&name, "x".into(), update(&tag)).await.unwrap();
}

#[tokio::test]
async fn a_list_is_in_the_order_of_bytes_and_knows_prefixes() {
    let setting = Setting::new().await;
    let store = setting.store();
    let names =
        ["a", "a-b/x", "a.txt", "a/b/c/deep", "a/b.txt", "a/z", "ab", "B", "b/inner", "Ä/ö", "b0", "a/b-c/x", "z"];
    for name in names {
        store.put(&path(name), name.to_owned().into()).await.unwrap();
    }
    let mut expected: Vec<String> = names.iter().map(ToString::to_string).collect();
    expected.sort();
    assert_eq!(keys(&store, None).await, expected);
    assert_eq!(keys(&store, Some("a/b")).await, ["a/b/c/deep"]);
    let top = store.list_with_delimiter(None).await.unwrap();
    let prefixes: Vec<_> = top.common_prefixes.iter().map(ToString::to_string).collect();
    assert_eq!(prefixes, ["a", "a-b", "b", "Ä"]);
    let objects: Vec<_> = top.objects.iter().map(|meta| meta.location.to_string()).collect();
    assert_eq!(objects, ["B", "a", "a.txt", "ab", "b0", "z"]);
    let inner = store.list_with_delimiter(Some(&path("a"))).await.unwrap();
    assert_eq!((inner.common_prefixes.len(), inner.objects.len()), (2, 2));

    // From any place, page by page of any size: every key once.
    let place = format!("/{}", setting.bucket());
    let signed = async |query: String| get_signed(setting.endpoint(), &setting.key, &place, &query).await;
    for size in [1, 2, 5] {
        let (mut seen, mut token) = (Vec::new(), None::<String>);
        loop {
            let more = token.map(|token| format!("continuation-token={token}&")).unwrap_or_default();
            let page = signed(format!("{more}list-type=2&max-keys={size}")).await;
            seen.extend(all(&page, "Key"));
            token = all(&page, "NextContinuationToken").pop();
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected, "{size} at a time");
        let (mut seen, mut token) = (Vec::new(), None::<String>);
        loop {
            let more = token.map(|token| format!("continuation-token={token}&")).unwrap_or_default();
            let page = signed(format!("{more}delimiter=%2F&list-type=2&max-keys={size}")).await;
            seen.extend(all(&page, "Key"));
            seen.extend(all(&page, "Prefix").into_iter().filter(|prefix| !prefix.is_empty()));
            token = all(&page, "NextContinuationToken").pop();
            if token.is_none() {
                break;
            }
        }
        seen.sort();
        assert_eq!(seen, ["B", "a", "a-b/", "a.txt", "a/", "ab", "b/", "b0", "z", "Ä/"], "{size} at a time");
    }
    for (index, after) in expected.iter().enumerate() {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let encode = |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        let encoded: String = after.bytes().map(encode).collect();
        let page = signed(format!("list-type=2&start-after={encoded}")).await;
        assert_eq!(all(&page, "Key"), expected[index + 1..], "after {after}");
    }
}

/// The texts of all elements of a name.
pub(crate) fn all(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&open).skip(1).map(|rest| rest.split(&close).next().unwrap().to_owned()).collect()
}

/// `GET` with a signature in its headers (SigV4); the query's parameters come sorted.
async fn get_signed(endpoint: &str, key: &Value, path: &str, query: &str) -> String {
    let answer = send_signed(endpoint, key, Method::GET, path, query).await;
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert_eq!(status, 200, "{text}");
    text
}

async fn send_signed(endpoint: &str, key: &Value, method: Method, path: &str, query: &str) -> reqwest::Response {
    signed((endpoint, key), method, (path, query), &[]).send().await.unwrap()
}

impl Setting {
    /// A request of the setting's key with further headers, which are signed as well.
    pub(crate) fn request(
        &self,
        method: Method,
        (path, query): (&str, &str),
        headers: &[(&str, &str)],
    ) -> RequestBuilder {
        signed((self.endpoint(), &self.key), method, (path, query), headers)
    }

    pub(crate) fn presigned(&self, method: &Method, path: &str, headers: &[(&str, &str)]) -> String {
        presigned((self.endpoint(), &self.key), method, path, headers)
    }
}

fn signed(
    (endpoint, key): (&str, &Value),
    method: Method,
    (path, query): (&str, &str),
    further: &[(&str, &str)],
) -> RequestBuilder {
    let now = now();
    let mut headers =
        vec![("host", host(endpoint)), ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), ("x-amz-date", &now)];
    headers.extend(further);
    let (names, signature) = signature(key, &now, &format!("{method}\n{path}\n{query}"), &mut headers);
    let credential = credential(key, &now);
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}");
    let request = reqwest::Client::new().request(method, format!("{endpoint}{path}?{query}"));
    let request = headers
        .iter()
        .filter(|(name, _)| *name != "host")
        .fold(request, |request, (name, value)| request.header(*name, *value));
    request.header("authorization", authorization)
}

/// An address whose holder may do one thing, with these headers.
fn presigned((endpoint, key): (&str, &Value), method: &Method, path: &str, further: &[(&str, &str)]) -> String {
    let now = now();
    let mut headers = vec![("host", host(endpoint))];
    headers.extend(further);
    let mut names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    let query = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date={now}&X-Amz-Expires=60&X-Amz-SignedHeaders={}",
        credential(key, &now).replace('/', "%2F"),
        names.join("%3B"),
    );
    let (_, signature) = signature(key, &now, &format!("{method}\n{path}\n{query}"), &mut headers);
    format!("{endpoint}{path}?{query}&X-Amz-Signature={signature}")
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn host(endpoint: &str) -> &str {
    endpoint.trim_start_matches("http://")
}

fn credential(key: &Value, now: &str) -> String {
    format!("{}/{}/us-east-1/s3/aws4_request", key["prefix"].as_str().unwrap(), &now[..8])
}

/// The names of the headers, and the signature of a request with them whose body may be any.
fn signature(key: &Value, now: &str, request: &str, headers: &mut [(&str, &str)]) -> (String, String) {
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::{Digest, Sha256};
    let (day, scope) = (&now[..8], format!("{}/us-east-1/s3/aws4_request", &now[..8]));
    headers.sort_unstable();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical = format!("{request}\n{lines}\n{names}\nUNSIGNED-PAYLOAD");
    let text = format!("AWS4-HMAC-SHA256\n{now}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
    let sign = |key: &[u8], text: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    };
    let secret = format!("AWS4{}", key["s3_secret"].as_str().unwrap());
    let signing =
        ["us-east-1", "s3", "aws4_request"].iter().fold(sign(secret.as_bytes(), day), |key, part| sign(&key, part));
    (names, hex::encode(sign(&signing, &text)))
}

#[tokio::test]
async fn copies_and_deletions() {
    let setting = Setting::new().await;
    let (store, given) = (setting.store(), &setting.given);
    store.put(&path("from/a.txt"), "words".into()).await.unwrap();
    store.copy(&path("from/a.txt"), &path("to/b.txt")).await.unwrap();
    assert_eq!(store.get(&path("to/b.txt")).await.unwrap().bytes().await.unwrap(), "words");
    assert_eq!(setting.house.stored_objects(), 1, "the content is there once");
    store.delete(&path("from/a.txt")).await.unwrap();
    assert!(matches!(store.get(&path("from/a.txt")).await.unwrap_err(), Error::NotFound { .. }));
    // It is in the trash, as if it had been deleted by the native door.
    let trash = given.data.get(&format!("/v1/files?workspace_id={}&deleted=true", given.workspace)).await.expect(200);
    assert_eq!(trash.json()["items"][0]["name"], "a.txt");
    store.delete(&path("never/was.txt")).await.unwrap();
    let many: Vec<_> = ["to/b.txt", "x", "y"].map(|name| Ok(path(name))).into();
    let gone: Vec<_> = store.delete_stream(Box::pin(futures::stream::iter(many))).try_collect().await.unwrap();
    assert_eq!(gone.len(), 3);
    assert!(keys(&store, None).await.is_empty());
}

#[tokio::test]
async fn a_copy_moves_no_byte() {
    let setting = Setting::new().await;
    let store = setting.store();
    store.put(&path("a.txt"), "words".into()).await.unwrap();
    store.put(&path("dir/b.txt"), "other words".into()).await.unwrap();
    // Nobody could read it now.
    setting.house.lose_objects();
    store.copy(&path("a.txt"), &path("new/c.txt")).await.unwrap();
    store.copy(&path("a.txt"), &path("dir/b.txt")).await.unwrap();
    for (name, version) in [("new/c.txt", "1"), ("dir/b.txt", "2")] {
        let head = store.head(&path(name)).await.unwrap();
        assert_eq!((head.size, head.version.as_deref()), (5, Some(version)), "{name}");
    }
    setting.house.expect_used(5 + 11 + 5 + 5).await;
    setting.house.expect_reserved(0).await;
    assert_eq!(crate::suite::recount::recount(&setting.house, &setting.given).await, 26);
}

#[tokio::test]
async fn single_versions_are_deleted_for_good() {
    let setting = Setting::new().await;
    let (store, given) = (setting.store(), &setting.given);
    for text in ["1", "two", "three"] {
        store.put(&path("a.txt"), text.into()).await.unwrap();
    }
    let object = format!("/{}/a.txt", setting.bucket());
    let delete = async |version: &str| {
        let query = format!("versionId={version}");
        send_signed(setting.endpoint(), &setting.key, Method::DELETE, &object, &query).await
    };
    let read = async || store.get(&path("a.txt")).await.unwrap().bytes().await.unwrap();
    // An old one, the current one, one that is gone already, one that can't be.
    for (version, left, used) in [("2", "three", 6), ("3", "1", 1), ("3", "1", 1)] {
        let answer = delete(version).await;
        assert_eq!((answer.status().as_u16(), answer.headers()["x-amz-version-id"].to_str().unwrap()), (204, version));
        assert_eq!(read().await, left);
        setting.house.expect_used(used).await;
    }
    assert_eq!(delete("x").await.status().as_u16(), 404);
    store.put(&path("a.txt"), "more".into()).await.unwrap();
    assert_eq!(delete("1").await.status().as_u16(), 204);
    assert_eq!(read().await, "more");
    // With the last one the file goes, and leaves nothing in the trash.
    assert_eq!(delete("2").await.status().as_u16(), 204);
    assert!(matches!(store.get(&path("a.txt")).await.unwrap_err(), Error::NotFound { .. }));
    let trash = given.data.get("/v1/files?deleted=true").await.expect(200).json();
    assert_eq!(trash["items"], json!([]));
    setting.house.expect_used(0).await;
    assert_eq!(crate::suite::recount::recount(&setting.house, given).await, 0);
}

#[tokio::test]
async fn the_text_of_a_deleted_version_is_not_taken_for_the_next_ones() {
    // Search learns of nothing by itself.
    let setting = Setting::with(|settings| settings.work.parallel = 0).await;
    let (store, given) = (setting.store(), &setting.given);
    for text in ["one", "two"] {
        store.put(&path("a.txt"), text.into()).await.unwrap();
    }
    let learn = "insert into file_search (file_id, version_number, state, name_text, search_text)
        select id, current_version, 'indexed', name, 'two' from files where tenant_id = app_tenant_id() returning id";
    let known = "select id from file_search where tenant_id = app_tenant_id() and (search_text <> '' or version_number is not null)";
    assert_eq!(setting.house.tenant_rows(given, learn).await.len(), 1);
    let object = format!("/{}/a.txt", setting.bucket());
    let deleted = send_signed(setting.endpoint(), &setting.key, Method::DELETE, &object, "versionId=2").await;
    assert_eq!(deleted.status().as_u16(), 204);
    // The next one is the second again.
    store.put(&path("a.txt"), "more".into()).await.unwrap();
    assert!(setting.house.tenant_rows(given, known).await.is_empty());
}

#[tokio::test]
async fn presigned_addresses_open_one_object_for_a_while() {
    let setting = Setting::new().await;
    let store = setting.store();
    let put = store.signed_url(Method::PUT, &path("in.txt"), Duration::from_secs(60)).await.unwrap();
    let anyone = reqwest::Client::new();
    assert_eq!(anyone.put(put.clone()).body("words").send().await.unwrap().status(), 200);
    let get = store.signed_url(Method::GET, &path("in.txt"), Duration::from_secs(2)).await.unwrap();
    let read = anyone.get(get.clone()).send().await.unwrap();
    // What a browser is shown runs nothing, whatever it takes it for.
    assert_eq!(read.headers()["x-content-type-options"], "nosniff");
    assert_eq!(read.headers()["content-security-policy"], "sandbox; default-src 'none'");
    assert_eq!(read.text().await.unwrap(), "words");
    let changed = get.as_str().replace("in.txt", "in.tx");
    assert_eq!(anyone.get(changed).send().await.unwrap().status(), 403);
    assert_eq!(anyone.put(get.clone()).body("x").send().await.unwrap().status(), 403);
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(anyone.get(get).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn the_holder_of_a_presigned_address_adds_nothing_to_it() {
    let setting = Setting::new().await;
    let (store, bucket) = (setting.store(), setting.bucket());
    store.put(&path("secret.txt"), "secret".into()).await.unwrap();
    let (source, target) = (format!("/{bucket}/secret.txt"), format!("/{bucket}/in.txt"));
    let put = async |signed: &[(&str, &str)], query: &str, added: &[(&str, &str)]| {
        let address = setting.presigned(&Method::PUT, &target, signed) + query;
        let put = reqwest::Client::new().put(address).body("words");
        let put = added.iter().fold(put, |put, (name, value)| put.header(*name, *value));
        let answer = put.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (copy, say) = (("x-amz-copy-source", source.as_str()), ("x-amz-meta-mtime", "7"));
    for (signed, added) in [(&[][..], &[copy][..]), (&[], &[say]), (&[say], &[say, copy]), (&[copy], &[copy, say])] {
        let (status, text) = put(signed, "", added).await;
        assert!(status == 403 && text.contains("AccessDenied"), "{signed:?} {added:?}: {status} {text}");
    }
    // Nor to what is signed.
    assert_eq!(put(&[], "&X-Amz-SignedHeaders=host%3Bx-amz-copy-source", &[copy]).await.0, 400);
    assert!(matches!(store.head(&path("in.txt")).await.unwrap_err(), Error::NotFound { .. }));
    // What is signed may come, and so may what only the sender knows.
    let (status, text) = put(&[], "", &[("x-amz-content-sha256", "UNSIGNED-PAYLOAD")]).await;
    assert_eq!(status, 200, "{text}");
    assert_eq!(store.get(&path("in.txt")).await.unwrap().bytes().await.unwrap(), "words");
    let (status, text) = put(&[copy], "", &[copy]).await;
    assert_eq!(status, 200, "{text}");
    assert_eq!(store.get(&path("in.txt")).await.unwrap().bytes().await.unwrap(), "secret");
}

#[tokio::test]
async fn only_a_key_with_its_secret_and_scope_is_let_in() {
    let setting = Setting::new().await;
    let (house, given) = (&setting.house, &setting.given);
    setting.store().put(&path("a.txt"), "words".into()).await.unwrap();
    let of = |key: &Value| store(setting.endpoint(), &setting.bucket(), key);
    let code = |error: Error| error.to_string();

    let mut wrong = setting.key.clone();
    wrong["s3_secret"] = json!("wrong");
    let error = code(of(&wrong).get(&path("a.txt")).await.unwrap_err());
    assert!(error.contains("SignatureDoesNotMatch"), "{error}");
    wrong["prefix"] = json!("nobody00000000");
    let error = code(of(&wrong).get(&path("a.txt")).await.unwrap_err());
    assert!(error.contains("InvalidAccessKeyId"), "{error}");
    let anonymous = reqwest::get(format!("{}/{}/a.txt", setting.endpoint(), setting.bucket())).await.unwrap();
    assert_eq!(anonymous.status(), 403);

    let reader = of(&make_key(house, given, &["read_files"]).await);
    assert_eq!(reader.get(&path("a.txt")).await.unwrap().bytes().await.unwrap(), "words");
    let error = code(reader.put(&path("b.txt"), "x".into()).await.unwrap_err());
    assert!(error.contains("AccessDenied"), "{error}");
    let writer = of(&make_key(house, given, &["write_files"]).await);
    writer.put(&path("b.txt"), "x".into()).await.unwrap();
    assert!(code(writer.get(&path("b.txt")).await.unwrap_err()).contains("AccessDenied"));
    assert!(code(writer.copy(&path("b.txt"), &path("c.txt")).await.unwrap_err()).contains("AccessDenied"));

    // Another tenant's bucket is none.
    let stranger = house.tenant().await;
    let key = make_key(house, &stranger, &["read_files", "write_files"]).await;
    let error = code(of(&key).get(&path("a.txt")).await.unwrap_err());
    assert!(error.contains("NoSuchBucket") || error.contains("not found"), "{error}");
    let buckets = get_signed(setting.endpoint(), &key, "/", "").await;
    assert_eq!(all(&buckets, "Name"), [stranger.workspace.replace('_', "-")]);

    // A revoked key opens nothing within a second.
    let id = key["id"].as_str().unwrap();
    let _ = house.admin.delete(&format!("/v1/tenants/{}/api-keys/{id}", stranger.tenant)).await.expect(204);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let answer = send_signed(setting.endpoint(), &key, Method::GET, "/", "").await;
    assert_eq!(answer.status(), 403);
    assert!(answer.text().await.unwrap().contains("InvalidAccessKeyId"));
}

#[tokio::test]
async fn a_bucket_goes_by_its_workspaces_identifier() {
    let setting = Setting::new().await;
    let given = &setting.given;
    let change = json!({"unique_identifier": "team-documents"});
    let _ = given.data.patch(&format!("/v1/workspaces/{}", given.workspace), &change).await.expect(200);
    let buckets = get_signed(setting.endpoint(), &setting.key, "/", "").await;
    assert_eq!(all(&buckets, "Name"), ["team-documents"]);
    let named = store(setting.endpoint(), "team-documents", &setting.key);
    named.put(&path("a.txt"), "words".into()).await.unwrap();
    assert_eq!(setting.store().get(&path("a.txt")).await.unwrap().bytes().await.unwrap(), "words");
}

#[tokio::test]
async fn quotas_limits_and_names_hold_here_too() {
    let setting = Setting::with(|settings| settings.uploads.max_bytes = 1_000).await;
    let (store, given) = (setting.store(), &setting.given);
    let error = store.put(&path("large"), vec![0; 1_001].into()).await.unwrap_err().to_string();
    assert!(error.contains("EntityTooLarge"), "{error}");
    let quota = json!({"storage_quota": 500});
    let _ = given.data.patch(&format!("/v1/workspaces/{}", given.workspace), &quota).await.expect(200);
    let error = store.put(&path("large"), vec![0; 501].into()).await.unwrap_err().to_string();
    assert!(error.contains("QuotaExceeded"), "{error}");
    setting.house.expect_reserved(0).await;
    let error = store.put(&path(&"x".repeat(256)), "x".into()).await.unwrap_err().to_string();
    assert!(error.contains("InvalidArgument"), "{error}");
    store.put(&path(&format!("{}file", "d/".repeat(64))), "x".into()).await.unwrap();
    let error = store.put(&path(&format!("{}file", "d/".repeat(65))), "x".into()).await.unwrap_err().to_string();
    assert!(error.contains("KeyTooLong"), "{error}");
    let answer =
        send_signed(setting.endpoint(), &setting.key, Method::GET, &format!("/{}", setting.bucket()), "acl=").await;
    assert_eq!(answer.status(), 501);
}

#[tokio::test]
async fn many_at_once_make_each_folder_once() {
    let setting = Setting::new().await;
    let store = Arc::new(setting.store());
    let puts = (0..12).map(|number| {
        let store = Arc::clone(&store);
        async move { store.put(&path(&format!("a/b/c/{}.txt", number % 6)), format!("{number}").into()).await }
    });
    for put in futures::future::join_all(puts).await {
        put.unwrap();
    }
    assert_eq!(keys(&store, None).await.len(), 6);
    let folders = setting.given.data.get(&format!("/v1/folders?workspace_id={}", setting.given.workspace)).await;
    assert_eq!(folders.expect(200).json()["items"].as_array().unwrap().len(), 3);
}
