//! What an API key may do.

use std::collections::BTreeSet;

use crate::text_enum::text_enum;

text_enum! {
    /// One permission of an API key.
    Scope {
        /// Everything in the control plane (platform keys).
        PlatformAdmin = "platform_admin",
        /// Create, change, suspend and delete the organization's tenants.
        ManageTenants = "manage_tenants",
        /// Invite, change and remove the organization's members.
        ManageMembers = "manage_members",
        /// Create and revoke keys of the organization and its tenants.
        ManageApiKeys = "manage_api_keys",
        /// Read usage figures.
        ReadUsage = "read_usage",
        /// Read and search workspaces, folders and files.
        ReadFiles = "read_files",
        /// Create and change folders and files.
        WriteFiles = "write_files",
        /// Create, change and delete workspaces.
        ManageWorkspaces = "manage_workspaces",
    }
}

impl Scope {
    /// What an organization key can be given.
    pub const ORGANIZATION: &'static [Self] =
        &[Self::ManageTenants, Self::ManageMembers, Self::ManageApiKeys, Self::ReadUsage];
    /// What a tenant key can be given.
    pub const TENANT: &'static [Self] = &[Self::ReadFiles, Self::WriteFiles, Self::ManageWorkspaces, Self::ReadUsage];
}

/// A key's scopes, without repeats and in a fixed order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Whether `scope` is among them.
    pub fn allow(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    /// Reads scope texts, skipping those that this release does not know: an unknown scope grants nothing.
    pub fn from_texts<T: AsRef<str>>(texts: &[T]) -> Self {
        Self(texts.iter().filter_map(|text| text.as_ref().parse().ok()).collect())
    }

    /// The texts, for a `text[]` column or an answer.
    pub fn to_texts(&self) -> Vec<String> {
        self.0.iter().map(|scope| scope.as_str().to_owned()).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}
