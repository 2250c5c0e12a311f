//! `Range: bytes=…` (RFC 9110 §14). Pure.

use std::ops::Range;

/// Most ranges of one request; who asks for more gets the whole (§14.2).
const MAX_RANGES: usize = 32;

/// What a `Range` header asks of a content of a known size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Everything: no range, or one that we may ignore (another unit, too many ranges, not readable).
    All,
    /// One part.
    Part(Range<u64>),
    /// Several, in the order in which they were asked for; none overlaps or touches another.
    Parts(Vec<Range<u64>>),
    /// Nothing that there is.
    Unsatisfiable,
}

/// Reads the header's value.
pub(super) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(set) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else { return Wanted::All };
    // An empty element of a list says nothing (§5.6.1).
    let specs: Vec<&str> = set.split(',').map(str::trim).filter(|spec| !spec.is_empty()).collect();
    if specs.is_empty() || specs.len() > MAX_RANGES {
        return Wanted::All;
    }
    let mut parts = Vec::new();
    for spec in specs {
        match one(spec, size) {
            None => return Wanted::All,
            Some(range) if range.is_empty() => {}
            Some(range) => parts.push(range),
        }
    }
    let mut parts = coalesce(parts);
    match parts.len() {
        0 => Wanted::Unsatisfiable,
        1 => Wanted::Part(parts.remove(0)),
        _ => Wanted::Parts(parts),
    }
}

/// A single range; empty where it lies outside the content, none where it can't be read.
fn one(spec: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = spec.split_once('-')?;
    match (first.trim(), last.trim()) {
        ("", suffix) => Some(size.saturating_sub(number(suffix)?)..size),
        (first, last) => {
            let first = number(first)?;
            let last = if last.is_empty() { u64::MAX } else { number(last)? };
            (first <= last).then(|| first.min(size)..last.saturating_add(1).min(size))
        }
    }
}

/// Puts those together that overlap or touch, where the first of them stands.
fn coalesce(parts: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut kept: Vec<Range<u64>> = Vec::with_capacity(parts.len());
    for mut part in parts {
        let mut place = None;
        kept = kept
            .into_iter()
            .enumerate()
            .filter_map(|(index, other)| {
                if other.end < part.start || part.end < other.start {
                    return Some(other);
                }
                part = part.start.min(other.start)..part.end.max(other.end);
                if place.is_none() {
                    place = Some(index);
                    // Its place is kept; what it has grown to is filled in below.
                    return Some(0..0);
                }
                None
            })
            .collect();
        match place {
            Some(index) => kept[index] = part,
            None => kept.push(part),
        }
    }
    kept
}

/// Digits only; a number beyond every size is as good as the largest.
fn number(digits: &str) -> Option<u64> {
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Wanted::{All, Part, Parts, Unsatisfiable};

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
    fn several_ranges_are_put_together_where_they_meet() {
        for (header, expected) in [
            ("bytes=0-1, 4-5", Parts(vec![0..2, 4..6])),
            ("bytes=8-, 0-1", Parts(vec![8..10, 0..2])),
            ("bytes=0-3,2-5", Part(0..6)),
            ("bytes=0-1,2-5", Part(0..6)),
            ("bytes=6-7,0-1,5-8,3-3", Parts(vec![5..9, 0..2, 3..4])),
            ("bytes=0-1,8-9,4-5,1-8", Part(0..10)),
            ("bytes=0-1,3-4,7-8,1-3", Parts(vec![0..5, 7..9])),
            ("bytes=0-1,50-,-0", Part(0..2)),
            ("bytes=,0-1,,4-5,", Parts(vec![0..2, 4..6])),
            ("bytes=50-,60-", Unsatisfiable),
        ] {
            assert_eq!(wanted(Some(header), 10), expected, "{header}");
        }
        let many = |count: u64| {
            let specs: Vec<String> = (0..count).map(|number| format!("{0}-{0}", number * 2)).collect();
            wanted(Some(&format!("bytes={}", specs.join(","))), 1_000)
        };
        assert!(matches!(many(32), Parts(parts) if parts.len() == 32));
        assert_eq!(many(33), All);
    }

    #[test]
    fn what_can_not_be_read_is_ignored_as_the_rfc_asks() {
        for header in
            ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-2", "bytes=+1-2", "items=0-1", "bytes=0-1,4-3"]
        {
            assert_eq!(wanted(Some(header), 10), All, "{header}");
        }
        assert_eq!(wanted(None, 10), All);
    }
}
