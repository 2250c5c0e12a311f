//! What the parts of an upload by S3 reserve, to the byte: a number counts once, and whatever is not wanted is given back.

use std::time::Duration;

use object_store::multipart::MultipartStore;
use object_store::path::Path;
use reqwest::{Body, Method};
use serde_json::json;

use super::s3::{Setting, all, store};

/// An upload in parts.
struct Upload<'a> {
    setting: &'a Setting,
    path: String,
    id: String,
}

impl<'a> Upload<'a> {
    async fn begin(setting: &'a Setting, key: &str) -> Self {
        let path = format!("/{}/{key}", setting.bucket());
        let answer = setting.request(Method::POST, (&path, "uploads="), &[]).send().await.unwrap();
        let id = all(&answer.text().await.unwrap(), "UploadId").pop().unwrap();
        Self { setting, path, id }
    }

    fn part(&self, number: u32, headers: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let query = format!("partNumber={number}&uploadId={}", self.id);
        self.setting.request(Method::PUT, (&self.path, &query), headers)
    }

    /// Sends a part of so many bytes and gives the status and what there is to read.
    async fn send(&self, number: u32, size: usize) -> (u16, String) {
        let answer = self.part(number, &[]).body(vec![1; size]).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn expect(&self, number: u32, size: usize, reserved: i64) {
        let (status, text) = self.send(number, size).await;
        assert_eq!(status, 200, "{text}");
        self.setting.house.expect_reserved(reserved).await;
    }

    async fn sizes(&self) -> Vec<String> {
        let query = format!("uploadId={}", self.id);
        let answer = self.setting.request(Method::GET, (&self.path, &query), &[]).send().await.unwrap();
        all(&answer.text().await.unwrap(), "Size")
    }

    async fn complete(&self, numbers: &[u32]) -> (u16, String) {
        self.complete_with(numbers, &[]).await
    }

    async fn complete_with(&self, numbers: &[u32], headers: &[(&str, &str)]) -> (u16, String) {
        let parts: String =
            numbers.iter().map(|number| format!("<Part><PartNumber>{number}</PartNumber></Part>")).collect();
        let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        let query = format!("uploadId={}", self.id);
        let answer = self.setting.request(Method::POST, (&self.path, &query), headers).body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn abort(&self) {
        let query = format!("uploadId={}", self.id);
        let answer = self.setting.request(Method::DELETE, (&self.path, &query), &[]).send().await.unwrap();
        assert_eq!(answer.status(), 204);
    }
}

#[tokio::test]
async fn a_part_that_comes_again_counts_once() {
    let setting = Setting::new().await;
    let upload = Upload::begin(&setting, "a.bin").await;
    for (number, size, reserved) in
        [(1, 1_000, 1_000), (1, 1_000, 1_000), (1, 400, 400), (1, 2_500, 2_500), (2, 300, 2_800)]
    {
        upload.expect(number, size, reserved).await;
    }
    // Nor does one that is not as it was said to be, in the place of another or in its own.
    for number in [1, 3] {
        let wrong = upload.part(number, &[("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")]).body(vec![1; 5_000]);
        assert_eq!(wrong.send().await.unwrap().status(), 400);
        setting.house.expect_reserved(2_800).await;
    }
    // Where there is no more room, what is there can come again.
    let tenant = format!("/v1/tenants/{}", setting.given.tenant);
    let _ = setting.house.admin.patch(&tenant, &json!({"storage_quota": 2_800})).await.expect(200);
    upload.expect(1, 2_500, 2_800).await;
    let (status, text) = upload.send(1, 2_501).await;
    assert!(status == 403 && text.contains("QuotaExceeded"), "{status} {text}");
    setting.house.expect_reserved(2_800).await;
    assert_eq!(upload.sizes().await, ["2500", "300"]);
    // Part 2 is not named.
    let (status, text) = upload.complete(&[1]).await;
    assert_eq!(status, 200, "{text}");
    setting.house.expect_used(2_500).await;
    setting.house.expect_reserved(0).await;
    assert_eq!(crate::suite::recount::recount(&setting.house, &setting.given).await, 2_500);
}

#[tokio::test]
async fn parts_of_one_number_that_come_at_once_count_once() {
    let setting = Setting::new().await;
    let upload = Upload::begin(&setting, "a.bin").await;
    upload.expect(1, 3_000, 3_000).await;
    for _ in 0..5 {
        let sizes = [1_000, 5_000, 2_000, 4_000];
        let sent = futures::future::join_all(sizes.map(|size| upload.send(1, size))).await;
        assert!(sent.iter().all(|(status, _)| [200, 409, 503].contains(status)), "{sent:?}");
        let left: i64 = upload.sizes().await[0].parse().unwrap();
        setting.house.expect_reserved(left).await;
    }
    upload.abort().await;
    setting.house.expect_reserved(0).await;
}

#[tokio::test]
async fn a_part_whose_client_goes_away_is_given_back() {
    let setting = Setting::new().await;
    let upload = Upload::begin(&setting, "a.bin").await;
    upload.expect(1, 1_000, 1_000).await;
    let (send, body) = futures::channel::mpsc::unbounded::<std::io::Result<Vec<u8>>>();
    let part = upload.part(1, &[]).header("content-length", 9_000).body(Body::wrap_stream(body));
    let sending = tokio::spawn(part.send());
    send.unbounded_send(Ok(vec![1; 2_000])).unwrap();
    setting.house.expect_reserved(9_000).await;
    sending.abort();
    setting.house.expect_reserved(1_000).await;
    assert_eq!(upload.sizes().await, ["1000"]);
}

#[tokio::test]
async fn a_completion_that_fails_leaves_what_its_parts_have_reserved() {
    let setting = Setting::new().await;
    let (house, given) = (&setting.house, &setting.given);
    let upload = Upload::begin(&setting, "a.bin").await;
    upload.expect(1, 1_000, 1_000).await;
    for _ in 0..2 {
        let (status, text) = upload.complete_with(&[1], &[("if-match", "\"other\"")]).await;
        assert_eq!(status, 412, "{text}");
        house.expect_reserved(1_000).await;
    }
    a_completion_has_died(&setting).await;
    house.expect_reserved(1_000).await;
    // Of several at once one makes the file, and what the others have reserved meanwhile goes with them.
    let answers = futures::future::join_all([(); 4].map(|()| upload.complete(&[1]))).await;
    assert!(answers.iter().any(|(status, _)| *status == 200), "{answers:?}");
    // One that comes to its end after what all stand on was settled is told that its time ran out.
    let has_lost = |(status, text): &(u16, String)| [404, 409].contains(status) || text.contains("RequestTimeout");
    assert!(answers.iter().all(|answer| answer.0 == 200 || has_lost(answer)), "{answers:?}");
    house.expect_used(1_000).await;
    house.expect_figure("select count(*) from quota_reservations", 0).await;
    house.expect_reserved(0).await;
    assert_eq!(crate::suite::recount::recount(house, given).await, 1_000);
    // One that has lost may have reserved anew what the other's event had settled: nothing stands for that any more.
    let held = house.tenant_rows(given, "select reservation_id::text, tenant_id::text from upload_sessions").await;
    let text = |column: usize| held[0].try_get::<_, String>(column).unwrap();
    house.sql(&format!("select quota_reserve('{}', '{}', 1000, interval '1 day')", text(0), text(1))).await;
    a_completion_has_died(&setting).await;
    house.expect_reserved(0).await;
}

#[tokio::test]
async fn two_replicas_that_complete_one_upload_make_one_version_and_both_say_so() {
    let setting = Setting::new().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let further = format!("s3 = {{ enabled = true, port = {port} }}");
    let _process = setting.house.data_plane_process(&further).await;
    let other = store(&format!("http://127.0.0.1:{port}"), &setting.bucket(), &setting.key);
    let one = setting.store();
    let path = Path::from("a.bin");
    const ROUNDS: i64 = 30;
    const SIZE: usize = 100_000;
    for version in 1..=ROUNDS {
        let id = one.create_multipart(&path).await.unwrap();
        let content = vec![u8::try_from(version).unwrap(); SIZE];
        let parts = vec![one.put_part(&path, &id, 0, content.into()).await.unwrap()];
        let both = futures::future::join(
            one.complete_multipart(&path, &id, parts.clone()),
            other.complete_multipart(&path, &id, parts.clone()),
        );
        let made = match both.await {
            (Ok(one), Ok(other)) => [one, other],
            failed => panic!("{version}: {failed:?}"),
        };
        assert_eq!(made[0].e_tag, made[1].e_tag);
        assert_eq!(made.map(|made| made.version), [(); 2].map(|()| Some(version.to_string())));
    }
    let used = ROUNDS * i64::try_from(SIZE).unwrap();
    setting.house.expect_used(used).await;
    setting.house.expect_reserved(0).await;
    setting.house.expect_stored_objects(usize::try_from(ROUNDS).unwrap()).await;
    assert_eq!(crate::suite::recount::recount(&setting.house, &setting.given).await, used);
}

/// One whose process has died on its way leaves an intent, which runs out.
async fn a_completion_has_died(setting: &Setting) {
    let leave = "
        insert into upload_intents (bucket, object_key, reservation_id, expires_at)
        select 'local', tenant_id || '/' || id, reservation_id, now() - interval '1 minute' from upload_sessions";
    setting.house.inside(&setting.given).await.run(leave).await.unwrap();
    setting.house.sql("select work_mark(id) from tenants").await;
    while !setting.house.tenant_rows(&setting.given, "select from upload_intents").await.is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_part_has_room_for_those_that_are_there_as_well() {
    let setting = Setting::new().await;
    let upload = Upload::begin(&setting, "a.bin").await;
    upload.expect(1, 1_000, 1_000).await;
    // Nobody came back for it in time.
    setting.house.sql("select quota_release(id) from quota_reservations").await;
    setting.house.expect_reserved(0).await;
    upload.expect(2, 300, 1_300).await;
    setting.house.sql("select quota_release(id) from quota_reservations").await;
    upload.expect(1, 200, 500).await;
    upload.abort().await;
    setting.house.expect_reserved(0).await;
}

#[tokio::test]
async fn what_is_aborted_or_forgotten_is_given_back() {
    let setting = Setting::new().await;
    let aborted = Upload::begin(&setting, "aborted.bin").await;
    aborted.expect(1, 1_000, 1_000).await;
    // One that is under way then knows nothing of it, and keeps nothing.
    let (send, body) = futures::channel::mpsc::unbounded::<std::io::Result<Vec<u8>>>();
    let part = aborted.part(2, &[]).header("content-length", 500).body(Body::wrap_stream(body));
    let sending = tokio::spawn(part.send());
    send.unbounded_send(Ok(vec![1; 200])).unwrap();
    setting.house.expect_reserved(1_500).await;
    aborted.abort().await;
    setting.house.expect_reserved(0).await;
    send.unbounded_send(Ok(vec![1; 300])).unwrap();
    drop(send);
    assert_eq!(sending.await.unwrap().unwrap().status(), 404);
    setting.house.expect_figure("select count(*) from quota_reservations", 0).await;

    let forgotten = Upload::begin(&setting, "forgotten.bin").await;
    forgotten.expect(1, 1_000, 1_000).await;
    forgotten.expect(7, 234, 1_234).await;
    let expire = "update upload_sessions set expires_at = now()";
    setting.house.inside(&setting.given).await.run(expire).await.unwrap();
    setting.house.sql("select work_mark(id) from tenants").await;
    setting.house.expect_reserved(0).await;
}
