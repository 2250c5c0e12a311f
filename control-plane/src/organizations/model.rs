//! What an organization is, and which requests about it are valid.

use jiff::Timestamp;
use rowhouse_domain::{OrganizationId, OrganizationName, OrganizationStatus, Tier};
use rowhouse_problem::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::input::{self, Complaints, present};

/// A customer of the product.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Organization {
    /// The organization's id.
    #[schema(value_type = String, example = "org_01jz3x5v8qf6k9m2n4p7r0s1t3")]
    pub(crate) id: OrganizationId,
    /// Its name.
    #[schema(example = "Acme")]
    pub(crate) name: String,
    /// Its name as people are shown it.
    pub(crate) display_name: String,
    /// Its host name.
    pub(crate) domain: Option<String>,
    /// `free`, `startup`, `business` or `enterprise`.
    #[schema(value_type = String, example = "free")]
    pub(crate) subscription_tier: Tier,
    /// `active`, `suspended` or `cancelled`.
    #[schema(value_type = String, example = "active")]
    pub(crate) subscription_status: OrganizationStatus,
    /// The organization's own standing, which is its subscription's.
    #[schema(value_type = String, example = "active")]
    pub(crate) status: OrganizationStatus,
    /// Why it is not active.
    pub(crate) status_reason: Option<String>,
    /// Its contact.
    pub(crate) email: Option<String>,
    /// The contact's id at the identity provider.
    pub(crate) user_id: Option<String>,
    /// Whom to ask about technical matters.
    pub(crate) technical_contact: Option<String>,
    /// Bytes that all its tenants together may store.
    pub(crate) storage_quota: i64,
    /// Bytes that they store.
    pub(crate) used_storage: i64,
    /// Bytes set aside for uploads that are running and, in blocks, for those to come.
    pub(crate) reserved_storage: i64,
    /// Workspaces that a tenant may have.
    pub(crate) max_workspaces: i32,
    /// Members that it may have.
    pub(crate) max_members: i32,
    /// Tenants that it may have.
    pub(crate) max_tenants: i32,
    /// What the prefixes of its API keys start with.
    pub(crate) api_key_prefix: String,
    /// Settings about security.
    #[schema(value_type = Object)]
    pub(crate) security_settings: Value,
    /// What is switched on: the tier's flags and its own.
    #[schema(value_type = Object)]
    pub(crate) feature_flags: Value,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// When it was last changed; its entity tag follows this.
    pub(crate) updated_at: Timestamp,
}

/// What a tier gives.
#[derive(Debug, Clone)]
pub(crate) struct TierLimits {
    pub(crate) storage_quota: i64,
    pub(crate) max_workspaces: i32,
    pub(crate) max_members: i32,
    pub(crate) max_tenants: i32,
    pub(crate) feature_flags: Value,
}

/// The body of a creation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateOrganization {
    #[schema(example = "Acme")]
    name: String,
    display_name: Option<String>,
    domain: Option<String>,
    #[schema(example = "ops@acme.example")]
    email: String,
    user_id: Option<String>,
    technical_contact: Option<String>,
    /// `free` (the default), `startup`, `business` or `enterprise`.
    #[schema(value_type = Option<String>)]
    subscription_tier: Option<Tier>,
    /// The tier's, unless given; so for the other limits.
    storage_quota: Option<i64>,
    max_workspaces: Option<i32>,
    max_members: Option<i32>,
    max_tenants: Option<i32>,
    #[schema(value_type = Option<Object>)]
    security_settings: Option<Map<String, Value>>,
    #[schema(value_type = Option<Object>)]
    feature_flags: Option<Map<String, Value>>,
}

/// An organization that does not exist yet.
#[derive(Debug)]
pub(crate) struct NewOrganization {
    pub(super) id: OrganizationId,
    pub(super) name: String,
    pub(super) display_name: String,
    pub(super) domain: Option<String>,
    pub(super) email: String,
    pub(super) user_id: Option<String>,
    pub(super) technical_contact: Option<String>,
    pub(super) subscription_tier: Tier,
    pub(super) storage_quota: Option<i64>,
    pub(super) max_workspaces: Option<i32>,
    pub(super) max_members: Option<i32>,
    pub(super) max_tenants: Option<i32>,
    pub(super) api_key_prefix: String,
    pub(super) security_settings: Value,
    pub(super) feature_flags: Value,
}

impl NewOrganization {
    /// Reads a creation, naming everything that is wrong with it.
    pub(super) fn parse(body: CreateOrganization) -> Result<Self> {
        let mut complaints = Complaints::default();
        let name = complaints.take("/name", OrganizationName::parse(&body.name));
        let display_name = complaints.take_opt("/display_name", body.display_name, |text| input::text(&text, 200));
        let domain = complaints.take_opt("/domain", body.domain, |text| input::hostname(&text));
        let email = complaints.take("/email", input::email(&body.email));
        let user_id = complaints.take_opt("/user_id", body.user_id, |text| input::text(&text, 200));
        let technical_contact =
            complaints.take_opt("/technical_contact", body.technical_contact, |text| input::text(&text, 254));
        let storage_quota = complaints.take_opt("/storage_quota", body.storage_quota, input::not_negative);
        let max_workspaces = complaints.take_opt("/max_workspaces", body.max_workspaces, input::not_negative);
        let max_members = complaints.take_opt("/max_members", body.max_members, at_least_one);
        let max_tenants = complaints.take_opt("/max_tenants", body.max_tenants, input::not_negative);
        let security_settings =
            complaints.take("/security_settings", input::object(body.security_settings.unwrap_or_default()));
        let feature_flags = complaints.take("/feature_flags", input::object(body.feature_flags.unwrap_or_default()));
        let read = name.zip(email).zip(security_settings).zip(feature_flags);
        let (((name, email), security_settings), feature_flags) = complaints.finish_with(read)?;
        let id = OrganizationId::new();
        Ok(Self {
            id,
            api_key_prefix: api_key_prefix(name.as_str(), id),
            display_name: display_name.unwrap_or_else(|| name.as_str().to_owned()),
            name: name.as_str().to_owned(),
            domain,
            email,
            user_id,
            technical_contact,
            subscription_tier: body.subscription_tier.unwrap_or(Tier::Free),
            storage_quota,
            max_workspaces,
            max_members,
            max_tenants,
            security_settings,
            feature_flags,
        })
    }
}

fn at_least_one(value: i32) -> Result<i32, &'static str> {
    if value >= 1 { Ok(value) } else { Err("must be at least 1") }
}

/// Letters of the name, then random digits of the id: readable, and different for each organization.
fn api_key_prefix(name: &str, id: OrganizationId) -> String {
    const LETTERS: usize = 12;
    let letters: String =
        rowhouse_domain::names::slug(name).chars().filter(|letter| *letter != '_').take(LETTERS).collect();
    let digits = id.as_uuid().simple().to_string();
    // The first digits of a UUIDv7 are the time; the last are random.
    format!("{letters}{}", &digits[24..])
}

/// The body of a change; what is absent stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PatchOrganization {
    name: Option<String>,
    display_name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    domain: Option<Option<String>>,
    email: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    user_id: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    technical_contact: Option<Option<String>>,
    /// Limits and flags that were the old tier's become the new tier's.
    #[schema(value_type = Option<String>)]
    subscription_tier: Option<Tier>,
    /// `active`, `suspended` or `cancelled`.
    #[schema(value_type = Option<String>)]
    subscription_status: Option<OrganizationStatus>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    status_reason: Option<Option<String>>,
    storage_quota: Option<i64>,
    max_workspaces: Option<i32>,
    max_members: Option<i32>,
    max_tenants: Option<i32>,
    #[schema(value_type = Option<Object>)]
    security_settings: Option<Map<String, Value>>,
    #[schema(value_type = Option<Object>)]
    feature_flags: Option<Map<String, Value>>,
}

impl PatchOrganization {
    /// The tier that is asked for.
    pub(super) fn tier(&self) -> Option<Tier> {
        self.subscription_tier
    }

    /// The organization after the change, or everything that is wrong with it.
    pub(super) fn apply(self, current: &Organization) -> Result<Organization> {
        let mut next = current.clone();
        let mut complaints = Complaints::default();
        let name = complaints.take_opt("/name", self.name, |text| OrganizationName::parse(&text));
        set(&mut next.name, name.map(|name| name.as_str().to_owned()));
        set(
            &mut next.display_name,
            complaints.take_opt("/display_name", self.display_name, |text| input::text(&text, 200)),
        );
        let domain = self.domain.map(|text| complaints.take_opt("/domain", text, |text| input::hostname(&text)));
        set(&mut next.domain, domain);
        set(&mut next.email, complaints.take_opt("/email", self.email, |text| input::email(&text)).map(Some));
        let user_id = self.user_id.map(|text| complaints.take_opt("/user_id", text, |text| input::text(&text, 200)));
        set(&mut next.user_id, user_id);
        let contact = self
            .technical_contact
            .map(|text| complaints.take_opt("/technical_contact", text, |text| input::text(&text, 254)));
        set(&mut next.technical_contact, contact);
        set(&mut next.subscription_tier, self.subscription_tier);
        set(&mut next.subscription_status, self.subscription_status);
        let reason =
            self.status_reason.map(|text| complaints.take_opt("/status_reason", text, |text| input::text(&text, 500)));
        set(&mut next.status_reason, reason);
        set(&mut next.storage_quota, complaints.take_opt("/storage_quota", self.storage_quota, input::not_negative));
        set(&mut next.max_workspaces, complaints.take_opt("/max_workspaces", self.max_workspaces, input::not_negative));
        set(&mut next.max_members, complaints.take_opt("/max_members", self.max_members, at_least_one));
        set(&mut next.max_tenants, complaints.take_opt("/max_tenants", self.max_tenants, input::not_negative));
        set(
            &mut next.security_settings,
            complaints.take_opt("/security_settings", self.security_settings, input::object),
        );
        set(&mut next.feature_flags, complaints.take_opt("/feature_flags", self.feature_flags, input::object));
        complaints.finish()?;
        Ok(next)
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

impl Organization {
    /// Moves what was the old tier's to what is the new one's; what the organization overrode stays.
    pub(super) fn follow_tier(&mut self, old: &TierLimits, new: &TierLimits) {
        follow(&mut self.storage_quota, old.storage_quota, new.storage_quota);
        follow(&mut self.max_workspaces, old.max_workspaces, new.max_workspaces);
        follow(&mut self.max_members, old.max_members, new.max_members);
        follow(&mut self.max_tenants, old.max_tenants, new.max_tenants);
        let mut flags = new.feature_flags.as_object().cloned().unwrap_or_default();
        for (name, value) in self.feature_flags.as_object().into_iter().flatten() {
            if old.feature_flags.get(name) != Some(value) {
                flags.insert(name.clone(), value.clone());
            }
        }
        self.feature_flags = Value::Object(flags);
    }
}

fn follow<T: PartialEq>(value: &mut T, old: T, new: T) {
    if *value == old {
        *value = new;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn body(value: Value) -> CreateOrganization {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn everything_wrong_is_named() {
        let refused = NewOrganization::parse(body(json!({
            "name": "", "email": "nobody", "domain": "localhost", "storage_quota": -1, "max_members": 0
        })));
        let pointers: Vec<String> = refused.unwrap_err().fields().iter().map(|field| field.pointer.clone()).collect();
        assert_eq!(pointers, ["/name", "/domain", "/email", "/storage_quota", "/max_members"]);
    }

    #[test]
    fn key_prefixes_are_readable_and_differ() {
        let first = NewOrganization::parse(body(json!({"name": "Acme Corp.", "email": "a@acme.example"}))).unwrap();
        let second = NewOrganization::parse(body(json!({"name": "Acme Corp.", "email": "b@acme.example"}))).unwrap();
        assert!(first.api_key_prefix.starts_with("acmecorp") && first.api_key_prefix.len() <= 20);
        assert_ne!(first.api_key_prefix, second.api_key_prefix);
    }

    #[test]
    fn a_new_tier_changes_what_was_not_overridden() {
        let limits = |quota, flag| TierLimits {
            storage_quota: quota,
            max_workspaces: 1,
            max_members: 1,
            max_tenants: 1,
            feature_flags: json!({"custom_domain": flag}),
        };
        let mut organization: Organization = serde_json::from_value(json!({
            "id": OrganizationId::new(), "name": "a", "display_name": "a", "subscription_tier": "free",
            "subscription_status": "active", "status": "active", "storage_quota": 10, "used_storage": 0,
            "reserved_storage": 0, "max_workspaces": 7, "max_members": 1, "max_tenants": 1, "api_key_prefix": "a",
            "security_settings": {}, "feature_flags": {"custom_domain": false, "own": 1},
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"
        }))
        .unwrap();
        organization.follow_tier(&limits(10, false), &limits(20, true));
        assert_eq!((organization.storage_quota, organization.max_workspaces), (20, 7));
        assert_eq!(organization.feature_flags, json!({"custom_domain": true, "own": 1}));
    }
}
