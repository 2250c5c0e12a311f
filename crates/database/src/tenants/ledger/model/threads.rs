//! Callers get what their own thread drives, where they can.

use super::{Event, World, settle, thread};

#[test]
fn a_connection_goes_to_a_caller_of_the_thread_that_drives_it() {
    let mut world = World::new(1);
    for _ in 0..6 {
        world.act(&Event::Ask(0));
    }
    world.act(&Event::Opened(1));
    let mut served = Vec::new();
    for _ in 0..6 {
        let next = (1..=6).find(|caller| !world.waiting.contains_key(caller) && !served.contains(caller));
        served.extend(next);
        world.act(&Event::GiveBack(0));
    }
    // Those of thread 1 are 1 and 4, then each in its turn.
    assert_eq!(served, [1, 4, 2, 3, 5, 6]);
}

#[test]
fn of_what_lies_idle_a_caller_gets_what_its_thread_drives() {
    let mut world = World::new(3);
    for _ in 0..3 {
        world.act(&Event::Ask(0));
    }
    for thread in [2, 0, 1] {
        world.act(&Event::Opened(thread));
    }
    settle(&mut world);
    while !world.lent.is_empty() {
        world.act(&Event::GiveBack(0));
    }
    for caller in [4, 5, 6] {
        world.act(&Event::Ask(0));
        let (_, lent) = world.lent.last().unwrap();
        assert_eq!(lent.driver, Some(thread(caller)));
    }
}
