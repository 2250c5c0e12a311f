//! The ledger against whatever may happen in whatever order, and against its promises.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rowhouse_domain::TenantId;
use uuid::Uuid;

use super::{Action, Asked, Attempt, Connection, Ended, Failure, Lapse, Ledger, Limits, PoolId, Terms, Ticket};

/// A connection that knows its pool; a spent one ends at its next use.
#[derive(Debug, PartialEq, Eq)]
struct Fake {
    pool: PoolId,
    is_spent: bool,
    driver: Option<u8>,
}

impl Connection for Fake {
    fn is_spent(&self, _: Instant) -> bool {
        self.is_spent
    }

    type Thread = u8;

    fn driver(&self) -> Option<u8> {
        self.driver
    }
}

const LIMITS: Limits = Limits {
    per_tenant: 3,
    per_slow_tenant: 1,
    slow: Duration::from_millis(12),
    waiting_per_tenant: 40,
    opening: 4,
    opening_per_tenant: 2,
    turn: Duration::from_millis(10),
    pause: Duration::from_millis(50),
    ceiling: Duration::from_millis(500),
    refusal: Duration::from_millis(100),
};

/// Tenants 0 to 3 have a pool of their own; 4 to 6 share one.
const TENANTS: u8 = 7;

fn tenant(number: u8) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(u128::from(number) + 1))
}

fn pool(number: u8) -> PoolId {
    PoolId(u64::from(number.min(4)))
}

/// The thread of a caller, and that which drives a connection; one in four is driven now here, now there.
fn thread(caller: u64) -> u8 {
    u8::try_from(caller % 3).unwrap()
}

fn driver(which: usize) -> Option<u8> {
    u8::try_from(which % 4).ok().filter(|driver| *driver < 3)
}

/// Where a tenant's data lies after it moved; it may move back.
fn other_pool(number: u8) -> PoolId {
    PoolId(10 + u64::from(number))
}

#[derive(Debug, Clone)]
enum Event {
    Ask(u8),
    AskElsewhere(u8),
    GiveBack(usize),
    GiveBackSpent(usize),
    Abandon(usize),
    Opened(usize),
    Failed(usize, Failure, bool),
    Dawdles(usize),
    Hangs(u8),
    Closed(usize),
    Cancel(usize),
    Pass(u64),
    SetBudget(usize),
    /// Of the budget so much is left after so many milliseconds.
    LetLapse(usize, u64),
    Tidy,
    Retire(u8),
    Probe(bool),
}

fn event() -> impl Strategy<Value = Event> {
    let failure = prop_oneof![
        Just(Failure::Unreachable),
        Just(Failure::Full),
        Just(Failure::Crowded),
        Just(Failure::Refused),
        Just(Failure::Silent),
        Just(Failure::Gone)
    ];
    prop_oneof![
        8 => (0..TENANTS).prop_map(Event::Ask),
        5 => any::<usize>().prop_map(Event::GiveBack),
        1 => any::<usize>().prop_map(Event::GiveBackSpent),
        1 => any::<usize>().prop_map(Event::Abandon),
        6 => any::<usize>().prop_map(Event::Opened),
        1 => (0..TENANTS).prop_map(Event::AskElsewhere),
        1 => (any::<usize>(), failure, any::<bool>())
            .prop_map(|(which, failure, is_ending)| Event::Failed(which, failure, is_ending)),
        2 => any::<usize>().prop_map(Event::Dawdles),
        1 => (0..TENANTS).prop_map(Event::Hangs),
        5 => any::<usize>().prop_map(Event::Closed),
        1 => any::<usize>().prop_map(Event::Cancel),
        2 => (0u64..30).prop_map(Event::Pass),
        1 => (1usize..8).prop_map(Event::SetBudget),
        1 => (1usize..8, 1u64..60).prop_map(|(left, after)| Event::LetLapse(left, after)),
        1 => Just(Event::Tidy),
        1 => (0..TENANTS).prop_map(Event::Retire),
        1 => any::<bool>().prop_map(Event::Probe),
    ]
}

/// The world around a ledger.
struct World {
    ledger: Ledger<Fake, u64>,
    now: Instant,
    budget: usize,
    lapse: Option<Lapse>,
    lent: Vec<(Terms, Fake)>,
    opening: Vec<(PoolId, TenantId)>,
    closing: Vec<Ended>,
    probes: Vec<PoolId>,
    waiting: HashMap<u64, (PoolId, TenantId, Ticket)>,
    next: u64,
    /// In the order of their service.
    served: Vec<TenantId>,
    /// How many connections were opened.
    opened: usize,
}

impl World {
    fn new(budget: usize) -> Self {
        Self {
            ledger: Ledger::new(LIMITS, budget),
            now: Instant::now(),
            budget,
            lapse: None,
            lent: Vec::new(),
            opening: Vec::new(),
            closing: Vec::new(),
            probes: Vec::new(),
            waiting: HashMap::new(),
            next: 0,
            served: Vec::new(),
            opened: 0,
        }
    }

    fn do_all(&mut self, actions: Vec<Action<Fake, u64>>) {
        for action in actions {
            match action {
                Action::Lend { to, loan, connection } => {
                    let (asked, tenant, _) = self.waiting.remove(&to).expect("lent to somebody who waits");
                    assert_eq!(tenant, loan.tenant);
                    assert_eq!(asked, loan.pool, "a connection of another pool than was asked for");
                    assert_eq!(connection.pool, loan.pool, "a connection of another pool was lent");
                    self.served.push(loan.tenant);
                    self.lent.push((loan, connection));
                }
                Action::Open { pool, tenant, .. } => {
                    self.opened += 1;
                    self.opening.push((pool, tenant));
                    assert!(self.places() <= self.budget, "a place beyond the budget");
                    assert!(self.opening.len() <= 2 * LIMITS.opening);
                    let of_tenant = self.opening.iter().filter(|(_, other)| *other == tenant).count();
                    assert!(of_tenant <= LIMITS.opening_per_tenant);
                    assert!(self.held(tenant) + of_tenant <= LIMITS.per_tenant, "more than a tenant may have");
                }
                Action::Close(_) => self.closing.push(Ended::Closed),
                Action::Refuse { to, .. } => {
                    self.waiting.remove(&to).expect("refused somebody who waits");
                }
                Action::Probe { pool, .. } => self.probes.push(pool),
                Action::Wake { .. } => {}
            }
        }
    }

    fn held(&self, tenant: TenantId) -> usize {
        self.lent.iter().filter(|(terms, _)| terms.tenant == tenant).count()
            + self
                .closing
                .iter()
                .filter(|ended| matches!(ended, Ended::Abandoned(terms) if terms.tenant == tenant))
                .count()
    }

    /// Server connections as they really are.
    fn places(&self) -> usize {
        self.lent.len() + self.opening.len() + self.closing.len() + self.ledger.idle.len()
    }

    fn act(&mut self, event: &Event) {
        fn pick<T>(from: &mut Vec<T>, which: usize) -> Option<T> {
            (!from.is_empty()).then(|| from.swap_remove(which % from.len()))
        }
        let (mut actions, now) = (Vec::new(), self.now);
        match *event {
            Event::Ask(number) | Event::AskElsewhere(number) => {
                self.next += 1;
                let waiter = self.next;
                let has_moved = matches!(event, Event::AskElsewhere(_));
                let (pool, tenant) = (if has_moved { other_pool(number) } else { pool(number) }, tenant(number));
                match self.ledger.ask((pool, tenant), thread(waiter), || waiter, now, &mut actions) {
                    Asked::Lent(connection, terms) => {
                        assert_eq!(connection.pool, pool);
                        self.served.push(tenant);
                        self.lent.push((terms, connection));
                    }
                    Asked::Waits(ticket) => {
                        self.waiting.insert(waiter, (pool, tenant, ticket));
                    }
                    Asked::Refused(_) => {}
                }
            }
            Event::GiveBack(which) | Event::GiveBackSpent(which) => {
                let Some((terms, mut connection)) = pick(&mut self.lent, which) else { return };
                connection.is_spent = matches!(event, Event::GiveBackSpent(_));
                self.ledger.give_back(terms, connection, now, &mut actions);
            }
            Event::Abandon(which) => {
                let Some((terms, _)) = pick(&mut self.lent, which) else { return };
                self.ledger.abandon();
                self.closing.push(Ended::Abandoned(terms));
            }
            Event::Opened(which) => {
                let Some((pool, tenant)) = pick(&mut self.opening, which) else { return };
                let connection = Fake { pool, is_spent: false, driver: driver(which) };
                self.ledger.opened(pool, tenant, connection, now, &mut actions);
            }
            Event::Failed(which, failure, is_ending) => {
                let Some((pool, tenant)) = pick(&mut self.opening, which) else { return };
                let attempt = Attempt { failure, begun: now, is_ending };
                self.closing.extend(is_ending.then_some(Ended::Rest));
                self.ledger.failed(pool, tenant, attempt, now, &mut actions);
            }
            Event::Dawdles(which) => {
                let Some((pool, _)) = self.opening.get(which % self.opening.len().max(1)) else { return };
                self.ledger.dawdles(*pool, now, &mut actions);
            }
            Event::Hangs(number) => {
                if !self.closing.is_empty() {
                    self.ledger.hangs(pool(number), now, &mut actions);
                }
            }
            Event::Closed(which) => {
                let Some(ended) = pick(&mut self.closing, which) else { return };
                self.ledger.closed(ended, now, &mut actions);
            }
            Event::Cancel(which) => {
                let mut all: Vec<u64> = self.waiting.keys().copied().collect();
                all.sort_unstable();
                let Some(waiter) = pick(&mut all, which) else { return };
                let (_, tenant, ticket) = self.waiting.remove(&waiter).expect("it waits");
                self.ledger.cancel(tenant, ticket, now, &mut actions);
            }
            Event::Pass(milliseconds) => {
                self.now += Duration::from_millis(milliseconds);
                if let Some(lapse) = self.lapse.filter(|lapse| lapse.at <= self.now) {
                    (self.budget, self.lapse) = (self.budget.min(lapse.to), None);
                }
                self.ledger.go_on(self.now, &mut actions);
            }
            Event::SetBudget(budget) => {
                (self.budget, self.lapse) = (budget, None);
                self.ledger.set_budget(budget, None, now, &mut actions);
            }
            Event::LetLapse(to, after) => {
                self.lapse = Some(Lapse { at: now + Duration::from_millis(after), to });
                self.ledger.set_budget(self.budget, self.lapse, now, &mut actions);
            }
            Event::Tidy => self.ledger.tidy(Duration::from_millis(40), now, &mut actions),
            Event::Retire(number) => self.ledger.retire(pool(number), now, &mut actions),
            Event::Probe(answers) => {
                let Some(pool) = self.probes.pop() else { return };
                if self.ledger.probe(pool, &mut actions) {
                    let outcome = if answers {
                        Ok(Fake { pool, is_spent: false, driver: None })
                    } else {
                        Err(Attempt { failure: Failure::Unreachable, begun: now, is_ending: false })
                    };
                    self.ledger.probed(pool, outcome, now, &mut actions);
                }
            }
        }
        self.do_all(actions);
        self.check();
    }

    fn check(&self) {
        let ledger = &self.ledger;
        assert_eq!(ledger.taken, self.places(), "places are counted wrong");
        assert_eq!(ledger.opening, self.opening.len());
        assert_eq!(ledger.closing, self.closing.len());
        for number in 0..TENANTS {
            assert!(self.held(tenant(number)) <= LIMITS.per_tenant);
        }
        for id in ledger.idle.values().collect::<BTreeSet<_>>() {
            assert!(ledger.line.first_of(*id).is_none(), "an idle connection beside somebody who could have it");
        }
        let waiting: usize = ledger.tenants.values().map(|tenant| tenant.waiting.len()).sum();
        assert_eq!(waiting, self.waiting.len());
        assert!(ledger.breaker.is_open() != self.probes.is_empty(), "an open breaker is tried, a closed one is not");
    }

    /// Lets everything end well.
    fn finish(&mut self) {
        for _ in 0..2000 {
            // What is closed, opened or lent ends whatever else happens; a try needs a place that one of them may have.
            if !self.closing.is_empty() {
                self.act(&Event::Closed(0));
            } else if !self.opening.is_empty() {
                self.act(&Event::Opened(0));
            } else if !self.lent.is_empty() {
                self.act(&Event::GiveBack(0));
            } else if !self.probes.is_empty() {
                self.act(&Event::Probe(true));
            } else if self.waiting.is_empty() {
                break;
            } else {
                self.act(&Event::Pass(20));
            }
        }
        assert!(self.waiting.is_empty(), "{} callers wait for ever", self.waiting.len());
        assert_eq!(self.ledger.taken, self.ledger.idle.len());
        assert!(self.ledger.tenants.is_empty(), "a tenant that has nothing is remembered");
        self.now += Duration::from_secs(60);
        self.act(&Event::Tidy);
        while !self.closing.is_empty() {
            self.act(&Event::Closed(0));
        }
        assert_eq!(self.ledger.taken, 0);
        assert!(self.ledger.doubts.is_empty(), "a doubt is remembered for ever");
        assert!(self.ledger.pools.is_empty(), "a pool that has nothing is remembered");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_promises_hold(budget in 1usize..8, events in prop::collection::vec(event(), 1..300)) {
        let mut world = World::new(budget);
        for event in &events {
            world.act(event);
        }
        world.finish();
    }
}

mod fairness;
mod silence;
mod threads;

/// Opens what is to be opened and closes what is to be closed, at once.
fn settle(world: &mut World) {
    while !world.opening.is_empty() || !world.closing.is_empty() {
        world.act(&Event::Closed(0));
        world.act(&Event::Opened(0));
    }
}

#[test]
fn a_thousand_requests_of_one_tenant_delay_another_by_one_turn() {
    for budget in [1, 2, 5] {
        let mut world = World::new(budget);
        for _ in 0..LIMITS.waiting_per_tenant {
            world.act(&Event::Ask(0));
        }
        settle(&mut world);
        world.act(&Event::Ask(1));
        settle(&mut world);
        let before = world.served.len();
        let mut statements = 0;
        while !world.served.contains(&tenant(1)) {
            // Each statement takes a third of a turn.
            world.act(&Event::Pass(4));
            world.act(&Event::GiveBack(0));
            settle(&mut world);
            statements += 1;
            assert!(statements <= 3 * LIMITS.per_tenant, "{budget}: {:?}", &world.served[before..]);
        }
    }
}

#[test]
fn tenants_that_wait_are_served_in_turns() {
    let mut world = World::new(1);
    for number in [0, 1, 2, 3] {
        for _ in 0..5 {
            world.act(&Event::Ask(number));
        }
    }
    settle(&mut world);
    for _ in 0..20 {
        // Each statement takes a whole turn.
        world.act(&Event::Pass(10));
        world.act(&Event::GiveBack(0));
        settle(&mut world);
    }
    for round in world.served.chunks(4) {
        assert_eq!(round.iter().collect::<BTreeSet<_>>().len(), 4, "{:?}", world.served);
    }
}

#[test]
fn no_place_is_waited_for_whose_session_may_never_end() {
    let mut world = World::new(3);
    for number in [0, 1, 2] {
        world.act(&Event::Ask(number));
    }
    settle(&mut world);
    world.act(&Event::Abandon(0));
    world.act(&Event::GiveBack(0));
    world.act(&Event::GiveBack(0));
    world.act(&Event::Ask(3));
    let evicted = world.closing.iter().filter(|ended| matches!(ended, Ended::Closed)).count();
    assert_eq!(evicted, 1, "an idle connection makes room at once");
}

#[test]
fn callers_make_do_with_what_a_login_is_allowed() {
    let mut world = World::new(6);
    for _ in 0..4 {
        world.act(&Event::Ask(0));
    }
    world.act(&Event::Opened(0));
    for _ in 0..2 {
        world.act(&Event::Failed(0, Failure::Crowded, false));
    }
    assert_eq!((world.waiting.len(), world.opening.len()), (3, 0), "nobody is refused, and no more is asked for");
    for _ in 0..3 {
        world.act(&Event::GiveBack(0));
    }
    assert_eq!((world.waiting.len(), world.served.len()), (0, 4));
    world.act(&Event::Ask(0));
    world.act(&Event::Pass(500));
    world.act(&Event::Ask(1));
    assert!(world.opening.contains(&(pool(0), tenant(0))), "later it is tried again: {:?}", world.opening);
    // With nothing to make do with, callers are told at once.
    let alone = world.opening.iter().position(|(_, of)| *of == tenant(1)).unwrap();
    world.act(&Event::Failed(alone, Failure::Crowded, false));
    assert!(!world.waiting.values().any(|(_, of, _)| *of == tenant(1)));
}

#[test]
fn a_connection_stays_where_only_its_own_tenant_waits() {
    let mut world = World::new(1);
    for _ in 0..5 {
        world.act(&Event::Ask(0));
    }
    settle(&mut world);
    for _ in 0..5 {
        world.act(&Event::Pass(50));
        world.act(&Event::GiveBack(0));
        assert!(world.closing.is_empty());
    }
}

#[test]
fn a_server_that_is_full_is_left_alone_and_idle_connections_make_room() {
    let mut world = World::new(6);
    world.act(&Event::Ask(0));
    settle(&mut world);
    world.act(&Event::GiveBack(0));
    world.act(&Event::Ask(1));
    assert_eq!(world.opening.len(), 1);
    world.act(&Event::Failed(0, Failure::Full, false));
    assert!(world.opening.is_empty(), "it is tried again at once");
    world.act(&Event::Pass(60));
    settle(&mut world);
    assert!(world.served.contains(&tenant(1)), "an idle connection makes room where the server has none");
}

#[test]
fn a_silent_cluster_refuses_at_once_until_it_is_back() {
    let mut world = World::new(6);
    for number in 0..4 {
        world.act(&Event::Ask(number));
    }
    for _ in 0..3 {
        world.act(&Event::Failed(0, Failure::Unreachable, false));
    }
    assert!(world.waiting.is_empty(), "nobody waits for a cluster that does not answer");
    while !world.opening.is_empty() {
        world.act(&Event::Failed(0, Failure::Unreachable, false));
    }
    world.act(&Event::Probe(false));
    world.act(&Event::Ask(0));
    assert!(world.waiting.is_empty() && world.opening.is_empty());
    world.act(&Event::Probe(true));
    world.act(&Event::Ask(0));
    settle(&mut world);
    assert!(world.served.contains(&tenant(0)));
}

#[test]
fn a_cluster_is_tried_by_way_of_another_database_too() {
    let mut world = World::new(6);
    world.act(&Event::Ask(1));
    settle(&mut world);
    world.act(&Event::GiveBack(0));
    world.act(&Event::Pass(1));
    world.act(&Event::Ask(0));
    world.act(&Event::Ask(0));
    world.act(&Event::Ask(2));
    for _ in 0..3 {
        world.act(&Event::Failed(0, Failure::Unreachable, false));
    }
    let mut tried = BTreeSet::new();
    for _ in 0..2 {
        tried.extend(world.probes.last().copied());
        world.act(&Event::Probe(false));
    }
    assert!(tried.contains(&pool(1)), "{tried:?}");
    assert_eq!(tried.len(), 2);
}

#[test]
fn nothing_is_opened_on_a_budget_that_has_lapsed() {
    let mut world = World::new(6);
    world.act(&Event::LetLapse(1, 10));
    world.act(&Event::Ask(0));
    // The process stood still; nobody has told the ledger of it.
    world.now += Duration::from_millis(20);
    (world.budget, world.lapse) = (1, None);
    world.act(&Event::Ask(1));
    assert_eq!(world.opening.len(), 1);
}

#[test]
fn a_tenant_whose_statements_are_slow_holds_few_until_they_are_quick_again() {
    let mut world = World::new(6);
    for _ in 0..30 {
        world.act(&Event::Ask(0));
    }
    settle(&mut world);
    assert_eq!(world.held(tenant(0)), LIMITS.per_tenant, "nothing is known of it yet");
    let step = |world: &mut World, milliseconds| {
        world.act(&Event::Pass(milliseconds));
        world.act(&Event::GiveBack(0));
        settle(world);
    };
    for _ in 0..6 {
        step(&mut world, 200);
    }
    assert_eq!(world.held(tenant(0)), LIMITS.per_slow_tenant);
    while world.held(tenant(0)) < LIMITS.per_tenant {
        assert!(world.served.len() < 30, "it was never let out again");
        step(&mut world, 1);
    }
}

#[test]
fn tenants_that_are_asked_again_and_again_keep_their_connections_from_those_that_are_asked_once() {
    let mut world = World::new(3);
    let ask = |world: &mut World, number| {
        let before = world.opened;
        world.act(&Event::Ask(number));
        settle(world);
        world.act(&Event::GiveBack(0));
        settle(world);
        world.opened - before
    };
    assert_eq!((ask(&mut world, 0), ask(&mut world, 0)), (1, 0));
    for _ in 0..5 {
        for stranger in [1, 2, 3] {
            ask(&mut world, stranger);
        }
        assert_eq!(ask(&mut world, 0), 0, "its connection made room for a stranger's");
    }
}

#[test]
fn of_the_busiest_there_are_so_many_at_most() {
    let mut world = World::new(3);
    for (number, asks) in [(2, 1), (1, 3), (3, 1), (0, 6), (4, 1)] {
        for _ in 0..asks {
            world.act(&Event::Ask(number));
        }
    }
    let busiest: Vec<TenantId> = world.ledger.busiest(3).into_iter().map(|load| load.tenant).collect();
    assert_eq!(busiest[..2], [tenant(0), tenant(1)]);
    assert_eq!(busiest.len(), 3);
}
