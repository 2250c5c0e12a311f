//! A TCP proxy in this process that misbehaves when it is told to: slow, thin, silent, cut, half-closed, refusing; and in front
//! of PostgreSQL it can lose the answer of a commit.
//!
//! It runs on a thread of its own, so that a busy test does not slow it down. Existing servers of this kind are programs to be
//! installed beside the tests, and none of them knows where PostgreSQL's messages end.

mod carry;
mod commit;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{oneshot, watch};

use crate::cluster::block_on;
use commit::Trap;
pub use commit::{CommitFault, Sprung};

/// Connections that wait to be taken in.
const BACKLOG: u32 = 1024;
/// A queue is full where a connection is not made within this time.
const FULL: Duration = Duration::from_millis(100);

/// How connections fare, in both directions. The default is well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// How long each piece is under way.
    pub latency: Duration,
    /// Up to so much longer; pieces stay in order.
    pub jitter: Duration,
    /// Bytes a second, each way.
    pub bandwidth: Option<u32>,
    /// What comes is taken and goes nowhere. A connection that is made meanwhile does not reach the server before this ends.
    pub silent: bool,
}

/// How a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// With RST: what was under way is lost.
    Reset,
    /// With FIN, towards both sides.
    Finish,
}

/// Which side is told that nothing more will come, while the other direction stays open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toward {
    /// The one that connected.
    Client,
    /// The one that is connected to.
    Server,
}

/// What is to become of one connection.
#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    faults: Faults,
    closed_toward_client: bool,
    closed_toward_server: bool,
    cut: Option<Cut>,
}

/// What becomes of connections to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    Refusing,
    Swallowing,
}

struct Shared {
    target: SocketAddr,
    is_postgres: bool,
    /// For connections to come.
    faults: Mutex<Faults>,
    connections: Mutex<HashMap<u64, watch::Sender<Fate>>>,
    carried: AtomicU64,
    trap: Mutex<Option<Trap>>,
}

/// A proxy on a port of its own; gone, with its connections, when this value is.
pub struct FaultProxy {
    shared: Arc<Shared>,
    port: u16,
    door: watch::Sender<Door>,
    _stop: oneshot::Sender<()>,
}

impl FaultProxy {
    /// A proxy in front of a port of this machine, whatever is spoken there.
    ///
    /// # Panics
    /// Where no port is free.
    pub fn before(port: u16) -> Self {
        Self::start(port, false)
    }

    /// The same in front of a PostgreSQL server that is spoken to in the clear, whose commits can be left unanswered.
    ///
    /// # Panics
    /// Where no port is free.
    pub fn before_postgres(port: u16) -> Self {
        Self::start(port, true)
    }

    fn start(target: u16, is_postgres: bool) -> Self {
        let shared = Arc::new(Shared {
            target: SocketAddr::from((Ipv4Addr::LOCALHOST, target)),
            is_postgres,
            faults: Mutex::default(),
            connections: Mutex::default(),
            carried: AtomicU64::new(0),
            trap: Mutex::default(),
        });
        let (door, watched) = watch::channel(Door::Open);
        let (stop, stopped) = oneshot::channel::<()>();
        let (bound, port) = std::sync::mpsc::channel();
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            block_on(async move {
                // Bound and never listening: keeps the port ours while connections are refused.
                let keeper = socket(0);
                let port = keeper.local_addr().expect("a socket has an address").port();
                let listener = listen(port);
                let _ = bound.send(port);
                tokio::select! {
                    () = serve(serving, port, listener, watched) => {}
                    _ = stopped => {}
                }
            });
        });
        let port = port.recv().expect("the proxy listens");
        Self { shared, port, door, _stop: stop }
    }

    /// Where the proxy listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How all connections fare from now on, those that are there and those to come.
    pub fn set(&self, faults: Faults) {
        *lock(&self.shared.faults) = faults;
        self.each(|fate| fate.faults = faults);
    }

    /// All connections are well again; those to come are let in. What was cut stays so.
    pub fn heal(&self) {
        self.set(Faults::default());
        self.door.send_replace(Door::Open);
    }

    /// Connections to come are refused, as where nobody listens. Those that are there stay.
    pub fn refuse(&self) {
        self.door.send_replace(Door::Refusing);
    }

    /// Packets of connections to come are lost, as where the network is cut. Those that are there stay.
    pub fn swallow(&self) {
        self.door.send_replace(Door::Swallowing);
    }

    /// Ends all connections that are there.
    pub fn cut(&self, cut: Cut) {
        self.each(|fate| fate.cut = Some(cut));
    }

    /// Tells one side of all connections that are there that nothing more will come.
    pub fn half_close(&self, toward: Toward) {
        self.each(|fate| fate.half_close(toward));
    }

    /// The connections that are there, in the order of their coming.
    pub fn connections(&self) -> Vec<Carried> {
        let mut ids: Vec<u64> = lock(&self.shared.connections).keys().copied().collect();
        ids.sort_unstable();
        ids.into_iter().map(|id| Carried { shared: Arc::clone(&self.shared), id }).collect()
    }

    /// How many connections there have been.
    pub fn carried(&self) -> u64 {
        self.shared.carried.load(Ordering::Relaxed)
    }

    /// Does this to the answer of the next commit on any connection, once.
    ///
    /// # Panics
    /// Where the proxy was not made for PostgreSQL.
    pub fn on_next_commit(&self, fault: CommitFault) -> Sprung {
        assert!(self.shared.is_postgres, "only of PostgreSQL is it known where an answer ends");
        let (trap, sprung) = Trap::new(fault);
        *lock(&self.shared.trap) = Some(trap);
        sprung
    }

    fn each(&self, change: impl Fn(&mut Fate)) {
        for fate in lock(&self.shared.connections).values() {
            fate.send_modify(&change);
        }
    }
}

/// One connection through the proxy.
pub struct Carried {
    shared: Arc<Shared>,
    id: u64,
}

impl Carried {
    /// How this connection fares from now on.
    pub fn set(&self, faults: Faults) {
        self.change(|fate| fate.faults = faults);
    }

    /// Ends it.
    pub fn cut(&self, cut: Cut) {
        self.change(|fate| fate.cut = Some(cut));
    }

    /// Tells one of its sides that nothing more will come.
    pub fn half_close(&self, toward: Toward) {
        self.change(|fate| fate.half_close(toward));
    }

    /// It may have ended meanwhile, and then nothing happens to it.
    fn change(&self, change: impl Fn(&mut Fate)) {
        if let Some(fate) = lock(&self.shared.connections).get(&self.id) {
            fate.send_modify(change);
        }
    }
}

impl Fate {
    fn half_close(&mut self, toward: Toward) {
        match toward {
            Toward::Client => self.closed_toward_client = true,
            Toward::Server => self.closed_toward_server = true,
        }
    }
}

async fn serve(shared: Arc<Shared>, port: u16, mut listener: TcpListener, mut door: watch::Receiver<Door>) {
    loop {
        let told = tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    take_in(&shared, client);
                }
                continue;
            }
            closed = door.wait_for(|door| *door != Door::Open) => closed.map(|door| *door),
        };
        drop(listener);
        let Ok(told) = told else { return };
        let deaf = (told == Door::Swallowing).then(|| deaf(port));
        if door.wait_for(|door| *door == Door::Open).await.is_err() {
            return;
        }
        drop(deaf);
        listener = listen(port);
    }
}

fn take_in(shared: &Arc<Shared>, client: TcpStream) {
    let id = shared.carried.fetch_add(1, Ordering::Relaxed);
    let (fate, watched) = {
        // Under the lock of those that are there, so that no change of all misses this one.
        let mut connections = lock(&shared.connections);
        let faults = *lock(&shared.faults);
        let (fate, watched) = watch::channel(Fate { faults, ..Fate::default() });
        connections.insert(id, fate.clone());
        (fate, watched)
    };
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        carry::carry(&shared, client, watched).await;
        lock(&shared.connections).remove(&id);
        drop(fate);
    });
}

fn socket(port: u16) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket can be made");
    socket.set_reuseaddr(true).and_then(|()| socket.set_reuseport(true)).expect("an address may be shared");
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).expect("the port is free");
    socket
}

/// A listener that takes nobody in, and those who fill its queue: the system then drops what else comes, unanswered.
fn deaf(port: u16) -> (TcpListener, Vec<std::net::TcpStream>) {
    let listener = socket(port).listen(1).expect("the port can be listened to");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let queue = std::iter::from_fn(|| std::net::TcpStream::connect_timeout(&address, FULL).ok());
    let queue = queue.collect();
    (listener, queue)
}

fn listen(port: u16) -> TcpListener {
    socket(port).listen(BACKLOG).expect("the port can be listened to")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here panics between two changes that belong together.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
