//! The callers of one tenant that wait.

use std::collections::VecDeque;
use std::mem;

use super::Ticket;

/// Callers that are looked at for one on the connection's own thread.
const NEAR: usize = 16;
/// How often in a row the one that came first is passed over for such a one.
const PASSED_OVER: usize = 8;

struct Caller<W, T> {
    ticket: Ticket,
    thread: T,
    to: W,
}

/// In the order in which they came.
pub(super) struct Callers<W, T> {
    waiting: VecDeque<Caller<W, T>>,
    /// How often the first has been passed over.
    passed: usize,
}

impl<W, T: PartialEq> Callers<W, T> {
    pub(super) fn new() -> Self {
        Self { waiting: VecDeque::new(), passed: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A caller that waits from now on. Its ticket is higher than all before.
    pub(super) fn join(&mut self, ticket: Ticket, thread: T, to: W) {
        self.waiting.push_back(Caller { ticket, thread, to });
    }

    /// One that no longer waits.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        if let Ok(place) = self.waiting.binary_search_by_key(&ticket, |caller| caller.ticket) {
            self.take(place);
        }
    }

    /// Whose turn it is with a connection that this thread drives: the first of those on it, for a few times, else the first of all.
    pub(super) fn next(&mut self, driver: Option<&T>) -> Option<W> {
        let near = self.waiting.iter().take(NEAR).position(|caller| Some(&caller.thread) == driver);
        let place = near.filter(|_| self.passed < PASSED_OVER).unwrap_or(0);
        self.passed += 1;
        self.take(place)
    }

    /// All of them, who wait no longer.
    pub(super) fn dismiss(&mut self) -> impl Iterator<Item = W> {
        mem::take(&mut self.waiting).into_iter().map(|caller| caller.to)
    }

    fn take(&mut self, place: usize) -> Option<W> {
        if place == 0 {
            self.passed = 0;
        }
        self.waiting.remove(place).map(|caller| caller.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_on_the_connections_own_thread_come_first_but_nobody_is_passed_over_for_long() {
        let mut callers = Callers::new();
        for number in 0..30 {
            let thread = if number % 15 == 0 { "other" } else { "own" };
            callers.join(Ticket(number), thread, number);
        }
        let served: Vec<u64> = std::iter::from_fn(|| callers.next(Some(&"own"))).collect();
        let expected = (1..=8).chain([0]).chain(9..=14).chain(16..=23).chain([15]).chain(24..30);
        assert_eq!(served, expected.collect::<Vec<_>>());
    }

    #[test]
    fn where_no_thread_is_known_they_come_in_their_order_and_those_that_left_do_not() {
        let mut callers = Callers::new();
        for number in 0..5 {
            callers.join(Ticket(number), number % 2, number);
        }
        callers.leave(Ticket(3));
        callers.leave(Ticket(7));
        assert_eq!(callers.next(None), Some(0));
        assert_eq!(callers.next(Some(&7)), Some(1));
        assert_eq!(callers.dismiss().collect::<Vec<_>>(), [2, 4]);
        assert!(callers.is_empty() && callers.next(None).is_none());
    }
}
