//! Clients that all do the same at once, each on a thread and a connection of its own.

use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};
use hdrhistogram::Histogram;

use super::wire::{Client, Server};

/// What they found.
pub(super) struct Times {
    /// Seconds from the first one's beginning to the last one's end.
    seconds: f64,
    /// Microseconds of each time.
    each: Histogram<u64>,
}

/// Rounds of fewer times have no percentiles of their own.
const FEW: u64 = 10;

impl Times {
    /// All rounds as one, where each has only a few times.
    pub(super) fn of_few(rounds: &[Self]) -> Option<Self> {
        let (first, others) = rounds.split_first().filter(|(first, _)| first.each.len() < FEW)?;
        let mut all = Self { seconds: first.seconds, each: first.each.clone() };
        for other in others {
            all.seconds += other.seconds;
            all.each += &other.each;
        }
        Some(all)
    }

    /// Times a second.
    pub(super) fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "thousands at most")]
        let times = self.each.len() as f64;
        times / self.seconds
    }

    /// Milliseconds that the share of times, of a hundred, took at most.
    pub(super) fn percentile(&self, share: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "minutes in microseconds")]
        let microseconds = self.each.value_at_percentile(share) as f64;
        microseconds / 1e3
    }
}

/// Has as many clients as there are servers in the list do `work` so often. It gets the number of the client and of the time.
pub(super) fn all(
    servers: &[Server],
    times: usize,
    work: impl Fn(&mut Client, usize, usize) -> Result<()> + Sync,
) -> Result<Times> {
    let mut clients = servers.iter().map(Server::connect).collect::<Result<Vec<_>>>()?;
    let begun = Instant::now();
    let results = thread::scope(|scope| {
        let work = &work;
        let run = |(number, client): (usize, &'_ mut Client)| -> Result<Vec<u64>> {
            let mut took = Vec::with_capacity(times);
            for time in 0..times {
                let begun = Instant::now();
                work(client, number, time)?;
                took.push(u64::try_from(begun.elapsed().as_micros())?);
            }
            Ok(took)
        };
        let threads: Vec<_> = clients.iter_mut().enumerate().map(|client| scope.spawn(move || run(client))).collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a client panicked"))?).collect::<Vec<_>>()
    });
    let seconds = begun.elapsed().as_secs_f64();
    let mut each = Histogram::new(3)?;
    for result in results {
        for took in result? {
            each.record(took.max(1))?;
        }
    }
    Ok(Times { seconds, each })
}
