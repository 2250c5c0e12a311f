//! Who did something: kind and id, kept with everything that is made or changed.

use uuid::Uuid;

use crate::text_enum::text_enum;

text_enum! {
    /// What kind of party acts.
    ActorKind {
        /// Rowhouse itself.
        System = "system",
        /// A platform admin's key.
        PlatformKey = "platform_key",
        /// An organization's key.
        OrganizationKey = "organization_key",
        /// A tenant's key.
        TenantKey = "tenant_key",
        /// A person.
        User = "user",
        /// Nobody that could be told.
        Anonymous = "anonymous",
    }
}

/// The party behind a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// What it is.
    pub kind: ActorKind,
    /// Which one; none for the system and the anonymous.
    pub id: Option<Uuid>,
}

impl Actor {
    /// Rowhouse itself: reconcilers, workers, start-up.
    pub const SYSTEM: Self = Self { kind: ActorKind::System, id: None };
}
