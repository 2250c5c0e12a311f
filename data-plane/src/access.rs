//! Who may call what: every route of the data plane with the scope that it takes, in one place.
//!
//! Tests compare this table with the OpenAPI document and call each route with keys of every kind.

use rowhouse_domain::Scope;

/// A route and what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The HTTP method.
    pub method: &'static str,
    /// The path, ids as `{…}`.
    pub path: &'static str,
    /// The scope that a tenant key needs; none where the address is signed and no key is asked for.
    pub scope: Option<Scope>,
}

const fn takes(method: &'static str, path: &'static str, scope: Scope) -> Access {
    Access { method, path, scope: Some(scope) }
}

const fn signed(method: &'static str, path: &'static str) -> Access {
    Access { method, path, scope: None }
}

/// Every route under `/v1`.
pub const TABLE: &[Access] = &[
    takes("POST", "/v1/workspaces", Scope::ManageWorkspaces),
    takes("GET", "/v1/workspaces", Scope::ReadFiles),
    takes("GET", "/v1/workspaces/{wrk}", Scope::ReadFiles),
    takes("PATCH", "/v1/workspaces/{wrk}", Scope::ManageWorkspaces),
    takes("DELETE", "/v1/workspaces/{wrk}", Scope::ManageWorkspaces),
    takes("POST", "/v1/workspaces/{wrk}/restore", Scope::ManageWorkspaces),
    takes("POST", "/v1/folders", Scope::WriteFiles),
    takes("GET", "/v1/folders", Scope::ReadFiles),
    takes("GET", "/v1/folders/{fld}", Scope::ReadFiles),
    takes("GET", "/v1/folders/{fld}/ancestors", Scope::ReadFiles),
    takes("PATCH", "/v1/folders/{fld}", Scope::WriteFiles),
    takes("DELETE", "/v1/folders/{fld}", Scope::WriteFiles),
    takes("POST", "/v1/folders/{fld}/restore", Scope::WriteFiles),
    takes("GET", "/v1/folders/{fld}/zip", Scope::ReadFiles),
    takes("POST", "/v1/folders/{fld}/copy", Scope::WriteFiles),
    takes("POST", "/v1/content-keys", Scope::ManageWorkspaces),
    takes("GET", "/v1/content-keys", Scope::ManageWorkspaces),
    takes("GET", "/v1/jobs", Scope::ReadFiles),
    takes("GET", "/v1/jobs/{job}", Scope::ReadFiles),
    takes("POST", "/v1/jobs/{job}/cancel", Scope::WriteFiles),
    takes("POST", "/v1/files", Scope::WriteFiles),
    takes("GET", "/v1/files", Scope::ReadFiles),
    takes("POST", "/v1/files/batch", Scope::WriteFiles),
    takes("GET", "/v1/files/{fil}", Scope::ReadFiles),
    takes("PATCH", "/v1/files/{fil}", Scope::WriteFiles),
    takes("DELETE", "/v1/files/{fil}", Scope::WriteFiles),
    takes("POST", "/v1/files/{fil}/restore", Scope::WriteFiles),
    takes("POST", "/v1/files/{fil}/copy", Scope::WriteFiles),
    takes("GET", "/v1/files/{fil}/content", Scope::ReadFiles),
    takes("HEAD", "/v1/files/{fil}/content", Scope::ReadFiles),
    takes("PUT", "/v1/files/{fil}/content", Scope::WriteFiles),
    takes("GET", "/v1/files/{fil}/versions", Scope::ReadFiles),
    takes("GET", "/v1/files/{fil}/versions/{version}", Scope::ReadFiles),
    takes("DELETE", "/v1/files/{fil}/versions/{version}", Scope::WriteFiles),
    takes("POST", "/v1/files/{fil}/versions/{version}/restore", Scope::WriteFiles),
    takes("POST", "/v1/files/{fil}/links", Scope::ReadFiles),
    takes("DELETE", "/v1/files/{fil}/links", Scope::WriteFiles),
    takes("OPTIONS", "/v1/uploads", Scope::WriteFiles),
    takes("POST", "/v1/uploads", Scope::WriteFiles),
    takes("HEAD", "/v1/uploads/{upl}", Scope::WriteFiles),
    takes("PATCH", "/v1/uploads/{upl}", Scope::WriteFiles),
    takes("DELETE", "/v1/uploads/{upl}", Scope::WriteFiles),
    takes("POST", "/v1/upload-links", Scope::WriteFiles),
    takes("GET", "/v1/links", Scope::ReadFiles),
    takes("DELETE", "/v1/links", Scope::WriteFiles),
    takes("DELETE", "/v1/links/{lnk}", Scope::ReadFiles),
    signed("GET", "/v1/links/{lnk}/content"),
    signed("HEAD", "/v1/links/{lnk}/content"),
    signed("PUT", "/v1/links/{lnk}/content"),
    takes("GET", "/v1/search", Scope::ReadFiles),
    takes("GET", "/v1/usage", Scope::ReadUsage),
];
