//! Hears what has changed in `saas_platform`, and notices when something may have gone unheard.
//!
//! Each notice has a number; the numbers follow the order of commits without gaps. A heartbeat on the same connection asks
//! for the last number, so a notice that was lost shows, and so does a connection that is dead.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rowhouse_database::Listener;
use rowhouse_domain::TenantId;
use rowhouse_problem::{Error, Result};
use rowhouse_settings as settings;
use rowhouse_trust::Moment;
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::cache::{Inner, KeyCache};
use super::store;
use crate::state::PLATFORM_LOGIN;

/// The channel that the triggers of `saas_platform` speak on.
const CHANNEL: &str = "rowhouse_auth";
/// How often the last number is asked for.
const BEAT: Duration = Duration::from_secs(2);
/// How long a notice may be on its way after its number was seen.
const ON_ITS_WAY: Duration = Duration::from_millis(250);
/// Pauses between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Keys that are confirmed with one query.
const AT_ONCE: usize = 200;

/// What a trigger says.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Notice {
    number: i64,
    kind: String,
    id: String,
}

/// What is to be read again because of what was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Doubt {
    /// Nothing but what it was about.
    None,
    /// Everything: it was about many things at once, or about something that a later release knows.
    Everything,
    /// Everything, because a notice never came.
    Missed,
}

/// What is known of the numbers.
struct Count {
    last: i64,
    /// A number that was seen in the table, and whose notice has not come yet.
    ahead: Option<i64>,
}

impl KeyCache {
    /// Listens for as long as the future is polled, over any number of connections.
    pub async fn listen(self, platform: settings::Platform) {
        let mut pause = FIRST_PAUSE;
        loop {
            match Listener::open(&platform, PLATFORM_LOGIN, CHANNEL).await {
                Ok(listener) => {
                    let heard_since = Instant::now();
                    let Err(error) = self.0.follow(listener).await;
                    self.0.hearing.end();
                    tracing::warn!(error = error.chain(), "notices of saas_platform are not heard for a moment");
                    if heard_since.elapsed() > LONGEST_PAUSE {
                        pause = FIRST_PAUSE;
                    }
                }
                Err(error) => tracing::debug!(error = error.chain(), "notices of saas_platform can't be heard yet"),
            }
            show_connected(false);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

impl Inner {
    async fn follow(self: &Arc<Self>, mut listener: Listener) -> Result<std::convert::Infallible> {
        let asked = Moment::now();
        let mut count = Count { last: store::sequence(&listener).await?, ahead: None };
        self.outage.end();
        let mut era = self.hearing.begin(asked);
        let mut confirming = self.confirm_all();
        show_connected(true);
        let mut next_beat = Instant::now() + BEAT;
        loop {
            let doubt = tokio::select! {
                biased;
                said = listener.next() => {
                    let said = said.ok_or_else(|| Error::unavailable("the connection has ended"))?;
                    self.hear(&said, &mut count)
                }
                () = tokio::time::sleep_until(next_beat) => {
                    let asked = Moment::now();
                    let number = store::sequence(&listener).await?;
                    // What was said before the answer has come before it.
                    let mut doubt = Doubt::None;
                    while let Some(said) = listener.waiting() {
                        doubt = doubt.max(self.hear(&said, &mut count));
                    }
                    if count.compare(number) {
                        doubt = Doubt::Missed;
                    }
                    if count.ahead.is_none() && doubt == Doubt::None {
                        era.beat(asked);
                    }
                    show_connected(true);
                    next_beat = Instant::now() + if count.ahead.is_some() { ON_ITS_WAY } else { BEAT };
                    doubt
                }
            };
            if doubt == Doubt::Missed {
                metrics::counter!("rowhouse_auth_sequence_gaps_total").increment(1);
                tracing::warn!(number = count.last, "a notice of saas_platform was missed: all keys are read again");
            }
            if doubt != Doubt::None {
                let asked = Moment::now();
                self.hearing.end();
                era = self.hearing.begin(asked);
                confirming.abort();
                confirming = self.confirm_all();
            }
        }
    }

    /// Takes in what was said.
    fn hear(&self, said: &str, count: &mut Count) -> Doubt {
        let Ok(notice) = serde_json::from_str::<Notice>(said) else {
            tracing::error!("a notice of saas_platform can't be read");
            return Doubt::Everything;
        };
        // Before anything is forgotten: whoever reads at this moment looks at it afterwards.
        self.hearing.hear();
        self.flights.clear();
        let missed = count.hear(notice.number);
        match (notice.kind.as_str(), notice.id.parse::<Uuid>()) {
            ("key", _) => self.forget(&notice.id),
            ("tenant", Ok(id)) => {
                self.hearing.mark(id);
                self.tenants.close(TenantId::from_uuid(id));
            }
            // Connections are as good as before: whether requests may use them is read again.
            ("organization" | "cluster" | "group" | "rate_limit" | "schema_version", Ok(id)) => self.hearing.mark(id),
            _ => return if missed { Doubt::Missed } else { Doubt::Everything },
        }
        self.changes.fetch_add(1, Ordering::Relaxed);
        if missed { Doubt::Missed } else { Doubt::None }
    }

    /// Reads again, in the background, what nobody is sure of any more.
    fn confirm_all(self: &Arc<Self>) -> AbortOnDropHandle<()> {
        let inner = Arc::clone(self);
        AbortOnDropHandle::new(tokio::spawn(async move {
            let unsure: Vec<Arc<Box<str>>> = inner
                .entries
                .iter()
                .filter(|(_, entry)| !entry.reading.is_followed())
                .map(|(prefix, _)| prefix)
                .collect();
            for prefixes in unsure.chunks(AT_ONCE) {
                let prefixes: Vec<&str> = prefixes.iter().map(|prefix| &***prefix).collect();
                if let Err(error) = inner.read(&prefixes).await {
                    tracing::debug!(error = error.chain(), "keys are confirmed when they are used");
                    return;
                }
            }
        }))
    }
}

/// By its name each time: a gauge that is not set for a while is dropped, and a handle to it would set it where nobody sees it.
fn show_connected(is_connected: bool) {
    metrics::gauge!("rowhouse_auth_listener_connected").set(if is_connected { 1.0 } else { 0.0 });
}

impl Count {
    /// A notice came. Says whether one before it is missing.
    fn hear(&mut self, number: i64) -> bool {
        // What was committed before the first question is known of, and comes all the same.
        let missed = number > self.last + 1;
        self.last = self.last.max(number);
        if self.ahead.is_some_and(|ahead| ahead <= self.last) {
            self.ahead = None;
        }
        missed
    }

    /// The table has this number. Says whether a notice is missing.
    fn compare(&mut self, number: i64) -> bool {
        if number == self.last {
            self.ahead = None;
            return false;
        }
        // Its notice may be on its way still, but not for long. A smaller number is another database's.
        if number > self.last && self.ahead.is_none() {
            self.ahead = Some(number);
            return false;
        }
        self.last = number;
        self.ahead = None;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_number_is_noticed_with_the_next_notice_or_with_the_next_heartbeat_but_one() {
        let mut count = Count { last: 5, ahead: None };
        assert!(!count.hear(5) && !count.hear(6));
        assert!(count.hear(8));
        assert!(!count.hear(9));
        assert!(!count.compare(9));
        // Seen in the table first, and heard a moment later.
        assert!(!count.compare(10));
        assert!(count.ahead.is_some());
        assert!(!count.hear(10));
        assert!(count.ahead.is_none());
        // Never heard.
        assert!(!count.compare(11));
        assert!(count.compare(11));
        assert!(!count.compare(11));
        // A database that was put back to an earlier state.
        assert!(count.compare(3));
    }

    #[test]
    fn what_the_triggers_say_can_be_read() {
        let said = r#"{"number" : 7, "kind" : "key", "id" : "acmeABC"}"#;
        let notice = Notice { number: 7, kind: "key".to_owned(), id: "acmeABC".to_owned() };
        assert_eq!(serde_json::from_str::<Notice>(said).unwrap(), notice);
    }
}
