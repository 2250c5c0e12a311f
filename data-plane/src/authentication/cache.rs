//! Keys that are remembered with their tenants and placements, so that a request asks `saas_platform` nothing.
//!
//! What is remembered is what a query said, not a decision: that is made at each request, and so is the comparison of the
//! secret. [`rowhouse_trust`] says how far an entry can be relied on.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dashmap::{DashMap, Entry};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use metrics::Counter;
use moka::sync::Cache;
use rowhouse_database::{Placement, PlatformPool, TenantPools};
use rowhouse_domain::KeyId;
use rowhouse_keys::{MasterKey, Pepper};
use rowhouse_problem::{Code, Error, Result};
use rowhouse_settings as settings;
use rowhouse_trust::{Hearing, Inquiry, Moment, Reading, Standing};

use super::known::{Facts, Known};
use super::outage::Outage;
use super::store;
use crate::rate_limits::{self, RateLimits};

/// How long a request waits for an entry to be confirmed before it makes do with what was so.
const CONFIRMATION: Duration = Duration::from_secs(1);
/// How often counters that nothing depends on are dropped.
const TIDY: Duration = Duration::from_secs(30);
/// A key's use is noted once in this time, as in `key_touch`.
const NOTED: Duration = Duration::from_secs(60);
/// How long after it was used that is noted.
const LATER: Duration = Duration::from_millis(250);

/// What this process remembers of keys. Cheap to clone.
#[derive(Clone)]
pub struct KeyCache(pub(super) Arc<Inner>);

/// One key.
pub(super) struct Remembered {
    pub(super) known: Known,
    pub(super) reading: Reading,
    pub(super) buckets: rate_limits::Held,
    noted_at: AtomicI64,
}

/// What a look-up came to: an entry, or that there is no such key.
type Found = std::result::Result<Option<Arc<Remembered>>, Arc<Error>>;
type Flight = Shared<BoxFuture<'static, Found>>;

pub(super) struct Inner {
    pub(super) settings: settings::Auth,
    pub(super) platform: PlatformPool,
    pub(super) tenants: TenantPools,
    pub(super) master: Arc<MasterKey>,
    pub(super) entries: Cache<Box<str>, Arc<Remembered>>,
    pub(super) unknown: Cache<Box<str>, ()>,
    pub(super) hearing: Hearing,
    pub(super) outage: Outage,
    /// Raised with every entry that is new or gone.
    pub(super) changes: AtomicU64,
    /// Held while the file of what is remembered is written.
    pub(super) saving: Mutex<()>,
    /// Look-ups that are under way. Whoever comes after a notice does not join one from before it.
    pub(super) flights: DashMap<Box<str>, Flight>,
    rate_limits: Arc<RateLimits>,
    pepper_version: i32,
    peppers: Mutex<HashMap<i32, Arc<Pepper>>>,
    outcomes: Outcomes,
}

struct Outcomes {
    hit: Counter,
    miss: Counter,
    negative: Counter,
    stale: Counter,
    refused_address: Counter,
    refused_crowd: Counter,
}

impl Outcomes {
    /// Why a key was not looked up: for what its own address has sent, or for what all have.
    fn refusal(&self, error: &Error) -> &Counter {
        if error.code() == Code::RateLimited { &self.refused_address } else { &self.refused_crowd }
    }
}

impl KeyCache {
    /// An empty one.
    pub fn new(
        settings: &settings::Settings,
        platform: PlatformPool,
        tenants: TenantPools,
        master: Arc<MasterKey>,
        rate_limits: Arc<RateLimits>,
    ) -> Self {
        let pepper_version = settings.keys.pepper_version;
        let settings = settings.auth.clone();
        let outcome = |outcome: &'static str| metrics::counter!("rowhouse_auth_cache_total", "outcome" => outcome);
        let unknown = Cache::builder().max_capacity(settings.cache_size).time_to_live(settings.negative_ttl).build();
        Self(Arc::new(Inner {
            entries: Cache::new(settings.cache_size),
            unknown,
            hearing: Hearing::default(),
            outage: Outage::default(),
            changes: AtomicU64::new(0),
            saving: Mutex::default(),
            flights: DashMap::new(),
            peppers: Mutex::default(),
            outcomes: Outcomes {
                hit: outcome("hit"),
                miss: outcome("miss"),
                negative: outcome("negative"),
                stale: outcome("stale"),
                refused_address: outcome("refused_address"),
                refused_crowd: outcome("refused_crowd"),
            },
            settings,
            rate_limits,
            pepper_version,
            platform,
            tenants,
            master,
        }))
    }

    /// The key of a prefix, or none where there is none. `may_ask` is asked before anybody is asked for one that is not known.
    ///
    /// # Errors
    /// What `may_ask` says; unavailable, where nobody knows and `saas_platform` does not answer.
    pub(super) async fn find(
        &self,
        prefix: &str,
        may_ask: impl FnOnce() -> Result<()>,
    ) -> Result<Option<Arc<Remembered>>> {
        let inner = &self.0;
        let now = Moment::now();
        let entry = inner.entries.get(prefix);
        let is_a_stranger = entry.is_none();
        if let Some(entry) = entry {
            match entry.reading.standing(now) {
                Standing::Right => {
                    inner.outcomes.hit.increment(1);
                    return Ok(Some(entry));
                }
                Standing::Unsure(last) if last >= now.before(inner.settings.stale_max) => {
                    return Ok(inner.confirm(prefix, entry, now).await);
                }
                Standing::Unsure(_) | Standing::Wrong => {}
            }
        } else if inner.unknown.contains_key(prefix) {
            inner.outcomes.negative.increment(1);
            return Ok(None);
        }
        // Of a key that was there a moment ago no address can ask too often, whatever others behind it try.
        if is_a_stranger {
            may_ask().inspect_err(|error| inner.outcomes.refusal(error).increment(1))?;
        }
        inner.outcomes.miss.increment(1);
        if !inner.outage.is_to_be_tried(now) {
            return Err(Error::unavailable("saas_platform did not answer a moment ago"));
        }
        inner.flight(prefix).await.map_err(|error| {
            if error.code() == Code::Internal { Error::internal(error) } else { Error::unavailable(error) }
        })
    }

    /// The pepper that new keys are hashed under.
    pub(super) fn current_pepper(&self) -> Arc<Pepper> {
        self.0.pepper(self.0.pepper_version)
    }

    /// Notes that a key was used, best effort and beside the request.
    pub(super) fn note_use(&self, key: KeyId) {
        if self.0.outage.lasts() {
            return;
        }
        let platform = self.0.platform.clone();
        tokio::spawn(async move {
            // By then the request is answered for which the key may have been looked up.
            tokio::time::sleep(LATER).await;
            let note = async { store::touch(&platform.get().await?, key).await };
            if let Err(error) = note.await {
                tracing::debug!(error = error.chain(), "a key's use could not be noted");
            }
        });
    }

    /// Drops what nothing depends on any more, now and then, for as long as the future is polled.
    pub async fn keep_tidy(self) {
        loop {
            tokio::time::sleep(TIDY).await;
            self.0.hearing.tidy();
        }
    }

    /// Whether some keys could be served if `saas_platform` were away.
    pub fn can_do_without_the_platform(&self) -> bool {
        let now = Moment::now();
        self.0.entries.iter().any(|(_, entry)| match entry.reading.standing(now) {
            Standing::Right => true,
            Standing::Unsure(last) => last >= now.before(self.0.settings.stale_max),
            Standing::Wrong => false,
        })
    }
}

impl Remembered {
    /// Whether the key's use is to be noted now. Only one caller a minute is told so.
    pub(super) fn is_to_be_noted(&self) -> bool {
        let (last, now) = (self.noted_at.load(Ordering::Relaxed), Moment::now());
        Moment(last).after(NOTED) <= now
            && self.noted_at.compare_exchange(last, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Inner {
    /// The entry read anew, or as it was where `saas_platform` does not answer soon.
    async fn confirm(self: &Arc<Self>, prefix: &str, entry: Arc<Remembered>, now: Moment) -> Option<Arc<Remembered>> {
        if self.outage.lasts() {
            if self.outage.is_to_be_tried(now) {
                // Nobody waits for it.
                drop(self.flight(prefix));
            }
        } else {
            match tokio::time::timeout(CONFIRMATION, self.flight(prefix)).await {
                Ok(Ok(found)) => {
                    self.outcomes.miss.increment(1);
                    return found;
                }
                Ok(Err(_)) => {}
                Err(_) => self.outage.begin(),
            }
        }
        self.outcomes.stale.increment(1);
        Some(entry)
    }

    /// The look-up of a prefix that is under way, begun now where there is none. It comes to its end also where all who
    /// wait for it have gone.
    fn flight(self: &Arc<Self>, prefix: &str) -> Flight {
        if let Some(flight) = self.flights.get(prefix) {
            return flight.clone();
        }
        let flight = match self.flights.entry(prefix.into()) {
            Entry::Occupied(other) => return other.get().clone(),
            Entry::Vacant(place) => {
                let landing = Landing { inner: Arc::clone(self), prefix: prefix.into() };
                place.insert(look_up(landing).boxed().shared()).clone()
            }
        };
        tokio::spawn(flight.clone());
        flight
    }

    /// Asks `saas_platform` for keys and remembers what it says, also that there are none.
    pub(super) async fn read(&self, prefixes: &[&str]) -> Result<Vec<Arc<Remembered>>> {
        let inquiry = self.hearing.inquiry(Moment::now());
        let answer = async { store::find(&self.platform.get().await?, prefixes).await };
        // A statement that can't be run, or a row that can't be read, is an answer.
        let rows = answer.await.inspect_err(|error| {
            if error.code() != Code::Internal {
                self.outage.begin();
            }
        })?;
        self.outage.end();
        let mut found = Vec::with_capacity(rows.len());
        for (facts, placement, is_noted) in rows {
            let entry = Arc::new(self.entry(facts, placement, &inquiry)?);
            if is_noted {
                entry.noted_at.store(inquiry.at().0, Ordering::Relaxed);
            }
            found.push(entry);
        }
        for prefix in prefixes {
            match found.iter().find(|entry| entry.known.facts.prefix == **prefix) {
                Some(entry) => self.remember(entry),
                None => {
                    self.forget(prefix);
                    self.unknown.insert((*prefix).into(), ());
                }
            }
        }
        // Only now, when notices can reach what was remembered: one heard between the question and here may have found nothing
        // yet. The requests that wait for this answer came before it: it ended the flight for others.
        if self.hearing.has_overtaken(&inquiry) {
            prefixes.iter().for_each(|prefix| self.forget(prefix));
        }
        Ok(found)
    }

    /// An entry of what was read.
    pub(super) fn entry(
        &self,
        facts: Facts,
        placement: Option<Arc<Placement>>,
        inquiry: &Inquiry,
    ) -> Result<Remembered> {
        let pepper = self.pepper(facts.pepper_version);
        let known = Known::new(facts, placement, pepper)?;
        let reading = self.hearing.reading(inquiry, known.concerned());
        let buckets = self.rate_limits.hold(known.facts.key, known.facts.tenant, known.allowance());
        Ok(Remembered { known, reading, buckets, noted_at: AtomicI64::new(i64::MIN) })
    }

    pub(super) fn remember(&self, entry: &Arc<Remembered>) {
        if !entry.known.tenant_is_served() {
            self.tenants.close(entry.known.facts.tenant);
        }
        self.entries.insert(entry.known.facts.prefix.as_str().into(), Arc::clone(entry));
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets a prefix, whatever is known of it.
    pub(super) fn forget(&self, prefix: &str) {
        self.unknown.invalidate(prefix);
        if self.entries.remove(prefix).is_some() {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The pepper of a version, derived once.
    pub(super) fn pepper(&self, version: i32) -> Arc<Pepper> {
        let mut peppers = self.peppers.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(peppers.entry(version).or_insert_with(|| Arc::new(self.master.pepper(version))))
    }
}

async fn look_up(landing: Landing) -> Found {
    let reading = AssertUnwindSafe(landing.inner.read(&[&landing.prefix])).catch_unwind().await;
    let reading = reading.unwrap_or_else(|_| Err(Error::internal("looking up a key crashed")));
    reading.map(|mut found| found.pop()).map_err(Arc::new)
}

/// Takes a flight off the list when it ends.
struct Landing {
    inner: Arc<Inner>,
    prefix: Box<str>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.inner.flights.remove(&self.prefix);
    }
}
