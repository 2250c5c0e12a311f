//! `Range: bytes=…` (RFC 9110 §14). Pure.

use std::ops::Range;

/// What a `Range` header asks of a content of a known size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Everything: no range, or one that we may ignore (another unit, several ranges, not readable).
    All,
    /// One part.
    Part(Range<u64>),
    /// Nothing that there is.
    Unsatisfiable,
}

/// Reads the header's value.
pub(super) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(set) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else { return Wanted::All };
    // Several ranges may be answered with the whole (§14.2): cheap to ask for, dear to assemble.
    if set.contains(',') {
        return Wanted::All;
    }
    let Some((first, last)) = set.split_once('-') else { return Wanted::All };
    match (first.trim(), last.trim()) {
        ("", suffix) => match number(suffix) {
            Some(length) if length > 0 && size > 0 => Wanted::Part(size.saturating_sub(length)..size),
            Some(_) => Wanted::Unsatisfiable,
            None => Wanted::All,
        },
        (first, last) => {
            let last = if last.is_empty() { Some(u64::MAX) } else { number(last) };
            match (number(first), last) {
                (Some(first), Some(last)) if first <= last => {
                    if first < size {
                        Wanted::Part(first..last.saturating_add(1).min(size))
                    } else {
                        Wanted::Unsatisfiable
                    }
                }
                _ => Wanted::All,
            }
        }
    }
}

/// Digits only; a number beyond every size is as good as the largest.
fn number(digits: &str) -> Option<u64> {
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Wanted::{All, Part, Unsatisfiable};

    #[test]
    fn one_range_is_honoured() {
        for (header, size, expected) in [
            ("bytes=0-0", 10, Part(0..1)),
            ("bytes=2-5", 10, Part(2..6)),
            ("bytes=2-", 10, Part(2..10)),
            ("bytes=2-99999999999999999999", 10, Part(2..10)),
            ("bytes=-3", 10, Part(7..10)),
            ("bytes=-30", 10, Part(0..10)),
            ("bytes=10-", 10, Unsatisfiable),
            ("bytes=99999999999999999999-", 10, Unsatisfiable),
            ("bytes=-0", 10, Unsatisfiable),
            ("bytes=0-", 0, Unsatisfiable),
            ("bytes=-1", 0, Unsatisfiable),
        ] {
            assert_eq!(wanted(Some(header), size), expected, "{header} of {size}");
        }
    }

    #[test]
    fn what_can_not_be_read_is_ignored_as_the_rfc_asks() {
        for header in
            ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-2", "bytes=+1-2", "items=0-1", "bytes=0-1,3-4"]
        {
            assert_eq!(wanted(Some(header), 10), All, "{header}");
        }
        assert_eq!(wanted(None, 10), All);
    }
}
