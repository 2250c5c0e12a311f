//! Every order that the steps of a reader and of the listener can take, and every stale value that the memory model lets them see:
//! what is kept in the end is never taken for right where it is not.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --package rowhouse-trust --test loom --release`
#![cfg(loom)]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use rowhouse_trust::{Hearing, Inquiry, Moment, Reading, Standing};
use uuid::Uuid;

const NOW: Moment = Moment(0);
const TENANT: Uuid = Uuid::from_u128(1);

/// The other database, and a cache with one place.
struct World {
    hearing: Hearing,
    truth: AtomicU64,
    kept: Mutex<Option<(u64, Reading)>>,
}

impl World {
    fn new() -> Arc<Self> {
        let world = Self { hearing: Hearing::default(), truth: AtomicU64::new(0), kept: Mutex::new(None) };
        world.hearing.begin(NOW);
        Arc::new(world)
    }

    /// As the data plane reads a key.
    fn read(&self) {
        let inquiry: Inquiry = self.hearing.inquiry(NOW);
        let said = self.truth.load(Ordering::Acquire);
        let reading = self.hearing.reading(&inquiry, [Some(TENANT), None, None, None]);
        *self.kept.lock().unwrap() = Some((said, reading));
        if self.hearing.has_overtaken(&inquiry) {
            *self.kept.lock().unwrap() = None;
        }
    }

    fn change(&self) {
        self.truth.store(1, Ordering::Release);
    }

    /// What is kept, and taken for right, is so.
    fn check(&self) {
        if let Some((said, reading)) = &*self.kept.lock().unwrap()
            && reading.standing(NOW) == Standing::Right
        {
            assert_eq!(*said, self.truth.load(Ordering::Acquire), "an old answer is taken for right");
        }
    }
}

/// Whatever both threads do, in any order.
fn mixed(reader: fn(&World), listener: fn(&World)) {
    loom::model(move || {
        let world = World::new();
        let other = Arc::clone(&world);
        let listening = thread::spawn(move || listener(&other));
        reader(&world);
        listening.join().unwrap();
        world.check();
    });
}

#[test]
fn a_change_that_is_heard_while_it_is_read_leaves_nothing_wrong() {
    mixed(World::read, |world| {
        world.change();
        world.hearing.hear();
        world.hearing.mark(TENANT);
    });
}

#[test]
fn a_change_that_makes_readers_forget_leaves_nothing_wrong() {
    mixed(World::read, |world| {
        world.change();
        world.hearing.hear();
        *world.kept.lock().unwrap() = None;
    });
}

#[test]
fn a_change_that_was_missed_leaves_nothing_that_counts_as_right() {
    mixed(World::read, |world| {
        world.change();
        // Its number shows later that its notice never came.
        world.hearing.end();
        world.hearing.begin(NOW);
    });
}

#[test]
fn tidying_loses_no_mark() {
    mixed(
        |world| {
            world.read();
            world.hearing.tidy();
        },
        |world| {
            world.hearing.tidy();
            world.change();
            world.hearing.hear();
            world.hearing.mark(TENANT);
        },
    );
}
