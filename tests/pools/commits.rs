//! A commit that happens and whose answer is lost: nobody can know, so nothing may be undone, and a repetition finds out.

use std::time::Duration;

use rowhouse_testkit::{CommitFault, TestHouse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::estate::{ISOLATIONS, Tenant, house_with, indexed, report, served_again};
use crate::ledger::files_of;
use crate::network::behind_a_proxy;

/// How long an upload may wait for an answer that does not come.
const BOUND: Duration = Duration::from_secs(15);
const LENGTH: usize = 20_000;
const NAME: &str = "unanswered.txt";

/// A house whose background work stays out of the way of what is armed for requests.
async fn quiet_house() -> TestHouse {
    house_with(|settings| settings.work.poll = Duration::from_secs(3600)).await
}

fn content(tenant: &Tenant) -> String {
    let line = format!("{} unanswered ", tenant.mark);
    line.repeat(LENGTH / line.len() + 1)[..LENGTH].to_owned()
}

/// Sends the head of an upload and half of its content.
async fn begin(tenant: &Tenant) -> TcpStream {
    let address = tenant.data.base().trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/files?workspace_id={}&name={NAME} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
         idempotency-key: {NAME}\r\ncontent-length: {LENGTH}\r\nconnection: close\r\n\r\n",
        tenant.workspace,
        tenant.data.key()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&content(tenant).as_bytes()[..LENGTH / 2]).await.unwrap();
    socket
}

async fn unanswered(fault: CommitFault) {
    let behind = behind_a_proxy(quiet_house().await, 3, &ISOLATIONS).await;
    // The first uploads' own work is done, and no other is looked for.
    indexed(&behind.tenants).await;
    behind.house.expect_reserved(0).await;
    let mut reserved = 0;
    for tenant in behind.tenants.iter() {
        let what = format!("{fault:?}, {}", tenant.isolation);
        let mut socket = begin(tenant).await;
        reserved += i64::try_from(LENGTH).unwrap();
        behind.house.expect_reserved(reserved).await;
        let lost = behind.proxy.on_next_commit(fault);
        socket.write_all(&content(tenant).as_bytes()[LENGTH / 2..]).await.unwrap();
        timeout(BOUND, lost.wait()).await.expect("the upload is committed");
        let begun = std::time::Instant::now();
        let mut answer = String::new();
        let answered = timeout(BOUND, socket.read_to_string(&mut answer)).await;
        report(&format!(
            "{what}: answered after {:?}: {}",
            begun.elapsed(),
            answer.lines().next().unwrap_or("nothing")
        ));
        assert!(answered.is_ok(), "{what}: there is no answer after {BOUND:?}");
        let status = answer.split(' ').nth(1).unwrap_or("none");
        assert!(["503", "504"].contains(&status), "{what}: {answer}");
        assert!(answer.to_lowercase().contains("retry-after: "), "{what}: {answer}");

        // It was committed, so it is there, and so is its content.
        let files = files_of(tenant).await;
        let file = files.get(NAME).unwrap_or_else(|| panic!("{what}: the file is not there: {files:?}"));
        let found = tenant.get(&format!("/v1/files/{file}/content")).await.unwrap();
        assert_eq!((found.status, found.body), (200, content(tenant)), "{what}");
        // Who repeats it is told what has become of it.
        let repeated = tenant.send(tenant.upload(NAME, content(tenant))).await.unwrap();
        assert_eq!(
            (repeated.status, repeated.json()["id"].as_str()),
            (201, Some(file.as_str())),
            "{what}: {repeated:?}"
        );
    }
    served_again(&behind.tenants, "after lost answers").await;
}

#[tokio::test]
async fn an_upload_whose_commit_is_cut_off_before_the_server_is_ready_is_kept() {
    unanswered(CommitFault::CutBeforeReady).await;
}

#[tokio::test]
async fn an_upload_whose_commit_is_cut_off_before_its_answer_is_kept() {
    unanswered(CommitFault::LoseAndCut).await;
}

#[tokio::test]
async fn an_upload_whose_commit_is_never_answered_is_kept_and_answered_in_time() {
    unanswered(CommitFault::LoseAndFallSilent).await;
}
