//! Names of buckets. Pure.
//!
//! Every workspace has the name `wrk-…`: its id with a hyphen, as bucket names have no underscore. One whose
//! `unique_identifier` is a name that S3 allows goes by that as well, and is listed under it.

use rowhouse_domain::WorkspaceId;

/// What a bucket's name says of its workspace.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// Its id.
    Id(WorkspaceId),
    /// Its `unique_identifier`.
    Identifier(String),
}

/// Reads a name.
pub(super) fn read(name: &str) -> Named {
    let id = name.strip_prefix("wrk-").and_then(|rest| format!("wrk_{rest}").parse().ok());
    id.map_or_else(|| Named::Identifier(name.to_owned()), Named::Id)
}

/// The name that a workspace is listed under.
pub(super) fn name(id: WorkspaceId, identifier: Option<&str>) -> String {
    match identifier.filter(|text| is_allowed(text)) {
        Some(identifier) => identifier.to_owned(),
        None => id.to_string().replace('_', "-"),
    }
}

/// As S3 has it, but for dots, which don't go with TLS; and never what could be taken for an id.
pub(super) fn is_allowed(text: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (3..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && edge(text.bytes().next())
        && edge(text.bytes().last())
        && !text.starts_with("wrk-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back_to_its_workspace() {
        let id = WorkspaceId::new();
        assert_eq!(read(&name(id, None)), Named::Id(id));
        assert_eq!(read(&name(id, Some("reports-2026"))), Named::Identifier("reports-2026".to_owned()));
        for unfit in ["ab", "Reports", "a_b", "a.b", "-ab", "ab-", "wrk-other", &"x".repeat(64)] {
            assert_eq!(read(&name(id, Some(unfit))), Named::Id(id), "{unfit}");
        }
    }
}
