//! What a tenant and its organization can be, and which changes of state exist.

use crate::text_enum::text_enum;

text_enum! {
    /// How far a tenant's data is kept from its neighbours'.
    Isolation {
        /// A database of its own (the default).
        Dedicated = "dedicated",
        /// A schema of its own in a database that several tenants live in.
        Schema = "schema",
        /// Rows among others', told apart by row-level security.
        Shared = "shared",
    }
}

text_enum! {
    /// Where a tenant is in its life.
    TenantStatus {
        /// Its role and database are being made.
        Provisioning = "provisioning",
        /// It serves.
        Active = "active",
        /// Switched off by its organization.
        Inactive = "inactive",
        /// Switched off by the platform.
        Suspended = "suspended",
        /// Gone for its users, kept for the retention period.
        Deleted = "deleted",
        /// Gone; this row is its tombstone.
        Purged = "purged",
        /// Provisioning gave up.
        Failed = "failed",
    }
}

impl TenantStatus {
    /// The one transition table: whether a tenant in this state may move to `next`.
    pub const fn can_become(self, next: Self) -> bool {
        use TenantStatus::{Active, Deleted, Failed, Inactive, Provisioning, Purged, Suspended};
        match self {
            Provisioning => matches!(next, Active | Failed | Deleted),
            Active => matches!(next, Inactive | Suspended | Deleted),
            Inactive => matches!(next, Active | Suspended | Deleted),
            Suspended => matches!(next, Active | Deleted),
            Deleted => matches!(next, Active | Suspended | Inactive | Purged),
            Failed => matches!(next, Provisioning | Deleted),
            Purged => false,
        }
    }
}

text_enum! {
    /// What kind of customer a tenant is to its organization.
    TenantType {
        /// A large customer.
        Enterprise = "enterprise",
        /// An ordinary one.
        Standard = "standard",
        /// Trying the product out.
        Trial = "trial",
        /// For showing the product.
        Demo = "demo",
    }
}

text_enum! {
    /// An organization's standing, which follows its subscription.
    OrganizationStatus {
        /// In good standing.
        Active = "active",
        /// Its keys and tenants are refused until it is settled.
        Suspended = "suspended",
        /// It left; its keys and tenants are refused.
        Cancelled = "cancelled",
    }
}

text_enum! {
    /// A subscription tier: default limits and feature flags.
    Tier {
        /// Free of charge.
        Free = "free",
        /// The first paid tier.
        Startup = "startup",
        /// For companies.
        Business = "business",
        /// By contract.
        Enterprise = "enterprise",
    }
}

text_enum! {
    /// What a person may do in an organization.
    MemberRole {
        /// Everything; an organization always has one.
        Owner = "owner",
        /// Everything but removing owners.
        Admin = "admin",
        /// What the permissions say.
        Member = "member",
    }
}

text_enum! {
    /// Where a membership stands.
    MemberStatus {
        /// In force.
        Active = "active",
        /// Invited, not yet accepted.
        Invited = "invited",
        /// Switched off.
        Suspended = "suspended",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_the_tombstone_and_nothing_skips_the_trash() {
        for &next in TenantStatus::ALL {
            assert!(!TenantStatus::Purged.can_become(next));
            assert_eq!(next.can_become(TenantStatus::Purged), next == TenantStatus::Deleted);
        }
    }

    #[test]
    fn unknown_text_names_what_exists() {
        let error = "premium".parse::<Tier>().unwrap_err();
        assert_eq!(error.to_string(), "expected one of `free`, `startup`, `business`, `enterprise`");
    }
}
