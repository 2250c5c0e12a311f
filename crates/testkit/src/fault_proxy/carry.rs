//! One connection through the proxy: what comes on one side goes out on the other, as its fate has it.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::commit::{Answers, Verdict};
use super::{Cut, Fate, Shared, Toward};

/// The largest piece that is passed on at once.
const PIECE: usize = 16 * 1024;
/// Pieces that may be under way in one direction.
const UNDER_WAY: usize = 256;

/// Carries a connection until it has ended.
pub(super) async fn carry(shared: &Shared, mut client: TcpStream, mut fate: watch::Receiver<Fate>) {
    let mut commanded = fate.clone();
    // Who is let in while it is silent meets nobody.
    let reached = tokio::select! {
        cut = ordered(&mut commanded) => Err(cut),
        server = connect(shared, &mut fate) => Ok(server),
    };
    let mut server = match reached {
        Ok(Some(server)) => server,
        Ok(None) => return,
        Err(cut) => return end(&client, cut),
    };
    // The kernel's own waiting for more to send would be another fault than the one that was asked for.
    let _ = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
    let cut = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let answers = shared.is_postgres.then(|| Answers::new(&shared.trap));
        let both = async {
            tokio::try_join!(
                pump(from_client, to_server, Toward::Server, fate.clone(), None),
                pump(from_server, to_client, Toward::Client, fate.clone(), answers),
            )
        };
        tokio::select! {
            cut = ordered(&mut commanded) => cut,
            carried = both => carried.err().unwrap_or(Cut::Finish),
        }
    };
    end(&client, cut);
    end(&server, cut);
}

async fn connect(shared: &Shared, fate: &mut watch::Receiver<Fate>) -> Option<TcpStream> {
    loud(fate).await;
    TcpStream::connect(shared.target).await.ok()
}

/// The streams are closed when they are dropped; before that it is settled how.
fn end(stream: &TcpStream, cut: Cut) {
    if cut == Cut::Reset {
        // The other side may have reset it already.
        let _ = stream.set_zero_linger();
    }
}

/// Waits until the connection is to be cut.
async fn ordered(fate: &mut watch::Receiver<Fate>) -> Cut {
    match fate.wait_for(|fate| fate.cut.is_some()).await {
        Ok(fate) => fate.cut.unwrap_or(Cut::Finish),
        Err(_) => Cut::Finish,
    }
}

/// Waits until the connection is not silent.
async fn loud(fate: &mut watch::Receiver<Fate>) {
    // The sender goes only after the connection.
    let _ = fate.wait_for(|fate| !fate.faults.silent).await;
}

/// Waits until one direction is to be closed.
async fn closed(toward: Toward, mut fate: watch::Receiver<Fate>) {
    let closed = |fate: &Fate| match toward {
        Toward::Client => fate.closed_toward_client,
        Toward::Server => fate.closed_toward_server,
    };
    if fate.wait_for(closed).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// One direction, until its source ends. An error is how the whole connection is to end where an answer was lost.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    toward: Toward,
    fate: watch::Receiver<Fate>,
    answers: Option<Answers<'_>>,
) -> Result<(), Cut> {
    let (queue, pieces) = mpsc::channel(UNDER_WAY);
    let timing = fate.clone();
    let read = async move {
        let mut buffer = vec![0; PIECE];
        let mut latest = Instant::now();
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let faults = timing.borrow().faults;
            latest = latest.max(Instant::now() + faults.latency + some_of(faults.jitter));
            // Where nothing goes out any more, what comes is taken nevertheless: its sender must not notice.
            let _ = queue.send((latest, buffer[..length].to_vec())).await;
        }
        Ok(())
    };
    let write = async {
        tokio::select! {
            delivered = deliver(pieces, &mut to, fate.clone(), answers) => delivered?,
            () = closed(toward, fate.clone()) => {}
        }
        // Whoever is not there any more needs no end of stream.
        let _ = to.shutdown().await;
        Ok(())
    };
    tokio::try_join!(read, write).map(|((), ())| ())
}

async fn deliver(
    mut pieces: mpsc::Receiver<(Instant, Vec<u8>)>,
    to: &mut WriteHalf<'_>,
    mut fate: watch::Receiver<Fate>,
    mut answers: Option<Answers<'_>>,
) -> Result<(), Cut> {
    while let Some((due, piece)) = pieces.recv().await {
        tokio::time::sleep_until(due).await;
        loud(&mut fate).await;
        let (piece, verdict) = match &mut answers {
            Some(answers) => answers.pass(piece),
            None => (piece, Verdict::GoOn),
        };
        if to.write_all(&piece).await.is_err() {
            return Ok(());
        }
        match verdict {
            Verdict::GoOn => {}
            Verdict::Cut(cut) => return Err(cut),
            Verdict::FallSilent => std::future::pending().await,
        }
        let bandwidth = fate.borrow().faults.bandwidth;
        if let Some(bandwidth) = bandwidth {
            let length = u32::try_from(piece.len()).unwrap_or(u32::MAX);
            tokio::time::sleep(Duration::from_secs(1) * length / bandwidth.max(1)).await;
        }
    }
    Ok(())
}

/// A random part of it.
fn some_of(jitter: Duration) -> Duration {
    // The standard library's keys are random, and this needs no more than that.
    let random = RandomState::new().hash_one(()) % 1000;
    jitter * u32::try_from(random).unwrap_or(0) / 1000
}
