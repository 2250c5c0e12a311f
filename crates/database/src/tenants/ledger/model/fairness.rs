//! How long whoever comes waits for those who are there already.

use std::time::Duration;

use proptest::prelude::*;

use super::{Event, LIMITS, World, pool, settle, tenant};
use crate::tenants::ledger::Terms;

/// The newcomer.
const LAST: u8 = 3;

/// How long the statement of a loan takes, in milliseconds: any of these, always the same.
fn takes(statements: &[u64], terms: &Terms) -> u64 {
    statements[(terms.loans as usize * 7 + terms.tenant.as_uuid().as_u128() as usize) % statements.len()]
}

/// Lets time go on until the next statement ends.
fn go_on(world: &mut World, statements: &[u64]) {
    let ends = |(place, (terms, _)): (usize, &(Terms, _))| {
        (terms.lent + Duration::from_millis(takes(statements, terms)), place)
    };
    let (at, place) = world.lent.iter().enumerate().map(ends).min().expect("somebody is served");
    let left = at.saturating_duration_since(world.now);
    world.act(&Event::Pass(u64::try_from(left.as_millis()).unwrap()));
    world.act(&Event::GiveBack(place));
    settle(world);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// However many wait, of however many tenants: after the turns that are under way one of each, and the statements that end them.
    #[test]
    fn a_crowd_delays_another_by_one_turn_of_each(
        budget in 1usize..8,
        crowds in 1u8..=LAST,
        crowd in 1usize..40,
        before in 0usize..30,
        statements in prop::collection::vec(1u64..30, 1..12),
    ) {
        let mut world = World::new(budget);
        for _ in 0..crowd {
            for number in 0..crowds {
                world.act(&Event::Ask(number));
            }
        }
        settle(&mut world);
        for _ in 0..before.min(crowd / 2) {
            go_on(&mut world, &statements);
        }
        let asked = world.now;
        world.act(&Event::Ask(LAST));
        settle(&mut world);
        while !world.served.contains(&tenant(LAST)) {
            go_on(&mut world, &statements);
        }
        let longest = Duration::from_millis(*statements.iter().max().unwrap());
        let bound = (LIMITS.turn + longest) * (1 + u32::from(crowds));
        let waited = world.now - asked;
        prop_assert!(waited <= bound, "{waited:?} beside {crowds} whose statements take {longest:?}");
    }
}

/// Everybody has connections, and everybody has callers that wait: who has more than its share makes room at once, others keep
/// theirs for their turn.
#[test]
fn who_has_more_than_its_share_makes_room_without_waiting_for_the_end_of_its_turn() {
    let mut world = World::new(4);
    for number in [0, 0, 0, 2] {
        world.act(&Event::Ask(number));
    }
    settle(&mut world);
    assert_eq!((world.held(tenant(0)), world.held(tenant(2))), (3, 1));
    for number in [0, 0, 0, 2, 2, 2, 1] {
        world.act(&Event::Ask(number));
    }
    let lent_to =
        |world: &World, number| world.lent.iter().position(|(terms, _)| terms.tenant == tenant(number)).unwrap();
    let own = lent_to(&world, 2);
    world.act(&Event::GiveBack(own));
    assert_eq!((world.held(tenant(2)), world.closing.len()), (1, 0), "its turn is not over");
    let one_of_many = lent_to(&world, 0);
    world.act(&Event::GiveBack(one_of_many));
    assert_eq!((world.held(tenant(0)), world.closing.len()), (2, 1), "a quarter of the budget is its share");
    settle(&mut world);
    assert!(world.lent.iter().any(|(terms, _)| (terms.pool, terms.tenant) == (pool(1), tenant(1))));
}
