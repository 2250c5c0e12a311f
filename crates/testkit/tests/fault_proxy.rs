//! The proxy does to connections what it is told to, and nothing else.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use rowhouse_database::{AdminConnection, ServerAddress, Tls};
use rowhouse_testkit::{CommitFault, Cut, FaultProxy, Faults, TestCluster, Toward};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Long enough for anything to happen that is going to.
const MOMENT: Duration = Duration::from_millis(150);
const PATIENCE: Duration = Duration::from_secs(10);

/// A server that sends back what it gets, and ends when its client does.
async fn echo() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = socket.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    port
}

async fn connect(proxy: &FaultProxy) -> TcpStream {
    TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap()
}

/// Sends and waits for as much to come back; says how long it took.
async fn round_trip(socket: &mut TcpStream, length: usize) -> Duration {
    let begun = Instant::now();
    let (mut from, mut to) = socket.split();
    let sent = vec![7; length];
    let mut received = vec![0; length];
    let (written, read) =
        timeout(PATIENCE, async { tokio::join!(to.write_all(&sent), from.read_exact(&mut received)) })
            .await
            .expect("it comes back");
    written.unwrap();
    read.unwrap();
    assert_eq!(sent, received);
    begun.elapsed()
}

async fn is_silent(socket: &mut TcpStream) -> bool {
    let mut byte = [0];
    timeout(MOMENT, socket.read(&mut byte)).await.is_err()
}

#[tokio::test]
async fn what_is_not_faulty_passes_whole_and_at_once() {
    let proxy = FaultProxy::before(echo().await);
    let mut socket = connect(&proxy).await;
    assert!(round_trip(&mut socket, 1_000_000).await < PATIENCE);
    assert_eq!((proxy.connections().len(), proxy.carried()), (1, 1));
    drop(socket);
    let begun = Instant::now();
    while !proxy.connections().is_empty() {
        assert!(begun.elapsed() < PATIENCE, "an ended connection is forgotten");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn latency_counts_each_way_and_ends_when_it_is_healed() {
    let proxy = FaultProxy::before(echo().await);
    let mut socket = connect(&proxy).await;
    let latency = Duration::from_millis(60);
    proxy.set(Faults { latency, jitter: Duration::from_millis(20), ..Faults::default() });
    let slow = round_trip(&mut socket, 1).await;
    assert!(slow >= latency * 2, "{slow:?}");
    proxy.heal();
    let healed = round_trip(&mut socket, 1).await;
    assert!(healed < latency, "{healed:?}");
}

#[tokio::test]
async fn a_thin_line_takes_its_time() {
    let proxy = FaultProxy::before(echo().await);
    proxy.set(Faults { bandwidth: Some(100_000), ..Faults::default() });
    let mut socket = connect(&proxy).await;
    let slow = round_trip(&mut socket, 40_000).await;
    assert!(slow >= Duration::from_millis(300), "{slow:?}");
}

#[tokio::test]
async fn silence_begins_and_ends_in_the_middle_and_loses_nothing() {
    let proxy = FaultProxy::before(echo().await);
    let (mut silent, mut other) = (connect(&proxy).await, connect(&proxy).await);
    round_trip(&mut silent, 1).await;
    round_trip(&mut other, 1).await;
    proxy.connections()[0].set(Faults { silent: true, ..Faults::default() });
    silent.write_all(b"a").await.unwrap();
    assert!(is_silent(&mut silent).await);
    round_trip(&mut other, 1).await;
    proxy.heal();
    let mut byte = [0];
    timeout(PATIENCE, silent.read_exact(&mut byte)).await.unwrap().unwrap();
    assert_eq!(&byte, b"a");
}

#[tokio::test]
async fn who_comes_while_it_is_silent_is_let_in_and_hears_nothing() {
    let proxy = FaultProxy::before(echo().await);
    proxy.set(Faults { silent: true, ..Faults::default() });
    let mut socket = connect(&proxy).await;
    socket.write_all(b"a").await.unwrap();
    assert!(is_silent(&mut socket).await);
}

#[tokio::test]
async fn a_reset_is_an_error_and_an_end_is_not() {
    let proxy = FaultProxy::before(echo().await);
    for (cut, expected) in [(Cut::Reset, Err(ErrorKind::ConnectionReset)), (Cut::Finish, Ok(0))] {
        let mut socket = connect(&proxy).await;
        round_trip(&mut socket, 1).await;
        proxy.cut(cut);
        let mut byte = [0];
        let read = timeout(PATIENCE, socket.read(&mut byte)).await.unwrap();
        assert_eq!(read.map_err(|error| error.kind()), expected, "{cut:?}");
    }
    let mut later = connect(&proxy).await;
    round_trip(&mut later, 1).await;
}

#[tokio::test]
async fn one_connection_is_cut_and_another_is_not() {
    let proxy = FaultProxy::before(echo().await);
    let (mut one, mut other) = (connect(&proxy).await, connect(&proxy).await);
    round_trip(&mut one, 1).await;
    round_trip(&mut other, 1).await;
    proxy.connections()[1].cut(Cut::Reset);
    let mut byte = [0];
    assert!(timeout(PATIENCE, other.read(&mut byte)).await.unwrap().is_err());
    round_trip(&mut one, 1).await;
}

#[tokio::test]
async fn half_a_connection_is_closed() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let proxy = FaultProxy::before(listener.local_addr().unwrap().port());
    let mut byte = [0];
    for toward in [Toward::Client, Toward::Server] {
        let mut client = connect(&proxy).await;
        let (mut server, _) = listener.accept().await.unwrap();
        proxy.half_close(toward);
        let (closed, open) = match toward {
            Toward::Client => (&mut client, &mut server),
            Toward::Server => (&mut server, &mut client),
        };
        assert_eq!(timeout(PATIENCE, closed.read(&mut byte)).await.unwrap().unwrap(), 0, "{toward:?}");
        closed.write_all(b"a").await.unwrap();
        timeout(PATIENCE, open.read_exact(&mut byte)).await.unwrap().unwrap();
        assert_eq!(&byte, b"a", "{toward:?}");
    }
}

#[tokio::test]
async fn who_comes_while_it_refuses_is_refused_and_who_is_there_stays() {
    let proxy = FaultProxy::before(echo().await);
    let mut socket = connect(&proxy).await;
    round_trip(&mut socket, 1).await;
    proxy.refuse();
    let begun = Instant::now();
    // Somebody may have been let in on the way.
    while let Ok(mut late) = TcpStream::connect(("127.0.0.1", proxy.port())).await {
        assert!(begun.elapsed() < PATIENCE, "connections are still taken");
        let _ = late.shutdown().await;
    }
    round_trip(&mut socket, 1).await;
    proxy.heal();
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", proxy.port())).await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "connections are not taken again");
    }
}

/// Commits an insert through the proxy. Says whether the client was told so, and whether the row is there.
async fn commit_through(fault: CommitFault) -> (Option<bool>, bool) {
    let cluster = TestCluster::get();
    let database = rowhouse_testkit::platform_database().await;
    let direct = cluster.admin(&database.name).await;
    direct.run("create table kept (value integer)").await.unwrap();
    let proxy = FaultProxy::before_postgres(cluster.port());
    let address = ServerAddress { port: proxy.port(), ..cluster.superuser() };
    let connection = AdminConnection::open(&address, &database.name, &Tls::Disabled).await.unwrap();
    connection.run("begin; insert into kept values (1)").await.unwrap();
    let lost = proxy.on_next_commit(fault);
    let told = timeout(Duration::from_secs(1), connection.run("commit")).await.ok().map(|told| told.is_ok());
    timeout(PATIENCE, lost.wait()).await.unwrap();
    let kept = direct.query("select from kept", &[]).await.unwrap();
    // The trap is sprung once.
    let further = AdminConnection::open(&address, &database.name, &Tls::Disabled).await.unwrap();
    further.run("begin; insert into kept values (2); commit").await.unwrap();
    (told, kept.len() == 1)
}

#[tokio::test]
async fn a_commit_happens_and_its_answer_is_lost() {
    assert_eq!(commit_through(CommitFault::CutBeforeReady).await, (Some(false), true));
    assert_eq!(commit_through(CommitFault::LoseAndCut).await, (Some(false), true));
    assert_eq!(commit_through(CommitFault::LoseAndFallSilent).await, (None, true));
}
