//! What a run does next, as far as numbers decide it.

use jiff::Timestamp;

use rowhouse_domain::{MigrationPhase as Phase, MigrationRunState as RunState};

/// What is known of a run under its lock.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub(super) state: RunState,
    pub(super) phase: Phase,
    pub(super) canaries: i64,
    pub(super) batch_size: i64,
    pub(super) pause_seconds: i64,
    pub(super) parallelism: i64,
    pub(super) max_failures: i64,
    pub(super) waits_until: Option<Timestamp>,
    pub(super) begun_in_batch: i64,
    /// Schemas that were begun as canaries, and are not gone.
    pub(super) begun_as_canaries: i64,
    pub(super) failed_as_canaries: i64,
    pub(super) running: i64,
    pub(super) failed: i64,
    /// The data plane fails a canary's requests more often than it may.
    pub(super) is_unhealthy: bool,
    /// A data plane is up that refuses tenants at the target.
    pub(super) is_not_served: bool,
    /// Whether a schema is left that may be begun.
    pub(super) has_more: bool,
    /// Whether one is being made, since before the last one was done, that may be at another version.
    pub(super) has_unborn: bool,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// So many schemas may be begun.
    Begin(i64),
    /// Nothing until something changes.
    Wait,
    /// Too many failed.
    Halt,
    /// A canary failed, or is not well: nothing follows it.
    HaltForCanary,
    /// A data plane came up that does not serve the target: nothing more is brought to it.
    HaltForReplica,
    /// The canaries are through: they are watched.
    Soak,
    /// They were watched for long enough: the others follow.
    Follow,
    /// A batch is through: there is a pause.
    Pause,
    /// The pause is over.
    GoOn,
    /// All are through.
    End,
}

/// Decides. Steps other than [`Step::Begin`] and [`Step::Wait`] change the run, and are followed by another decision.
pub(super) fn next(run: &Standing, now: Timestamp) -> Step {
    if run.state != RunState::Running {
        return Step::Wait;
    }
    if run.is_unhealthy {
        return Step::HaltForCanary;
    }
    if run.failed >= run.max_failures {
        return Step::Halt;
    }
    if run.is_not_served && run.has_more {
        return Step::HaltForReplica;
    }
    let is_over = run.waits_until.is_some_and(|end| end <= now);
    match run.phase {
        Phase::Soak if is_over => return Step::Follow,
        Phase::Soak => return Step::Wait,
        Phase::Canary | Phase::Fleet if is_over => return Step::GoOn,
        Phase::Canary | Phase::Fleet if run.waits_until.is_some() => return Step::Wait,
        Phase::Canary | Phase::Fleet => {}
    }
    let free = run.parallelism - run.running;
    let left = match run.phase {
        Phase::Canary => run.canaries - run.begun_as_canaries,
        // Without a pause between them, waiting for a batch's last would only cost time.
        Phase::Soak | Phase::Fleet if run.pause_seconds == 0 => free,
        Phase::Soak | Phase::Fleet => run.batch_size - run.begun_in_batch,
    };
    if left > 0 && run.has_more {
        return if free > 0 { Step::Begin(free.min(left)) } else { Step::Wait };
    }
    if run.running > 0 {
        return Step::Wait;
    }
    match (run.phase, run.has_more) {
        // That is what they go first for, however many may fail among the others.
        (Phase::Canary, true) if run.failed_as_canaries > 0 => Step::HaltForCanary,
        (Phase::Canary, true) => Step::Soak,
        (Phase::Fleet, true) => Step::Pause,
        // Who makes it may be of an earlier release, or have asked for the version before the run was there.
        (_, false) if run.has_unborn => Step::Wait,
        (_, false) | (Phase::Soak, true) => Step::End,
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn run() -> Standing {
        Standing {
            state: RunState::Running,
            phase: Phase::Fleet,
            canaries: 2,
            batch_size: 10,
            pause_seconds: 0,
            parallelism: 4,
            max_failures: 3,
            waits_until: None,
            begun_in_batch: 0,
            begun_as_canaries: 2,
            failed_as_canaries: 0,
            running: 0,
            failed: 0,
            is_unhealthy: false,
            is_not_served: false,
            has_more: true,
            has_unborn: false,
        }
    }

    #[test]
    fn as_many_are_begun_as_may_run_at_once() {
        let now = Timestamp::now();
        assert_eq!(next(&run(), now), Step::Begin(4));
        assert_eq!(next(&Standing { running: 3, ..run() }, now), Step::Begin(1));
        assert_eq!(next(&Standing { running: 4, ..run() }, now), Step::Wait);
        assert_eq!(next(&Standing { running: 4, has_more: false, ..run() }, now), Step::Wait);
        assert_eq!(next(&Standing { has_more: false, ..run() }, now), Step::End);
        assert_eq!(next(&Standing { has_more: false, has_unborn: true, ..run() }, now), Step::Wait);
    }

    #[test]
    fn nothing_is_begun_that_was_told_to_stop_or_has_failed_too_often() {
        let now = Timestamp::now();
        for state in [RunState::Paused, RunState::Halted, RunState::Cancelled, RunState::Done] {
            assert_eq!(next(&Standing { state, ..run() }, now), Step::Wait, "{state:?}");
        }
        assert_eq!(next(&Standing { failed: 2, ..run() }, now), Step::Begin(4));
        assert_eq!(next(&Standing { failed: 3, running: 1, ..run() }, now), Step::Halt);
        assert_eq!(next(&Standing { is_unhealthy: true, ..run() }, now), Step::HaltForCanary);
    }

    #[test]
    fn nothing_more_is_brought_to_a_version_that_a_replica_refuses() {
        let now = Timestamp::now();
        let refused = Standing { is_not_served: true, ..run() };
        assert_eq!(next(&refused, now), Step::HaltForReplica);
        assert_eq!(next(&Standing { running: 1, ..refused.clone() }, now), Step::HaltForReplica);
        assert_eq!(
            next(&Standing { has_more: false, ..refused }, now),
            Step::End,
            "nothing is left to be kept from it"
        );
    }

    #[test]
    fn canaries_go_first_and_are_watched() {
        let now = Timestamp::now();
        let canaries = Standing { phase: Phase::Canary, begun_as_canaries: 0, ..run() };
        assert_eq!(next(&canaries, now), Step::Begin(2));
        let begun = Standing { begun_as_canaries: 2, running: 1, ..canaries };
        assert_eq!(next(&begun, now), Step::Wait);
        let through = Standing { running: 0, ..begun };
        assert_eq!(next(&through, now), Step::Soak);
        let one_failed = Standing { failed: 1, failed_as_canaries: 1, ..through.clone() };
        assert_eq!(next(&one_failed, now), Step::HaltForCanary);
        assert_eq!(next(&Standing { begun_as_canaries: 1, ..one_failed.clone() }, now), Step::Begin(1), "all go first");
        assert_eq!(next(&Standing { has_more: false, ..one_failed }, now), Step::End, "nobody is left to protect");
        assert_eq!(next(&Standing { has_more: false, ..through.clone() }, now), Step::End, "they were all there is");
        let watched = Standing { phase: Phase::Soak, waits_until: Some(now + SignedDuration::from_secs(5)), ..through };
        assert_eq!(next(&watched, now), Step::Wait);
        assert_eq!(next(&watched, now + SignedDuration::from_secs(5)), Step::Follow);
    }

    #[test]
    fn there_is_a_pause_between_batches() {
        let now = Timestamp::now();
        let batch = Standing { pause_seconds: 30, begun_in_batch: 8, ..run() };
        assert_eq!(next(&batch, now), Step::Begin(2));
        let begun = Standing { begun_in_batch: 10, running: 2, ..batch };
        assert_eq!(next(&begun, now), Step::Wait);
        let through = Standing { running: 0, ..begun };
        assert_eq!(next(&through, now), Step::Pause);
        let paused = Standing { waits_until: Some(now + SignedDuration::from_secs(30)), ..through };
        assert_eq!(next(&paused, now), Step::Wait);
        assert_eq!(next(&paused, now + SignedDuration::from_secs(30)), Step::GoOn);
    }
}
