//! Which threads move the bytes of tenants' connections.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rowhouse_database::{Described, Sql, TenantConnection, TenantPools};
use rowhouse_testkit::tenant_database;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::pools::pools;

async fn answers(connection: &TenantConnection) -> bool {
    let answer = connection.query("select 1::text", &[]);
    tokio::time::timeout(Duration::from_millis(300), answer).await.is_ok_and(|answer| answer.context("asking").is_ok())
}

/// A thread that serves requests, as far as connections can tell.
struct Server {
    worker: Handle,
    end: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Server {
    async fn begin(pools: &TenantPools) -> Self {
        let (begun, has_begun) = oneshot::channel();
        let (end, is_to_end) = oneshot::channel::<()>();
        let pools = pools.clone();
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let driving = pools.drive_here();
                begun.send(Handle::current()).unwrap();
                is_to_end.await.unwrap();
                drop(driving);
            });
        });
        Self { worker: has_begun.await.unwrap(), end, thread }
    }

    /// Does something while the worker does nothing else.
    async fn busy<T>(&self, meanwhile: impl Future<Output = T>) -> T {
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let busy = self.worker.spawn(async move { may_go_on.recv().unwrap() });
        let done = meanwhile.await;
        go_on.send(()).unwrap();
        busy.await.unwrap();
        done
    }

    fn end(self) {
        self.end.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_opened_elsewhere_is_driven_by_those_who_serve_requests_for_as_long_as_they_do() {
    let (tenant, pools) = (tenant_database().await, pools(|_| {}));
    let server = Server::begin(&pools).await;
    let connection = pools.checkout(&tenant.active()).await.unwrap();
    assert!(answers(&connection).await);
    assert!(!server.busy(answers(&connection)).await, "somebody else drives it");
    drop(connection);
    server.end();
    let connection = pools.checkout(&tenant.active()).await.unwrap();
    assert!(answers(&connection).await, "nobody drives it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_serve_requests_drive_as_many_each_whoever_of_them_asks() {
    let (tenant, pools) = (tenant_database().await, pools(|_| {}));
    let [one, other] = [Server::begin(&pools).await, Server::begin(&pools).await];
    let (placement, asking) = (tenant.active(), pools.clone());
    // All of them are asked for on one of the threads.
    let opened = one.worker.spawn(async move {
        futures::future::join_all((0..4).map(|_| asking.checkout(&placement)))
            .await
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
    });
    let connections = opened.await.unwrap().unwrap();
    for server in [&one, &other] {
        let answers = server.busy(futures::future::join_all(connections.iter().map(answers))).await;
        assert_eq!(answers.iter().filter(|answers| **answers).count(), 2);
    }
    drop(connections);
    one.end();
    other.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_connection_of_a_tenant_is_driven_by_the_thread_that_asks_for_it() {
    let (tenants, pools) = ([tenant_database().await, tenant_database().await], pools(|_| {}));
    let [one, other] = [Server::begin(&pools).await, Server::begin(&pools).await];
    let mut connections = Vec::new();
    for tenant in &tenants {
        let (placement, asking) = (tenant.active(), pools.clone());
        let opened = other.worker.spawn(async move { asking.checkout(&placement).await });
        connections.push(opened.await.unwrap().unwrap());
    }
    for connection in &connections {
        assert!(one.busy(answers(connection)).await, "the other thread drives it");
        assert!(!other.busy(answers(connection)).await, "the thread that asked does not drive it");
    }
    drop(connections);
    one.end();
    other.end();
}
