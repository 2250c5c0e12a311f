//! Databases that say nothing, and clusters of which nothing is known.

use super::super::{Attempt, Failure};
use super::{Event, World, pool, settle, tenant};

#[test]
fn one_silent_database_does_not_have_the_whole_cluster_refused() {
    let mut world = World::new(6);
    world.act(&Event::Ask(1));
    settle(&mut world);
    for _ in 0..5 {
        world.act(&Event::Ask(0));
        // It says nothing for a second, in which another tenant is answered.
        let begun = world.now;
        world.act(&Event::Pass(1000));
        world.act(&Event::GiveBack(0));
        let (pool, tenant) = world.opening.pop().expect("one is opened");
        let mut actions = Vec::new();
        let attempt = Attempt { failure: Failure::Unreachable, begun, is_ending: false };
        world.ledger.failed(pool, tenant, attempt, world.now, &mut actions);
        world.do_all(actions);
        world.act(&Event::Ask(1));
        assert_eq!(world.lent.len(), 1, "a neighbour is lent its connection");
        world.act(&Event::Pass(200));
    }
    assert!(world.probes.is_empty());
}

#[test]
fn a_cluster_whose_sessions_do_not_end_is_away_though_nobody_can_try() {
    let mut world = World::new(3);
    for number in [0, 1, 2] {
        world.act(&Event::Ask(number));
    }
    settle(&mut world);
    for _ in 0..3 {
        world.act(&Event::Abandon(0));
    }
    world.act(&Event::Ask(3));
    assert_eq!((world.waiting.len(), world.opening.len()), (1, 0), "all places are taken");
    world.act(&Event::Pass(1000));
    for number in [0, 1, 2] {
        world.act(&Event::Hangs(number));
    }
    assert!(world.waiting.is_empty(), "nobody waits for a cluster that does not answer");
    world.act(&Event::Probe(true));
    assert!(world.ledger.breaker.is_open(), "there is no place to try it in");
    // It goes on.
    world.act(&Event::Closed(0));
    world.act(&Event::Probe(true));
    world.act(&Event::Ask(3));
    settle(&mut world);
    assert!(world.served.contains(&tenant(3)));
}

#[test]
fn a_session_that_does_not_end_says_nothing_of_a_cluster_that_answers() {
    let mut world = World::new(3);
    for number in [0, 1] {
        world.act(&Event::Ask(number));
    }
    settle(&mut world);
    world.act(&Event::Abandon(0));
    for _ in 0..5 {
        let since = world.now;
        world.act(&Event::Pass(1));
        world.act(&Event::GiveBack(0));
        world.act(&Event::Ask(1));
        world.ledger.hangs(pool(0), since, &mut Vec::new());
    }
    assert!(!world.ledger.breaker.is_open());
}

#[test]
fn who_waits_for_a_slow_database_is_served_unless_it_stays_silent() {
    let mut world = World::new(6);
    world.act(&Event::Ask(0));
    for _ in 0..2 {
        world.act(&Event::Failed(0, Failure::Silent, false));
        assert_eq!((world.waiting.len(), world.opening.len()), (1, 1), "it is tried again");
    }
    settle(&mut world);
    assert!(world.served.contains(&tenant(0)));
    world.act(&Event::Ask(0));
    for _ in 0..3 {
        world.act(&Event::Failed(0, Failure::Silent, false));
    }
    assert!(world.waiting.is_empty() && world.opening.is_empty(), "nobody waits for it any more");
}

#[test]
fn silent_databases_keep_nobody_from_others_for_long() {
    let mut world = World::new(20);
    // Each of two has two connections opened, which is all that may be at once.
    for number in [0, 0, 1, 1] {
        world.act(&Event::Ask(number));
    }
    world.act(&Event::Ask(2));
    assert!(!world.opening.contains(&(pool(2), tenant(2))));
    for which in 0..4 {
        world.act(&Event::Dawdles(which));
    }
    assert!(world.opening.contains(&(pool(2), tenant(2))), "it waits for databases that are not its own");
    let own = world.opening.iter().position(|(_, of)| *of == tenant(2)).unwrap();
    world.act(&Event::Opened(own));
    for _ in 0..4 {
        world.act(&Event::Failed(0, Failure::Silent, false));
    }
    // Tried again one at a time, they leave the other half to others.
    assert_eq!(world.opening.len(), 2);
    for number in [4, 4] {
        world.act(&Event::Ask(number));
    }
    assert_eq!(world.opening.iter().filter(|(_, of)| *of == tenant(4)).count(), 2);
}

#[test]
fn a_silent_database_is_tried_on_behalf_of_one_caller_and_others_are_told_at_once() {
    let mut world = World::new(6);
    world.act(&Event::Ask(0));
    for _ in 0..3 {
        world.act(&Event::Failed(0, Failure::Silent, false));
    }
    for _ in 0..3 {
        world.act(&Event::Pass(200));
        world.act(&Event::Tidy);
        for _ in 0..5 {
            world.act(&Event::Ask(0));
        }
        assert_eq!((world.waiting.len(), world.opening.len()), (1, 1), "only one waits for what comes of it");
        world.act(&Event::Failed(0, Failure::Silent, false));
        assert_eq!((world.waiting.len(), world.opening.len()), (0, 0));
    }
    world.act(&Event::Pass(200));
    world.act(&Event::Ask(0));
    settle(&mut world);
    world.act(&Event::Ask(0));
    world.act(&Event::Ask(0));
    assert_eq!(world.waiting.len(), 2, "once it answers nobody is refused");
}

#[test]
fn a_way_that_is_gone_says_nothing_of_the_cluster() {
    let mut world = World::new(6);
    for _ in 0..3 {
        world.act(&Event::Ask(0));
    }
    for _ in 0..3 {
        world.act(&Event::Failed(0, Failure::Unreachable, false));
    }
    let (pool, mut actions) = (world.probes.pop().expect("it is tried"), Vec::new());
    assert!(world.ledger.probe(pool, &mut actions));
    let gone = Attempt { failure: Failure::Gone, begun: world.now, is_ending: false };
    world.ledger.probed(pool, Err(gone), world.now, &mut actions);
    world.do_all(actions);
    assert!(world.ledger.breaker.is_open() && world.probes.len() == 1, "it is tried again");
    world.act(&Event::Ask(1));
    assert!(world.waiting.is_empty(), "nobody waits for it");
}
