//! Resumable uploads of which every byte has come: put together once, whoever asks for it and wherever.

use std::time::{Duration, Instant};

use futures::{StreamExt, future, stream};
use reqwest::{Body, Method};
use rowhouse_testkit::{Answer, TestCluster};
use sha2::{Digest, Sha256};

use super::recount;
use super::tus::{begin, content, offset, patch, request, under_way};

#[tokio::test]
async fn another_process_goes_on_where_a_killed_one_was() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let whole: Vec<u8> = (0..6_000_000u32).flat_map(u32::to_le_bytes).collect();
    let process = house.data_plane_process("").await;
    let client = process.client.with_key(given.data.key());
    let path = begin(&given, "large.bin", whole.len()).await;
    let _ = Answer::of(patch(&client, &path, 0).body(whole[..1_000_000].to_vec())).await.expect(204);
    // The process dies in the middle of the next piece, behind what it records at a time.
    let next = whole[1_000_000..20_000_000].to_vec();
    let stream = stream::iter([Ok::<_, std::io::Error>(next)]).chain(stream::pending());
    let sending = patch(&client, &path, 1_000_000).header("content-length", 23_000_000).body(Body::wrap_stream(stream));
    let sending = tokio::spawn(sending.send());
    for _ in 0..200 {
        if offset(&given.data, &path).await > 1_000_000 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    process.kill().await;
    assert!(sending.await.unwrap().is_err());
    let known = offset(&given.data, &path).await;
    assert!(known > 1_000_000, "{known}");
    let _ = Answer::of(patch(&given.data, &path, known).body(whole[known..].to_vec())).await.expect(204);
    assert_eq!(Sha256::digest(content(&given, "large.bin").await.unwrap()), Sha256::digest(&whole));
    house.expect_used(i64::try_from(whole.len()).unwrap()).await;
}

/// Gigabytes take longer to put together than many a client waits.
#[tokio::test]
async fn a_file_is_put_together_once_whoever_waits_for_it() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let organization = TestCluster::get().admin(&house.platform).await;
    for name in ["left", "asked"] {
        // Every byte has come, and the file could not be made then.
        let path = begin(&given, name, 5).await;
        let taken = given.upload(name, "x").await;
        Answer::of(patch(&given.data, &path, 0).body("words")).await.problem(409, "name_taken");
        let _ = given.data.delete(&format!("/v1/files/{taken}")).await.expect(204);
        house.expect_used(if name == "left" { 1 } else { 7 }).await;
        organization.run("begin; select from organizations for update").await.unwrap();
        let first = under_way(&house, &given, request(&given.data, Method::HEAD, &path)).await;
        first.abort();
        assert!(first.await.is_err_and(|error| error.is_cancelled()));
        tokio::time::sleep(Duration::from_millis(200)).await;
        if name == "asked" {
            let ask = || tokio::spawn(Answer::of(request(&given.data, Method::HEAD, &path)));
            let (second, third) = (ask(), ask());
            tokio::time::sleep(Duration::from_millis(200)).await;
            organization.run("rollback").await.unwrap();
            for asked in [second, third] {
                let _ = asked.await.unwrap().expect(200);
            }
        } else {
            organization.run("rollback").await.unwrap();
        }
        let begun = Instant::now();
        while content(&given, name).await.as_deref() != Some(b"words") {
            assert!(begun.elapsed() < Duration::from_secs(20), "there is no file");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let left = "select from upload_intents where state = 'pending' and tenant_id = app_tenant_id()";
        assert!(house.tenant_rows(&given, left).await.is_empty());
    }
}

/// Whoever asks for what has come whole has it put together, at whichever replica; and the last piece may be sent to both.
#[tokio::test]
async fn two_replicas_that_put_one_upload_together_make_one_file() {
    const ROUNDS: i64 = 10;
    let house = crate::house().await;
    let given = house.tenant().await;
    let process = house.data_plane_process("").await;
    let other = process.client.with_key(given.data.key());
    for round in 0..ROUNDS {
        let name = format!("asked {round}");
        let path = begin(&given, &name, 5).await;
        let taken = given.upload(&name, "x").await;
        Answer::of(patch(&given.data, &path, 0).body("words")).await.problem(409, "name_taken");
        let _ = given.data.delete(&format!("/v1/files/{taken}")).await.expect(204);
        let known = future::join(offset(&given.data, &path), offset(&other, &path)).await;
        assert_eq!(known, (5, 5), "{round}");
        assert_eq!(content(&given, &name).await.unwrap(), b"words", "{round}");

        let name = format!("sent {round}");
        let path = begin(&given, &name, 5).await;
        let send = |client| Answer::of(patch(client, &path, 0).body("words"));
        let (one, two) = future::join(send(&given.data), send(&other)).await;
        let mut said = [one.status.as_u16(), two.status.as_u16()];
        said.sort_unstable();
        assert_eq!(said, [204, 409], "{round}");
        assert_eq!(offset(&other, &path).await, 5, "{round}");
        assert_eq!(content(&given, &name).await.unwrap(), b"words", "{round}");
    }
    // What took the names lies in the trash.
    house.expect_used(ROUNDS * 11).await;
    house.expect_reserved(0).await;
    assert_eq!(recount::recount(&house, &given).await, ROUNDS * 11);
    process.kill().await;
}

/// The hash of a part is known from when it came: what its bytes have become since is nobody's content.
#[tokio::test]
async fn a_part_that_has_rotted_becomes_no_file() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let path = begin(&given, "a.txt", 10).await;
    let _ = Answer::of(patch(&given.data, &path, 0).body("words")).await.expect(204);
    house.change_objects(|bytes| bytes[0] ^= 1);
    Answer::of(patch(&given.data, &path, 5).body("words")).await.problem(503, "unavailable");
    assert_eq!(content(&given, "a.txt").await, None);
    assert_eq!(Answer::of(request(&given.data, Method::HEAD, &path)).await.status.as_u16(), 503);
    let _ = Answer::of(request(&given.data, Method::DELETE, &path)).await.expect(204);
    house.expect_reserved(0).await;
}
