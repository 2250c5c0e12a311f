//! The loop: sends what is due, waits for answers or for the next due time, counts.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use super::choice::Chooser;
use super::connection::{Connection, InFlight};
use super::outcome::Outcome;
use super::{Pace, Plan};

/// How long after the end answers are waited for.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often the loop looks whether it should stop.
const LOOK: Duration = Duration::from_millis(100);
/// Connections that may break before the run is given up: a server that is gone would else be asked for ever.
const MOST_BROKEN: usize = 20_000;

pub(super) fn run(plan: &Plan, stop: &AtomicBool) -> Result<Outcome> {
    let mut engine = Engine::new(plan)?;
    engine.work(stop)?;
    Ok(engine.outcome)
}

struct Engine<'a> {
    plan: &'a Plan,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    /// The one that has idled longest is used next, so that all of the server's workers have theirs.
    idle: VecDeque<usize>,
    chooser: Chooser,
    outcome: Outcome,
    broken: usize,
    /// What is measured: requests planned from here to there.
    from: Instant,
    to: Instant,
    begun: Instant,
    sent: u64,
}

impl<'a> Engine<'a> {
    fn new(plan: &'a Plan) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::new();
        for number in 0..plan.connections {
            let connection = Connection::open(plan.addresses[number % plan.addresses.len()])?;
            watch(&epoll, &connection, number)?;
            connections.push(connection);
        }
        let begun = Instant::now();
        let from = begun + plan.warm_up;
        Ok(Self {
            plan,
            epoll,
            idle: (0..connections.len()).collect(),
            connections,
            chooser: Chooser::new(plan.choice, plan.targets.len(), plan.seed)?,
            outcome: Outcome::new(plan.groups.iter().max().map_or(0, |most| most + 1))?,
            broken: 0,
            from,
            to: from + plan.duration,
            begun,
            sent: 0,
        })
    }

    fn work(&mut self, stop: &AtomicBool) -> Result<()> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(self.connections.len());
        loop {
            let now = Instant::now();
            if stop.load(Ordering::Relaxed) {
                self.to = self.to.min(now);
            }
            while let Some(planned) = self.due(now)
                && let Some(number) = self.idle.pop_front()
            {
                self.send(number, planned)?;
            }
            let is_over = now >= self.to && self.due(now).is_none();
            if is_over && self.idle.len() == self.connections.len() {
                break;
            }
            if now > self.to + PATIENCE {
                self.give_up(now);
                break;
            }
            let timeout = Timespec::try_from(self.pause(now))?;
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("waiting for answers"),
            }
            for event in events.drain(..) {
                self.receive(usize::try_from(event.data.u64())?)?;
            }
        }
        self.outcome.seconds = self.to.saturating_duration_since(self.from).as_secs_f64();
        Ok(())
    }

    /// The planned time of the next request, where it has come.
    fn due(&self, now: Instant) -> Option<Instant> {
        let planned = self.planned(now);
        (planned <= now && planned < self.to).then_some(planned)
    }

    fn planned(&self, now: Instant) -> Instant {
        match self.plan.pace {
            #[expect(clippy::cast_precision_loss, reason = "millions at most")]
            Pace::Open(rate) => self.begun + Duration::from_secs_f64(self.sent as f64 / rate),
            Pace::Closed => now,
        }
    }

    fn pause(&self, now: Instant) -> Duration {
        if self.idle.is_empty() || now >= self.to {
            return LOOK;
        }
        self.planned(now).saturating_duration_since(now).min(LOOK)
    }

    fn send(&mut self, number: usize, planned: Instant) -> Result<()> {
        let Some(target) = self.chooser.next() else {
            // Nothing is left to ask: the run ends with the answers.
            self.to = self.to.min(planned);
            self.idle.push_back(number);
            return Ok(());
        };
        self.sent += 1;
        let request = &self.plan.targets[target].request;
        let sent = self.connections[number].send(request, InFlight { planned, target });
        sent.or_else(|error| self.replace(number, &error))
    }

    fn receive(&mut self, number: usize) -> Result<()> {
        let connection = &mut self.connections[number];
        let Some(InFlight { planned, target }) = connection.in_flight else {
            // Nothing was asked: the server closes an idle connection.
            return self.replace(number, &anyhow::anyhow!("an idle connection was closed"));
        };
        let answer = match connection.receive(&self.plan.targets[target].marker) {
            Ok(Some(answer)) => answer,
            Ok(None) => return Ok(()),
            Err(error) => return self.replace(number, &error),
        };
        connection.in_flight = None;
        let now = Instant::now();
        // With a closed loop the answer's time decides, else the last ones would add to the rate.
        let is_measured = match self.plan.pace {
            Pace::Open(_) => self.from <= planned && planned < self.to,
            Pace::Closed => self.from <= now && now < self.to,
        };
        if is_measured {
            let is_right = answer.status != 200 || answer.is_marked;
            let latency = now.saturating_duration_since(planned);
            self.outcome.answered(answer.status, is_right, self.plan.groups.get(target).copied(), latency);
        }
        if answer.is_last {
            self.reopen(number)?;
        }
        self.idle.push_back(number);
        Ok(())
    }

    /// Another connection in the place of one that broke, with what was asked on it lost.
    fn replace(&mut self, number: usize, why: &anyhow::Error) -> Result<()> {
        self.broken += 1;
        if self.broken > MOST_BROKEN {
            bail!("{MOST_BROKEN} connections broke, the last one because of: {why:#}");
        }
        let in_flight = self.connections[number].in_flight;
        if in_flight.is_some_and(|request| request.planned >= self.from) {
            self.outcome.lost(1, &format_args!("{why:#}"));
        }
        self.reopen(number)?;
        if in_flight.is_some() {
            self.idle.push_back(number);
        }
        Ok(())
    }

    fn reopen(&mut self, number: usize) -> Result<()> {
        let connection = Connection::open(self.plan.addresses[number % self.plan.addresses.len()])?;
        watch(&self.epoll, &connection, number)?;
        // The kernel forgets the old one with its last descriptor.
        self.connections[number] = connection;
        Ok(())
    }

    /// Counts as lost what was not answered, and what is planned and was not even sent.
    fn give_up(&mut self, now: Instant) {
        let unanswered = self.connections.iter().filter(|connection| connection.in_flight.is_some()).count();
        let mut lost = u64::try_from(unanswered).unwrap_or(u64::MAX);
        while self.due(now).is_some() {
            self.sent += 1;
            lost += 1;
        }
        self.outcome.lost(lost, &format_args!("not answered {} s after the end", PATIENCE.as_secs()));
    }
}

fn watch(epoll: &OwnedFd, connection: &Connection, number: usize) -> Result<()> {
    let data = epoll::EventData::new_u64(u64::try_from(number)?);
    Ok(epoll::add(epoll, &connection.stream, data, epoll::EventFlags::IN)?)
}
