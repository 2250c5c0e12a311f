//! Which threads move the bytes of tenants' connections.

use std::sync::mpsc;
use std::time::Duration;

use rowhouse_database::{Described, Sql, TenantConnection};
use rowhouse_testkit::tenant_database;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::pools::pools;

async fn answers(connection: &TenantConnection) -> bool {
    let answer = connection.query("select 1::text", &[]);
    tokio::time::timeout(Duration::from_millis(300), answer).await.is_ok_and(|answer| answer.context("asking").is_ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_opened_elsewhere_is_driven_by_those_who_serve_requests_for_as_long_as_they_do() {
    let (tenant, pools) = (tenant_database().await, pools(|_| {}));
    let (begun, has_begun) = oneshot::channel();
    let (end, is_to_end) = oneshot::channel::<()>();
    let serving = pools.clone();
    let server = std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let driving = serving.drive_here();
            begun.send(Handle::current()).unwrap();
            is_to_end.await.unwrap();
            drop(driving);
        });
    });
    let worker = has_begun.await.unwrap();
    let connection = pools.checkout(&tenant.active()).await.unwrap();
    assert!(answers(&connection).await);
    // The worker is busy for a while, and so is nobody else.
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let busy = worker.spawn(async move { may_go_on.recv().unwrap() });
    assert!(!answers(&connection).await, "somebody else drives it");
    go_on.send(()).unwrap();
    busy.await.unwrap();
    drop(connection);
    end.send(()).unwrap();
    server.join().unwrap();
    let connection = pools.checkout(&tenant.active()).await.unwrap();
    assert!(answers(&connection).await, "nobody drives it");
}
