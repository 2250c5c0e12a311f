//! Where connections are driven.
//!
//! Most queries are a request's, and one whose connection is driven by the request's own thread wakes no other. So the threads that
//! serve requests drive all connections, and have as many of a busy tenant's each: those that are opened one after the other would
//! else be driven by the thread that had the first of them opened.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use tokio::runtime::{Handle, RuntimeFlavor};

/// The runtimes of one thread each that serve requests, in the order of their turns.
#[derive(Debug, Default)]
pub(super) struct Drivers(Mutex<Vec<(ThreadId, Handle)>>);

/// A runtime that drives connections for as long as this is kept.
#[derive(Debug)]
#[must_use]
pub struct Driving {
    drivers: Arc<Drivers>,
    thread: ThreadId,
}

impl Drivers {
    /// Adds the runtime that this is called in; one of several threads has nothing to offer.
    pub(super) fn join(self: &Arc<Self>) -> Driving {
        self.lock().extend(of_one_thread());
        Driving { drivers: Arc::clone(self), thread: thread::current().id() }
    }

    /// The runtime that is to drive the next connection. None where nobody serves requests.
    pub(super) fn next(&self) -> Option<Handle> {
        let mut drivers = self.lock();
        let most = drivers.len().min(1);
        drivers.rotate_left(most);
        drivers.last().map(|(_, runtime)| runtime.clone())
    }

    /// The one that this is called in, whose turn that is. None where it does not serve requests.
    pub(super) fn this(&self) -> Option<Handle> {
        let (current, runtime) = of_one_thread()?;
        let mut drivers = self.lock();
        let place = drivers.iter().position(|(thread, _)| *thread == current)?;
        let last = drivers.remove(place);
        drivers.push(last);
        Some(runtime)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(ThreadId, Handle)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Driving {
    fn drop(&mut self) {
        self.drivers.lock().retain(|(thread, _)| *thread != self.thread);
    }
}

/// The current thread with its runtime, where that has no other: the workers of the HTTP server are such. Elsewhere a task runs
/// now here, now there.
pub(super) fn of_one_thread() -> Option<(ThreadId, Handle)> {
    let runtime = Handle::try_current().ok()?;
    (runtime.runtime_flavor() == RuntimeFlavor::CurrentThread).then(|| (thread::current().id(), runtime))
}
