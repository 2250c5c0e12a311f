//! Clients that keep asking for their tenants' data, look closely at every answer, and write down what was promised them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::answers::Seen;
use crate::estate::Tenant;
use crate::ledger::Ledger;

/// Complaints that are kept; more of them say no more.
const COMPLAINTS: usize = 20;

/// Numbers that look random and are the same each time.
pub(crate) struct Dice(u64);

impl Dice {
    /// Begins.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One of `sides` numbers, from nought.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

/// What came of a load.
#[derive(Default)]
pub(crate) struct Tally {
    /// Answers by status.
    pub(crate) answers: BTreeMap<u16, u64>,
    /// Requests that had no answer.
    pub(crate) unanswered: u64,
    /// Requests that the client gave up on purpose.
    pub(crate) abandoned: u64,
    /// What was wrong.
    pub(crate) complaints: Vec<String>,
    /// How long the slowest answer to a question took, and what it was.
    pub(crate) slowest: (Duration, String),
    /// The same for contents, which have no deadline as a whole.
    pub(crate) slowest_transfer: (Duration, String),
    /// What was uploaded.
    pub(crate) ledger: Ledger,
}

impl Tally {
    fn complain(&mut self, complaint: Option<String>) {
        if self.complaints.len() < COMPLAINTS {
            self.complaints.extend(complaint);
        }
    }

    /// How many answers there were.
    pub(crate) fn answered(&self) -> u64 {
        self.answers.values().sum()
    }

    /// How many requests were served.
    pub(crate) fn served(&self) -> u64 {
        self.answers.iter().filter(|(status, _)| **status < 300).map(|(_, number)| number).sum()
    }

    /// Says what came, and asserts that nothing was wrong with it.
    pub(crate) fn expect_no_complaints(&self, what: &str) {
        crate::estate::report(&format!(
            "{what}: {:?}, {} unanswered, {} abandoned, the slowest were {:?} and {:?}, {} uploads acknowledged",
            self.answers,
            self.unanswered,
            self.abandoned,
            self.slowest,
            self.slowest_transfer,
            self.ledger.acknowledged()
        ));
        assert!(self.complaints.is_empty(), "{what}: {:#?}", self.complaints);
    }
}

/// How a load is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// Clients that ask at the same time.
    pub(crate) clients: usize,
    /// Of a thousand requests, how many are uploads.
    pub(crate) uploads: usize,
    /// Of a thousand requests, how many are given up before they are answered.
    pub(crate) abandoned: usize,
    /// Requests that a client has for one tenant before it turns to another.
    pub(crate) stay: usize,
    /// Pause after each answer.
    pub(crate) pause: Duration,
}

impl Default for Kind {
    fn default() -> Self {
        Self { clients: 12, uploads: 100, abandoned: 0, stay: 1, pause: Duration::from_millis(2) }
    }
}

/// A load that goes on until it is stopped.
pub(crate) struct Load {
    over: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    tally: Arc<Mutex<Tally>>,
    clients: JoinSet<()>,
}

impl Load {
    /// Begins.
    pub(crate) fn begin(tenants: &Arc<Vec<Tenant>>, kind: Kind) -> Self {
        let mut this =
            Self { over: Arc::default(), asked: Arc::default(), tally: Arc::default(), clients: JoinSet::new() };
        for number in 0..kind.clients {
            let client = Client {
                tenants: Arc::clone(tenants),
                over: Arc::clone(&this.over),
                asked: Arc::clone(&this.asked),
                tally: Arc::clone(&this.tally),
                dice: Dice::new(number as u64 + 1),
                kind,
            };
            this.clients.spawn(client.run());
        }
        this
    }

    /// How many requests were sent so far.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Waits until an upload was acknowledged: before that there is no promise that could be broken.
    pub(crate) async fn until_an_upload_is_kept(&self) {
        let patience = tokio::time::Instant::now() + Duration::from_secs(60);
        while self.tally.lock().unwrap().ledger.acknowledged() == 0 {
            assert!(tokio::time::Instant::now() < patience, "no upload was acknowledged within a minute");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What came so far and was not taken out before.
    pub(crate) fn take_complaints(&self) -> Vec<String> {
        std::mem::take(&mut self.tally.lock().unwrap().complaints)
    }

    /// Ends when all clients have their last answers.
    pub(crate) async fn end(mut self) -> Tally {
        self.over.store(true, Ordering::Release);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        std::mem::take(&mut self.tally.lock().unwrap())
    }
}

struct Client {
    tenants: Arc<Vec<Tenant>>,
    over: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    tally: Arc<Mutex<Tally>>,
    dice: Dice,
    kind: Kind,
}

impl Client {
    async fn run(mut self) {
        let tenants = Arc::clone(&self.tenants);
        let mut place = 0;
        for number in 0_usize.. {
            if self.over.load(Ordering::Acquire) {
                return;
            }
            self.asked.fetch_add(1, Ordering::Relaxed);
            if number.is_multiple_of(self.kind.stay) {
                place = self.dice.roll(tenants.len());
            }
            let tenant = &tenants[place];
            let is_upload = self.dice.roll(1000) < self.kind.uploads;
            let is_abandoned = self.dice.roll(1000) < self.kind.abandoned;
            if is_upload {
                // No two loads of a test process send the same.
                static NUMBER: AtomicU64 = AtomicU64::new(0);
                let name = format!("{}-{}.txt", tenant.mark, NUMBER.fetch_add(1, Ordering::Relaxed));
                self.upload(place, tenant, &name, is_abandoned).await;
            } else {
                self.read(tenant, is_abandoned).await;
            }
            tokio::time::sleep(self.kind.pause).await;
        }
    }

    async fn upload(&mut self, place: usize, tenant: &Tenant, name: &str, is_abandoned: bool) {
        let content = format!("{} uploaded {name}", tenant.mark);
        self.tally.lock().unwrap().ledger.sent(place, name, &content);
        let request = tenant.send(tenant.upload(name, content));
        let Some(seen) = self.patiently(request, is_abandoned).await else { return };
        let mut tally = self.tally.lock().unwrap();
        count(&mut tally, tenant, Asked::Upload, seen.as_ref());
        if let Some(seen) = seen
            && seen.status == 201
        {
            tally.ledger.acknowledge(place, name, seen.json()["id"].as_str().unwrap_or_default());
        }
    }

    async fn read(&mut self, tenant: &Tenant, is_abandoned: bool) {
        let question = QUESTIONS[self.dice.roll(QUESTIONS.len())];
        // Somebody else's file, asked for with this tenant's key.
        let other = self.dice.roll(self.tenants.len());
        let path = question.path(tenant, &self.tenants[other]);
        let Some(seen) = self.patiently(tenant.get(&path), is_abandoned).await else { return };
        let mut tally = self.tally.lock().unwrap();
        count(&mut tally, tenant, Asked::Question(question), seen.as_ref());
        let is_own = std::ptr::eq(tenant, &raw const self.tenants[other]);
        tally.complain(seen.and_then(|seen| question.complaint(tenant, is_own, &seen)));
    }

    /// None where the client has lost its patience on purpose.
    async fn patiently<T>(&mut self, request: impl Future<Output = T>, is_abandoned: bool) -> Option<T> {
        if !is_abandoned {
            return Some(request.await);
        }
        let patience = Duration::from_micros(self.dice.roll(8_000) as u64);
        let answered = tokio::time::timeout(patience, request).await.ok();
        if answered.is_none() {
            self.tally.lock().unwrap().abandoned += 1;
        }
        answered
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Question(Question),
    Upload,
}

fn count(tally: &mut Tally, tenant: &Tenant, asked: Asked, seen: Option<&Seen>) {
    let Some(seen) = seen else {
        tally.unanswered += 1;
        return;
    };
    *tally.answers.entry(seen.status).or_default() += 1;
    let is_transfer = matches!(asked, Asked::Upload | Asked::Question(Question::Content));
    let slowest = if is_transfer { &mut tally.slowest_transfer } else { &mut tally.slowest };
    if seen.took > slowest.0 {
        *slowest = (seen.took, format!("{asked:?} ({}), answered {}", tenant.isolation, seen.status));
    }
    tally.complain(seen.wrong(&tenant.mark));
    if matches!(asked, Asked::Upload) && ![201, 429, 503, 504].contains(&seen.status) {
        tally.complain(Some(format!("an upload of {} was answered {seen:?}", tenant.mark)));
    }
}

/// What clients ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    File,
    Content,
    Files,
    Search,
    Workspaces,
    SomebodysFile,
}

const QUESTIONS: [Question; 10] = [
    Question::File,
    Question::File,
    Question::File,
    Question::File,
    Question::Content,
    Question::Content,
    Question::Files,
    Question::Search,
    Question::Workspaces,
    Question::SomebodysFile,
];

impl Question {
    fn path(self, tenant: &Tenant, other: &Tenant) -> String {
        match self {
            Self::File => tenant.file_path(),
            Self::Content => format!("{}/content", tenant.file_path()),
            Self::Files => format!("/v1/files?workspace_id={}&limit=20", tenant.workspace),
            Self::Search => "/v1/search?q=walrus&mode=text".to_owned(),
            Self::Workspaces => "/v1/workspaces".to_owned(),
            Self::SomebodysFile => other.file_path(),
        }
    }

    /// What is wrong with an answer to this question in particular.
    fn complaint(self, tenant: &Tenant, is_own: bool, seen: &Seen) -> Option<String> {
        let is_right = match (self, seen.status) {
            (Self::SomebodysFile, 200) => is_own,
            (Self::SomebodysFile, 404) => !is_own,
            (Self::Content, 200) => {
                seen.body == tenant.content && seen.header("etag") == Some(tenant.content_tag.as_str())
            }
            (Self::File, 200) => seen.json()["id"] == tenant.file.as_str(),
            // It may not be found yet, and what is found is the tenant's own by its mark.
            (Self::Search, 200) => true,
            (Self::Files | Self::Workspaces, 200) => seen.body.contains(&tenant.mark),
            (_, 429 | 503 | 504) => true,
            _ => false,
        };
        (!is_right).then(|| format!("{} ({}) asked for {self:?}: {seen:?}", tenant.mark, tenant.isolation))
    }
}
