//! Versions as PostgreSQL and its extensions print them.

use std::fmt;

/// A version of two numbers, such as 15.18 or 0.8; a third number does not matter to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// What comes before the first dot.
    pub major: u32,
    /// What comes after it; zero for a release candidate, which has none.
    pub minor: u32,
}

impl Version {
    /// A version from its two numbers.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// Reads the first word of `text` that starts with a digit, so both `0.8.0` and `postgres (PostgreSQL) 15.18 (Debian …)` work.
    pub fn parse(text: &str) -> Option<Self> {
        let word = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
        let mut numbers = word.split('.').map(leading_number);
        let major = numbers.next()??;
        let minor = numbers.next().flatten().unwrap_or(0);
        Some(Self { major, minor })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// `17beta1` and `8-1` count as 17 and 8.
fn leading_number(part: &str) -> Option<u32> {
    let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
    part[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn versions_are_read_from_what_the_tools_print() {
        let check =
            |text: &str, major, minor| assert_eq!(Version::parse(text), Some(Version::new(major, minor)), "{text}");
        check("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", 15, 18);
        check("postgres (PostgreSQL) 18beta1", 18, 0);
        check("0.8.0", 0, 8);
        check("0.8.0-1", 0, 8);
        assert_eq!(Version::parse("postgres"), None);
        assert!(Version::new(0, 10) > Version::new(0, 8));
    }
}
