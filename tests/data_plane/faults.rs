//! What a tenant's users see when something is away.

use std::time::{Duration, Instant};

use reqwest::Method;
use rowhouse_testkit::{Answer, Client, Given, TestCluster};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The head of an upload and the first bytes of its body; the rest is the caller's to send.
pub(super) async fn begin_upload(
    service: &Client,
    given: &Given,
    name: &str,
    length: usize,
) -> std::io::Result<TcpStream> {
    let address = service.base().trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await?;
    let head = format!(
        "POST /v1/files?workspace_id={}&name={name} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n",
        given.workspace,
        given.data.key()
    );
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(&vec![1; length / 2]).await?;
    Ok(socket)
}

#[tokio::test]
async fn a_service_that_is_told_to_stop_finishes_what_it_has_begun() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let process = house.data_plane_process("").await;
    let mut socket = begin_upload(&process.client, &given, "slow.bin", 200_000).await.unwrap();
    house.expect_reserved(200_000).await;
    process.terminate();
    let begun = Instant::now();
    let address = process.client.base().trim_start_matches("http://").to_owned();
    while TcpStream::connect(&address).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(15), "it still takes new requests");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    socket.write_all(&vec![1; 100_000]).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(process.exit_code().await, Some(0));
}

#[tokio::test]
async fn what_a_killed_service_left_is_cleaned_up_by_another() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let process = house.data_plane_process("uploads.reservation_ttl = '2s'").await;
    // Large enough to lie on the disk before they are whole.
    let (count, length) = (3, 4_000_000);
    let mut sockets = Vec::new();
    for number in 0..count {
        sockets.push(begin_upload(&process.client, &given, &format!("{number}.bin"), length).await.unwrap());
    }
    house.expect_reserved(i64::try_from(count * length).unwrap()).await;
    house.expect_stored_objects(count).await;
    process.kill().await;
    let begun = Instant::now();
    while house.rows("select sum(reserved_storage)::bigint from tenants").await[0].try_get::<_, i64>(0).unwrap() > 0
        || house.stored_objects() > 0
    {
        assert!(begun.elapsed() < Duration::from_secs(120), "the other service does not clean up");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn work_that_a_killed_service_had_taken_on_is_done_by_another() {
    if !crate::suite::is_soak() {
        return;
    }
    let house = crate::house().await;
    let given = house.tenant().await;
    let process = house.data_plane_process("").await;
    let data = process.client.with_key(given.data.key());
    for number in 0..40 {
        let path = format!("/v1/files?workspace_id={}&name={number}.txt", given.workspace);
        let _ = data.upload(&path, format!("walrus {number}")).await.expect(201);
    }
    process.kill().await;
    house.expect_reserved_within(0, Duration::from_secs(60)).await;
    house.expect_used((0..40).map(|number: i64| 7 + number.to_string().len() as i64).sum()).await;
    let begun = Instant::now();
    loop {
        let files =
            given.data.get(&format!("/v1/files?workspace_id={}&limit=200", given.workspace)).await.expect(200).json();
        let files = files["items"].as_array().unwrap().clone();
        assert_eq!(files.len(), 40);
        if files.iter().all(|file| file["indexed_at"].is_string()) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "the files are not indexed");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_tenant_whose_database_is_away_is_503_and_others_are_served() {
    // Each in a database with nobody else, also where several would share one.
    let house = crate::house_with(|settings| {
        (settings.tenancy.group_size, settings.tenancy.shared_size) = (1, 1);
    })
    .await;
    let (away, here) = (house.tenant().await, house.tenant().await);
    house.close_database_of(&away).await;
    let answer = away.data.get("/v1/workspaces").await;
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    answer.problem(503, "unavailable");
    let _ = here.data.get("/v1/workspaces").await.expect(200);
}

#[tokio::test]
async fn a_content_that_is_missing_ends_in_an_error_and_not_in_nothing() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let file = given.upload("a.txt", "words").await;
    house.lose_objects();
    let answer = given.data.get(&format!("/v1/files/{file}/content")).await;
    assert!(answer.status.is_server_error(), "{}", answer.status);
}

#[tokio::test]
async fn a_commit_that_the_server_refuses_leaves_nothing() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let rows = house.rows("select database_name, schema_name from tenants").await;
    let tenant = TestCluster::get().admin(rows[0].try_get(0).unwrap()).await;
    let schema: String = rows[0].try_get(1).unwrap();
    tenant.run(&format!("set search_path = {schema}")).await.unwrap();
    let refuse = "create function refuse() returns trigger language plpgsql as $$ begin raise 'no'; end $$;
        create constraint trigger refuse after insert on file_versions deferrable initially deferred
        for each row execute function refuse()";
    tenant.run(refuse).await.unwrap();
    let path = format!("/v1/files?workspace_id={}&name=a.txt", given.workspace);
    let send =
        || Answer::of(given.data.request(Method::POST, &path).header("idempotency-key", "upload-1").body("words"));
    send().await.problem(500, "internal");
    house.expect_reserved(0).await;
    assert_eq!(house.stored_objects(), 0);
    tenant.run("drop function refuse() cascade").await.unwrap();
    let _ = send().await.expect(201);
    house.expect_used(5).await;
}

/// What can't be removed keeps nothing else from being removed.
#[tokio::test]
async fn one_object_that_stays_holds_up_no_other() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let rows = house.rows("select id::text, database_name, schema_name from tenants").await;
    let text = |column: usize| rows[0].try_get::<_, String>(column).unwrap();
    let (tenant, schema) = (text(0), text(2));
    let folder = house.blob_root().join(&tenant);
    // The older one is a folder with something in it, which no store takes for an object of its own.
    let (stuck, other) = ("00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002");
    std::fs::create_dir_all(folder.join(stuck).join("inside")).unwrap();
    std::fs::write(folder.join(other), "left behind").unwrap();
    let inside = TestCluster::get().admin(&text(1)).await;
    for (object, age) in [(stuck, "2 hours"), (other, "1 hour")] {
        let insert = format!(
            "set search_path = {schema}, extensions, pg_temp;
             insert into upload_intents (tenant_id, bucket, object_key, state, expires_at)
             values ('{tenant}', 'local', '{tenant}/{object}', 'pending', now() - interval '{age}')"
        );
        inside.run(&insert).await.unwrap();
    }
    house.sql(&format!("select work_mark('{tenant}')")).await;
    let begun = Instant::now();
    while folder.join(other).exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the other object is still there");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Each is written down by itself, in whichever order they end.
    let left = async || inside.query("select from upload_intents where expires_at > now()", &[]).await.unwrap().len();
    while left().await != 1 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the one that stays is not tried again later");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(given);
}
