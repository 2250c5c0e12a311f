//! PostgreSQL's answers, message by message, as far as it takes to lose that of a commit.

use std::sync::Mutex;

use tokio::sync::oneshot;

use super::{Cut, lock};

/// What happens to the answer of a commit. The server has committed each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFault {
    /// `CommandComplete` arrives, and the connection is reset before `ReadyForQuery`.
    CutBeforeReady,
    /// Nothing of it arrives, and the connection is reset.
    LoseAndCut,
    /// Nothing of it arrives, and nothing else ever does.
    LoseAndFallSilent,
}

/// Armed until the next commit.
pub(super) struct Trap {
    fault: CommitFault,
    sprung: oneshot::Sender<()>,
}

/// Resolves when the answer was lost.
pub struct Sprung(oneshot::Receiver<()>);

impl Sprung {
    /// Waits until a commit's answer was lost.
    ///
    /// # Panics
    /// Where another fault took this one's place before that.
    pub async fn wait(self) {
        self.0.await.expect("no other fault is armed before this one is met");
    }
}

impl Trap {
    pub(super) fn new(fault: CommitFault) -> (Self, Sprung) {
        let (sprung, seen) = oneshot::channel();
        (Self { fault, sprung }, Sprung(seen))
    }
}

/// How a connection goes on after a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    GoOn,
    Cut(Cut),
    FallSilent,
}

/// What a server says on one connection: each message is a letter, then its length, which counts itself, then the rest.
pub(super) struct Answers<'a> {
    trap: &'a Mutex<Option<Trap>>,
    /// The beginning of a message whose rest has not come yet.
    begun: Vec<u8>,
}

impl<'a> Answers<'a> {
    pub(super) fn new(trap: &'a Mutex<Option<Trap>>) -> Self {
        Self { trap, begun: Vec::new() }
    }

    /// What of it arrives, in whole messages, and how it goes on after that.
    pub(super) fn pass(&mut self, piece: Vec<u8>) -> (Vec<u8>, Verdict) {
        self.begun.extend_from_slice(&piece);
        let mut whole = 0;
        while let Some(length) = message_length(&self.begun[whole..]) {
            if &self.begun[whole..whole + length] == b"C\0\0\0\x0bCOMMIT\0"
                && let Some(Trap { fault, sprung }) = lock(self.trap).take()
            {
                // Nobody need wait for it.
                let _ = sprung.send(());
                let (kept, verdict) = match fault {
                    CommitFault::CutBeforeReady => (whole + length, Verdict::Cut(Cut::Reset)),
                    CommitFault::LoseAndCut => (whole, Verdict::Cut(Cut::Reset)),
                    CommitFault::LoseAndFallSilent => (whole, Verdict::FallSilent),
                };
                return (self.begun.drain(..kept).collect(), verdict);
            }
            whole += length;
        }
        (self.begun.drain(..whole).collect(), Verdict::GoOn)
    }
}

/// The length of the message at the front, with its letter, where all of it is there.
fn message_length(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(1..5)?.try_into().ok().map(u32::from_be_bytes)?;
    let length = usize::try_from(length).ok()? + 1;
    (bytes.len() >= length).then_some(length)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::{Answers, CommitFault, Cut, Trap, Verdict};

    const ROW: &[u8] = b"D\0\0\0\x08abcd";
    const COMMIT: &[u8] = b"C\0\0\0\x0bCOMMIT\0";
    const READY: &[u8] = b"Z\0\0\0\x05I";

    fn through(fault: Option<CommitFault>, pieces: &[&[u8]]) -> (Vec<u8>, Verdict) {
        let trap = Mutex::new(fault.map(|fault| Trap::new(fault).0));
        let mut answers = Answers::new(&trap);
        let mut arrived = Vec::new();
        for piece in pieces {
            let (some, verdict) = answers.pass(piece.to_vec());
            arrived.extend(some);
            if verdict != Verdict::GoOn {
                return (arrived, verdict);
            }
        }
        (arrived, Verdict::GoOn)
    }

    #[test]
    fn everything_arrives_however_it_is_cut_into_pieces() {
        let all = [ROW, COMMIT, READY].concat();
        for at in 0..all.len() {
            let (one, other) = all.split_at(at);
            assert_eq!(through(None, &[one, other]), (all.clone(), Verdict::GoOn));
        }
    }

    #[test]
    fn the_answer_of_a_commit_is_lost_however_it_is_cut_into_pieces() {
        let all = [ROW, COMMIT, READY].concat();
        let told = [ROW, COMMIT].concat();
        for at in 0..all.len() {
            let (one, other) = all.split_at(at);
            let lost = |fault| through(Some(fault), &[one, other]);
            assert_eq!(lost(CommitFault::CutBeforeReady), (told.clone(), Verdict::Cut(Cut::Reset)));
            assert_eq!(lost(CommitFault::LoseAndCut), (ROW.to_vec(), Verdict::Cut(Cut::Reset)));
            assert_eq!(lost(CommitFault::LoseAndFallSilent), (ROW.to_vec(), Verdict::FallSilent));
        }
    }
}
