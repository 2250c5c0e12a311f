//! What is told of runs to whoever the settings name.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rowhouse_testkit::TestHouse;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{OLD, go, house, house_with, make, number_in, spoil, start, until};

const SECRET: [u8; 32] = [7; 32];

/// A request as it came.
#[derive(Debug, Clone)]
struct Received {
    headers: Vec<(String, String)>,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        &self.headers.iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("no {name}: {self:?}")).1
    }

    /// As whoever receives it would make sure of it.
    fn verify(&self) -> Value {
        let (id, timestamp) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        let age = jiff::Timestamp::now().as_second() - timestamp.parse::<i64>().unwrap();
        assert!((0..120).contains(&age), "{age}");
        let signature = self.header("webhook-signature").strip_prefix("v1,").unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&SECRET).unwrap();
        mac.update(format!("{id}.{timestamp}.{}", self.body).as_bytes());
        mac.verify_slice(&STANDARD.decode(signature).unwrap()).unwrap();
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A house that tells an address of its runs.
async fn house_telling(url: String) -> TestHouse {
    house_with(|settings| {
        settings.migrations.webhook_url = url;
        settings.migrations.webhook_secret = format!("whsec_{}", STANDARD.encode(SECRET)).into();
    })
    .await
}

/// Listens, fails the first request, and takes all others.
async fn receiver() -> (String, Arc<Mutex<Vec<Received>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/hook?token=hidden", listener.local_addr().unwrap());
    let received = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&received);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            answer(stream, &kept).await;
        }
    });
    (url, received)
}

async fn answer(mut stream: TcpStream, received: &Mutex<Vec<Received>>) {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        let count = stream.read(&mut part).await.unwrap();
        bytes.extend_from_slice(&part[..count]);
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(begin) = request.parse(&bytes).unwrap() else { continue };
        let headers: Vec<(String, String)> = request
            .headers
            .iter()
            .map(|header| (header.name.to_lowercase(), String::from_utf8(header.value.to_vec()).unwrap()))
            .collect();
        let one = Received { headers, body: String::from_utf8(bytes[begin..].to_vec()).unwrap() };
        if one.body.len() < one.header("content-length").parse::<usize>().unwrap() {
            continue;
        }
        let is_first = {
            let mut received = received.lock().unwrap();
            received.push(one);
            received.len() == 1
        };
        let status = if is_first { "503 Service Unavailable" } else { "204 No Content" };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        return;
    }
}

#[tokio::test]
async fn a_webhook_is_told_when_a_run_halts_and_when_it_ends() {
    let (url, received) = receiver().await;
    let house = house_telling(url).await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 2).await;
    spoil(&house, &tenants[0], "drop").await;
    let run = start(&house, json!({"direction": "down", "to": OLD, "max_failures": "1", "canary": "0"})).await;
    until(&house, &run, "halted").await;
    spoil(&house, &tenants[0], "add").await;
    let _ = house.admin.post(&format!("{run}/resume"), &json!({})).await.expect(200);
    until(&house, &run, "done").await;
    let begun = Instant::now();
    while received.lock().unwrap().len() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", received.lock().unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // The first one was not taken, and came once more.
    let received = received.lock().unwrap().clone();
    let id = run.rsplit('/').next().unwrap();
    let told: Vec<Value> = received.iter().map(Received::verify).collect();
    let halted: Vec<usize> = (0..3).filter(|index| told[*index]["type"] == "migration_run.halted").collect();
    let done: Vec<usize> = (0..3).filter(|index| told[*index]["type"] == "migration_run.done").collect();
    assert_eq!(halted.len() + done.len(), 3, "{told:#?}");
    let repeated = if halted.len() == 2 { &halted } else { &done };
    assert_eq!(received[repeated[0]].header("webhook-id"), received[repeated[1]].header("webhook-id"));
    assert_eq!(received[repeated[0]].body, received[repeated[1]].body);
    let data = &told[halted[0]]["data"];
    assert_eq!((&data["run_id"], &data["state"], &data["counts"]["failed"]), (&json!(id), &json!("halted"), &json!(1)));
    assert!(data["reason"].as_str().unwrap().contains("failed"), "{data}");
    assert_eq!(told[done[0]]["data"]["counts"], json!({"running": 0, "done": 2, "failed": 0, "skipped": 0}));
    let begun = Instant::now();
    while number_in(&house, "select count(*) from migration_notices where delivered_at is not null").await != 2 {
        assert!(begun.elapsed() < Duration::from_secs(30), "what was taken is not recorded");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(number_in(&house, "select count(*) from migration_notices where due_at is not null").await, 0);
}

#[tokio::test]
async fn an_unreachable_webhook_is_tried_again_and_its_address_kept_out_of_the_record() {
    // Nobody listens there.
    let house = house_telling("http://127.0.0.1:9/hook?token=hidden".to_owned()).await;
    go(&house, "up", crate::NEW).await;
    let begun = Instant::now();
    while number_in(&house, "select count(*) from migration_notices where error is not null").await == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is not tried");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let rows = house.rows("select error, due_at > now() as is_due, attempts from migration_notices").await;
    let error: String = rows[0].try_get(0).unwrap();
    assert!(!error.contains("hidden") && !error.contains("/hook"), "{error}");
    assert!(rows[0].try_get::<_, bool>(1).unwrap());
    // After the last one it is given up.
    house.sql("update migration_notices set attempts = 9, due_at = now()").await;
    let begun = Instant::now();
    while number_in(&house, "select count(*) from migration_notices where due_at is null").await == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is tried for ever");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn without_a_webhook_nothing_waits() {
    let house = house().await;
    go(&house, "up", crate::NEW).await;
    let begun = Instant::now();
    while number_in(&house, "select count(*) from migration_notices where due_at is null").await == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "it waits for nobody");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_webhook_is_told_when_a_run_is_cancelled() {
    let (url, received) = receiver().await;
    let house = house_telling(url).await;
    let organization = house.organization().await;
    make(&house, &organization, "schema", 2).await;
    let run = start(&house, json!({"direction": "down", "to": OLD, "soak_seconds": 600})).await;
    let _ = house.admin.post(&format!("{run}/cancel"), &json!({})).await.expect(200);
    let begun = Instant::now();
    // The first one is not taken, and comes once more.
    while received.lock().unwrap().len() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", received.lock().unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let told = received.lock().unwrap()[1].verify();
    assert_eq!(told["type"], "migration_run.cancelled", "{told}");
    let (id, data) = (run.rsplit('/').next().unwrap(), &told["data"]);
    assert_eq!((&data["run_id"], &data["state"]), (&json!(id), &json!("cancelled")), "{told}");
    assert_eq!(data["reason"], "cancelled by an operator", "{told}");
}
