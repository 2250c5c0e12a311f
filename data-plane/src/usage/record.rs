//! What requests came to, and how the journal has it: records of one length, each with the tenant, three numbers and a hash of
//! them, so that half a record, or what a machine without power left, is told from a whole one. Pure.

use std::ops::AddAssign;

use jiff::Timestamp;
use rowhouse_domain::TenantId;
use twox_hash::XxHash64;
use uuid::Uuid;

/// Bytes of a record.
pub(super) const LENGTH: usize = 48;
/// Of these, what is hashed.
const HASHED: usize = 40;

/// Requests, and the bytes of their bodies and answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) requests: u64,
    pub(super) received: u64,
    pub(super) sent: u64,
}

impl AddAssign for Moved {
    fn add_assign(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.received = self.received.saturating_add(other.received);
        self.sent = self.sent.saturating_add(other.sent);
    }
}

impl Moved {
    /// What it is to `saas_platform`; `id` names the event of a type.
    pub(super) fn events(
        self,
        tenant: TenantId,
        at: Timestamp,
        id: impl Fn(&'static str) -> Uuid,
    ) -> impl Iterator<Item = Event> {
        let counts = [
            ("api", "requests", self.requests),
            ("bandwidth_in", "bytes", self.received),
            ("bandwidth_out", "bytes", self.sent),
        ];
        counts.into_iter().filter(|(.., count)| *count > 0).map(move |(event_type, unit, count)| Event {
            id: id(event_type),
            tenant,
            at,
            event_type,
            quantity: i64::try_from(count).unwrap_or(i64::MAX),
            unit,
        })
    }
}

/// An event on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) id: Uuid,
    pub(super) tenant: TenantId,
    pub(super) at: Timestamp,
    pub(super) event_type: &'static str,
    pub(super) quantity: i64,
    pub(super) unit: &'static str,
}

/// A record as it is written.
pub(super) fn write(tenant: TenantId, moved: Moved) -> [u8; LENGTH] {
    let mut record = [0; LENGTH];
    record[..16].copy_from_slice(tenant.as_uuid().as_bytes());
    let numbers = [moved.requests, moved.received, moved.sent];
    for (place, number) in record[16..HASHED].chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    let hash = XxHash64::oneshot(0, &record[..HASHED]);
    record[HASHED..].copy_from_slice(&hash.to_le_bytes());
    record
}

/// What a record says, if it is whole.
pub(super) fn read(record: &[u8; LENGTH]) -> Option<(TenantId, Moved)> {
    let number = |place: usize| {
        let bytes: [u8; 8] = record[place..place + 8].try_into().expect("eight bytes are eight bytes");
        u64::from_le_bytes(bytes)
    };
    if number(HASHED) != XxHash64::oneshot(0, &record[..HASHED]) {
        return None;
    }
    let tenant = TenantId::from_uuid(Uuid::from_slice(&record[..16]).expect("sixteen bytes make one"));
    Some((tenant, Moved { requests: number(16), received: number(24), sent: number(32) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_not_at_all_where_it_is_not_whole() {
        let (tenant, moved) = (TenantId::new(), Moved { requests: 1, received: u64::MAX, sent: 1 << 33 });
        let record = write(tenant, moved);
        assert_eq!(read(&record), Some((tenant, moved)));
        for place in 0..LENGTH {
            let mut other = record;
            other[place] ^= 1;
            assert_eq!(read(&other), None, "byte {place}");
        }
        assert_eq!(read(&[0; LENGTH]), None);
    }

    #[test]
    fn only_what_moved_is_an_event() {
        let moved = Moved { requests: 2, received: 0, sent: u64::MAX };
        let events: Vec<_> = moved.events(TenantId::new(), Timestamp::UNIX_EPOCH, |_| Uuid::nil()).collect();
        let told: Vec<_> = events.iter().map(|event| (event.event_type, event.quantity)).collect();
        assert_eq!(told, [("api", 2), ("bandwidth_out", i64::MAX)]);
    }
}
