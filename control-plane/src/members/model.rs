//! What a member is, and which requests about one are valid.

use jiff::Timestamp;
use rowhouse_domain::{MemberId, MemberRole, MemberStatus, OrganizationId, UserId};
use rowhouse_problem::Result;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::input::{self, Complaints, present};

/// Most permissions of one member: they are short words of the application's own.
const MAX_PERMISSIONS: usize = 100;

/// A person's place in an organization.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Member {
    /// The membership's id.
    #[schema(value_type = String, example = "mem_01jz3x5v8qf6k9m2n4p7r0s1t3")]
    pub(crate) id: MemberId,
    /// Whose member it is.
    #[schema(value_type = String)]
    pub(crate) organization_id: OrganizationId,
    /// The person; empty until an invitation is accepted.
    #[schema(value_type = Option<String>)]
    pub(crate) user_id: Option<UserId>,
    /// Where the invitation went.
    pub(crate) email: String,
    /// What the person is called here.
    pub(crate) name: Option<String>,
    /// `owner`, `admin` or `member`.
    #[schema(value_type = String, example = "member")]
    pub(crate) role: MemberRole,
    /// `active`, `invited` or `suspended`.
    #[schema(value_type = String, example = "invited")]
    pub(crate) status: MemberStatus,
    /// What the person may do beyond the role, in the application's own words.
    pub(crate) permissions: Vec<String>,
    /// When the invitation was made.
    pub(crate) invited_at: Option<Timestamp>,
    /// When it was accepted.
    pub(crate) accepted_at: Option<Timestamp>,
    /// When the person became an active member.
    pub(crate) joined_at: Option<Timestamp>,
    /// When the membership was made.
    pub(crate) created_at: Timestamp,
    /// When it was last changed; its entity tag follows this.
    pub(crate) updated_at: Timestamp,
}

impl Member {
    /// How much of an owner the member is: an active one counts more than an invited one, a suspended one not at all.
    pub(super) fn ownership(&self) -> Ownership {
        match (self.role, self.status) {
            (MemberRole::Owner, MemberStatus::Active) => Ownership::InForce,
            (MemberRole::Owner, MemberStatus::Invited) => Ownership::Invited,
            (MemberRole::Owner, MemberStatus::Suspended) | (MemberRole::Admin | MemberRole::Member, _) => {
                Ownership::None
            }
        }
    }
}

/// See [`Member::ownership`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ownership {
    None,
    Invited,
    InForce,
}

/// The body of a creation: an invitation by `email`, or an existing user by `user_id`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateMember {
    /// Whom to invite; taken from the user where `user_id` is given.
    email: Option<String>,
    /// An existing user, who becomes an active member at once.
    #[schema(value_type = Option<String>)]
    user_id: Option<UserId>,
    name: Option<String>,
    /// `owner`, `admin` or `member` (the default).
    #[schema(value_type = Option<String>)]
    role: Option<MemberRole>,
    #[serde(default)]
    permissions: Vec<String>,
}

/// A member that does not exist yet.
#[derive(Debug)]
pub(super) struct NewMember {
    pub(super) id: MemberId,
    pub(super) email: Option<String>,
    pub(super) user_id: Option<UserId>,
    pub(super) name: Option<String>,
    pub(super) role: MemberRole,
    pub(super) permissions: Vec<String>,
}

impl NewMember {
    /// Reads a creation, naming everything that is wrong with it.
    pub(super) fn parse(body: CreateMember) -> Result<Self> {
        let mut complaints = Complaints::default();
        complaints.require(
            "/email",
            body.email.is_some() != body.user_id.is_some(),
            "give either `email` or `user_id`",
        );
        let email = complaints.take_opt("/email", body.email, |text| input::email(&text));
        let name = complaints.take_opt("/name", body.name, |text| input::text(&text, 200));
        let permissions = complaints.take("/permissions", permissions(body.permissions));
        let permissions = complaints.finish_with(permissions)?;
        let role = body.role.unwrap_or(MemberRole::Member);
        Ok(Self { id: MemberId::new(), email, user_id: body.user_id, name, role, permissions })
    }
}

/// The body of a change; what is absent stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PatchMember {
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    name: Option<Option<String>>,
    /// `owner`, `admin` or `member`.
    #[schema(value_type = Option<String>)]
    role: Option<MemberRole>,
    /// `active` or `suspended`. An invited member who becomes active has joined now.
    #[schema(value_type = Option<String>)]
    status: Option<MemberStatus>,
    permissions: Option<Vec<String>>,
    /// When the person joined, where that was before this record.
    joined_at: Option<Timestamp>,
}

impl PatchMember {
    /// The member after the change, or everything that is wrong with it.
    pub(super) fn apply(self, current: &Member, now: Timestamp) -> Result<Member> {
        let mut next = current.clone();
        let mut complaints = Complaints::default();
        if let Some(name) = self.name {
            next.name = complaints.take_opt("/name", name, |text| input::text(&text, 200));
        }
        if let Some(permissions) = complaints.take_opt("/permissions", self.permissions, permissions) {
            next.permissions = permissions;
        }
        next.role = self.role.unwrap_or(current.role);
        if let Some(status) = self.status {
            let uninvited = status == MemberStatus::Invited && current.status != MemberStatus::Invited;
            complaints.require("/status", !uninvited, "must be `active` or `suspended`: nobody is invited twice");
            next.status = status;
        }
        let joined_at = complaints.take_opt("/joined_at", self.joined_at, input::moment);
        next.joined_at = joined_at.or(current.joined_at);
        let joins = next.status == MemberStatus::Active && next.joined_at.is_none();
        if joins {
            next.joined_at = Some(now);
        }
        complaints.require("/joined_at", next.joined_at.is_none_or(|at| at <= now), "must not be in the future");
        complaints.finish()?;
        Ok(next)
    }
}

fn permissions(mut list: Vec<String>) -> Result<Vec<String>, String> {
    if list.len() > MAX_PERMISSIONS {
        return Err(format!("must be at most {MAX_PERMISSIONS}"));
    }
    let fine = |word: &String| {
        (1..=100).contains(&word.len())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:*".contains(&byte))
    };
    if let Some(bad) = list.iter().find(|word| !fine(word)) {
        let shown: String = bad.chars().take(40).collect();
        return Err(format!("must be words of letters, digits and `_-.:*`, unlike {shown:?}"));
    }
    list.sort_unstable();
    list.dedup();
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_member_is_invited_or_added() {
        for body in [json!({}), json!({"email": "a@example.com", "user_id": UserId::new()})] {
            assert!(NewMember::parse(serde_json::from_value(body).unwrap()).is_err());
        }
        let body = json!({"email": "a@example.com", "permissions": ["b", "a", "b"]});
        assert_eq!(NewMember::parse(serde_json::from_value(body).unwrap()).unwrap().permissions, ["a", "b"]);
    }

    #[test]
    fn whoever_becomes_active_has_joined() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let invited = Member {
            id: MemberId::new(),
            organization_id: OrganizationId::new(),
            user_id: None,
            email: "a@example.com".to_owned(),
            name: None,
            role: MemberRole::Owner,
            status: MemberStatus::Invited,
            permissions: Vec::new(),
            invited_at: Some(now),
            accepted_at: None,
            joined_at: None,
            created_at: now,
            updated_at: now,
        };
        let patch = PatchMember { status: Some(MemberStatus::Active), ..PatchMember::default() };
        let active = patch.apply(&invited, now).unwrap();
        assert_eq!(active.joined_at, Some(now));
        assert!(active.ownership() > invited.ownership());
        let back = PatchMember { status: Some(MemberStatus::Invited), ..PatchMember::default() };
        assert!(back.apply(&active, now).is_err());
    }
}
