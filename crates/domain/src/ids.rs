//! The registry of ids. Prefixes are API: they are never changed and never reused.
//!
//! An id is a UUIDv7 in PostgreSQL and `prefix_` + 26 characters (TypeID) everywhere else.

use std::fmt;
use std::str::FromStr;

use bytes::BytesMut;
use postgres_types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::typeid;

/// Text that is no id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an id starting with `{prefix}_` and 26 characters after it")]
pub struct InvalidId {
    /// The prefix of the kind that was wanted.
    pub prefix: &'static str,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal;)+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name(Uuid);

            impl $name {
                /// What the text form begins with.
                pub const PREFIX: &'static str = $prefix;

                /// A new id, later ones sorting after earlier ones (UUIDv7).
                #[expect(clippy::new_without_default, reason = "a default id would be a random one")]
                pub fn new() -> Self {
                    Self(Uuid::now_v7())
                }

                /// The id that a database column or another system holds as a bare UUID.
                pub const fn from_uuid(uuid: Uuid) -> Self {
                    Self(uuid)
                }

                /// The bare UUID.
                pub const fn as_uuid(&self) -> Uuid {
                    self.0
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(formatter, "{}_{}", $prefix, typeid::encode(self.0))
                }
            }

            impl fmt::Debug for $name {
                fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                    fmt::Display::fmt(self, formatter)
                }
            }

            impl FromStr for $name {
                type Err = InvalidId;

                fn from_str(text: &str) -> Result<Self, InvalidId> {
                    text.strip_prefix(concat!($prefix, "_"))
                        .and_then(typeid::decode)
                        .map(Self)
                        .ok_or(InvalidId { prefix: $prefix })
                }
            }

            impl Serialize for $name {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.collect_str(self)
                }
            }

            impl<'de> Deserialize<'de> for $name {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
                }
            }

            impl ToSql for $name {
                fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
                    self.0.to_sql(kind, out)
                }

                fn accepts(kind: &Type) -> bool {
                    <Uuid as ToSql>::accepts(kind)
                }

                to_sql_checked!();
            }

            impl<'a> FromSql<'a> for $name {
                fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
                    Uuid::from_sql(kind, raw).map(Self)
                }

                fn accepts(kind: &Type) -> bool {
                    <Uuid as FromSql<'_>>::accepts(kind)
                }
            }
        )+

        /// Every prefix in use, for the rule that a chosen name may not look like an id.
        pub const PREFIXES: &[&str] = &[$($prefix),+];
    };
}

ids! {
    /// A person's storage account.
    AccountId "acc";
    /// A row of the audit log.
    AuditId "aud";
    /// A stored, deduplicated content.
    BlobId "blb";
    /// A PostgreSQL cluster that holds tenants.
    ClusterId "clu";
    /// What contents are sealed under.
    ContentKeyId "ctk";
    /// Something that happened and is to be counted once.
    EventId "evt";
    /// A file.
    FileId "fil";
    /// A folder.
    FolderId "fld";
    /// A database that several tenants live in.
    GroupId "grp";
    /// A piece of background work.
    JobId "job";
    /// An API key of any kind.
    KeyId "key";
    /// A signed link to a file, or to a place for one.
    LinkId "lnk";
    /// A membership of an organization.
    MemberId "mem";
    /// A migration of all tenants, or of some.
    MigrationRunId "mig";
    /// A long piece of control-plane work.
    OperationId "op";
    /// A customer of the product that runs Rowhouse.
    OrganizationId "org";
    /// Room set aside for an upload.
    ReservationId "rsv";
    /// A comparison of schemas with their templates.
    SweepId "swp";
    /// A customer's customer: the owner of one isolated store.
    TenantId "ten";
    /// An upload in parts.
    UploadId "upl";
    /// A person, or a service account.
    UserId "usr";
    /// A version of a file.
    VersionId "ver";
    /// A workspace.
    WorkspaceId "wrk";
}

/// Whether `text` could be taken for an id: a known prefix, an underscore and the right length.
pub fn looks_like_an_id(text: &str) -> bool {
    text.split_once('_').is_some_and(|(prefix, rest)| PREFIXES.contains(&prefix) && typeid::decode(rest).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_carries_its_kind() {
        let tenant = TenantId::new();
        assert_eq!(tenant.to_string().parse(), Ok(tenant));
        let refused = tenant.to_string().parse::<OrganizationId>().unwrap_err();
        assert_eq!(refused.to_string(), "expected an id starting with `org_` and 26 characters after it");
    }

    #[test]
    fn prefixes_are_unique_and_sorted() {
        assert!(PREFIXES.windows(2).all(|pair| pair[0] < pair[1]), "{PREFIXES:?}");
    }

    #[test]
    fn names_that_look_like_ids_are_seen() {
        assert!(looks_like_an_id(&FileId::new().to_string()));
        assert!(!looks_like_an_id("ten_green_bottles"));
        assert!(!looks_like_an_id("file"));
    }
}
