//! How often somebody may ask.

use serde::{Deserialize, Serialize};

/// So many requests a second in the long run, and so many at once after a pause. Nought a second sets no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Requests a second.
    pub per_second: u32,
    /// Requests at once.
    pub burst: u32,
}

impl RateLimit {
    /// No limit.
    pub const NONE: Self = Self { per_second: 0, burst: 0 };
    /// The largest number that either part may be: beyond it nobody would notice a limit.
    pub const MOST: u32 = 1_000_000;

    /// Whether a limit can be what this says.
    ///
    /// # Errors
    /// The part that is wrong, and what is wrong with it.
    pub fn check(self) -> Result<(), (&'static str, String)> {
        let most = Self::MOST;
        if self.per_second > most {
            return Err(("per_second", format!("must be at most {most}")));
        }
        if self.burst > most {
            return Err(("burst", format!("must be at most {most}")));
        }
        if self.per_second > 0 && self.burst == 0 {
            return Err(("burst", "must be at least 1 where there is a limit".to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_lets_something_through() {
        let wrong = |per_second, burst| RateLimit { per_second, burst }.check().err().map(|(part, _)| part);
        assert_eq!(wrong(1, 1), None);
        assert_eq!(wrong(RateLimit::MOST, RateLimit::MOST), None);
        assert_eq!(RateLimit::NONE.check(), Ok(()));
        assert_eq!(wrong(1, 0), Some("burst"));
        assert_eq!(wrong(RateLimit::MOST + 1, 1), Some("per_second"));
        assert_eq!(wrong(1, RateLimit::MOST + 1), Some("burst"));
    }
}
