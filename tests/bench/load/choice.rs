//! Which target is next.

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};

/// How targets are chosen.
#[derive(Clone, Copy)]
pub(crate) enum Choice {
    /// All the same.
    Uniform,
    /// The n-th one `1/n^exponent` times as often as the first.
    Zipf(f64),
    /// Each once, and then the run is over.
    Once,
}

/// A row of choices.
pub(super) struct Chooser {
    targets: usize,
    order: Order,
    random: StdRng,
}

#[derive(Clone, Copy)]
enum Order {
    Uniform,
    Zipf(Zipf<f64>),
    /// The next one's number.
    Once(usize),
}

impl Chooser {
    pub(super) fn new(choice: Choice, targets: usize, seed: u64) -> Result<Self> {
        let order = match choice {
            Choice::Uniform => Order::Uniform,
            #[expect(clippy::cast_precision_loss, reason = "thousands")]
            Choice::Zipf(exponent) => Order::Zipf(Zipf::new(targets as f64, exponent)?),
            Choice::Once => Order::Once(0),
        };
        Ok(Self { targets, order, random: StdRng::seed_from_u64(seed) })
    }

    /// None where all have been chosen that should be.
    pub(super) fn next(&mut self) -> Option<usize> {
        match self.order {
            Order::Uniform => Some(self.random.random_range(0..self.targets)),
            Order::Zipf(zipf) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "1 to the number of targets"
                )]
                let rank = zipf.sample(&mut self.random) as usize;
                Some(rank.clamp(1, self.targets) - 1)
            }
            Order::Once(next) => {
                self.order = Order::Once(next + 1);
                (next < self.targets).then_some(next)
            }
        }
    }
}
