//! The callers of one tenant that wait.

use std::collections::VecDeque;
use std::mem;

use super::Ticket;

/// By how many callers who came later anybody is overtaken at most: what that costs one is little, also where all connections are
/// driven by another thread.
const OVERTAKEN: u64 = 16;

struct Caller<W, T> {
    ticket: Ticket,
    /// Counts those that had to wait.
    number: u64,
    thread: T,
    to: W,
}

/// In the order in which they came.
pub(super) struct Callers<W, T> {
    waiting: VecDeque<Caller<W, T>>,
    joined: u64,
}

impl<W, T: PartialEq> Callers<W, T> {
    pub(super) fn new() -> Self {
        Self { waiting: VecDeque::new(), joined: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A caller that waits from now on. Its ticket is higher than all before.
    pub(super) fn join(&mut self, ticket: Ticket, thread: T, to: W) {
        self.joined += 1;
        self.waiting.push_back(Caller { ticket, number: self.joined, thread, to });
    }

    /// One that no longer waits.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        if let Ok(place) = self.waiting.binary_search_by_key(&ticket, |caller| caller.ticket) {
            self.waiting.remove(place);
        }
    }

    /// Whose turn it is with a connection that this thread drives: the first of those on it, unless
    /// that came long after the first of all.
    pub(super) fn next(&mut self, driver: Option<&T>) -> Option<W> {
        let last = self.waiting.front()?.number + OVERTAKEN;
        let mut near = self.waiting.iter().take_while(|caller| caller.number <= last);
        let own = near.position(|caller| Some(&caller.thread) == driver);
        self.waiting.remove(own.unwrap_or(0)).map(|caller| caller.to)
    }

    /// All of them, who wait no longer.
    pub(super) fn dismiss(&mut self) -> impl Iterator<Item = W> {
        mem::take(&mut self.waiting).into_iter().map(|caller| caller.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_on_the_connections_own_thread_come_first_but_nobody_is_overtaken_by_many() {
        let mut callers = Callers::new();
        for number in 0..60 {
            let thread = if [0, 3, 40].contains(&number) { "other" } else { "own" };
            callers.join(Ticket(number), thread, number);
        }
        let served: Vec<u64> = std::iter::from_fn(|| callers.next(Some(&"own"))).collect();
        let first_two = (1..3).chain(4..=16).chain([0]).chain(17..=19).chain([3]);
        assert_eq!(served, first_two.chain(20..40).chain(41..=56).chain([40]).chain(57..60).collect::<Vec<_>>());
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
