//! Every code that a client can meet, one line each. Codes are API: append, never rename.

macro_rules! catalogue {
    ($($variant:ident $code:literal $status:literal $title:literal;)+) => {
        /// What happened, as a client tells it apart.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the title of each variant is its documentation")]
        pub enum Code {
            $($variant),+
        }

        impl Code {
            /// Every code, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable text of the code.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// The HTTP status that the code answers with (RFC 9110 §15).
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status),+ }
            }

            /// A sentence that is the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }
        }
    };
}

catalogue! {
    MalformedJson "malformed_json" 400 "The body is not valid JSON";
    MalformedId "malformed_id" 400 "The id cannot be read";
    MalformedCursor "malformed_cursor" 400 "The cursor cannot be read";
    MalformedRequest "malformed_request" 400 "The request cannot be read";
    DigestMismatch "digest_mismatch" 400 "The content does not match its checksum";
    MissingCredentials "missing_credentials" 401 "Credentials are missing";
    MalformedKey "malformed_key" 401 "The API key is malformed";
    UnknownKey "unknown_key" 401 "The API key is not valid";
    ExpiredKey "expired_key" 401 "The API key has expired";
    RevokedKey "revoked_key" 401 "The API key has been revoked";
    WrongKeyKind "wrong_key_kind" 401 "This kind of API key is not accepted here";
    MissingScope "missing_scope" 403 "The API key lacks a scope";
    InvalidLink "invalid_link" 403 "The link is not valid";
    ExpiredLink "expired_link" 403 "The link has expired";
    RevokedLink "revoked_link" 403 "The link has been revoked";
    OrganizationSuspended "organization_suspended" 403 "The organization is suspended or cancelled";
    TenantSuspended "tenant_suspended" 403 "The tenant is suspended or inactive";
    FinalUpload "final_upload" 403 "The upload is made of others and takes nothing more";
    TierLimit "tier_limit" 403 "The subscription tier does not allow that";
    NotFound "not_found" 404 "Not found";
    NoSuchRoute "no_such_route" 404 "There is nothing at this address";
    MethodNotAllowed "method_not_allowed" 405 "The method is not allowed here";
    NameTaken "name_taken" 409 "The name is already in use here";
    TenantNameTaken "tenant_name_taken" 409 "The tenant name is already in use";
    ExternalIdTaken "external_id_taken" 409 "The external id is already in use";
    CustomDomainTaken "custom_domain_taken" 409 "The custom domain is already in use";
    EmailTaken "email_taken" 409 "The e-mail address is already in use";
    MemberExists "member_exists" 409 "This person is already a member";
    LastOwner "last_owner" 409 "An organization must keep an owner";
    OrganizationHasTenants "organization_has_tenants" 409 "The organization still has tenants";
    QuotaBelowTenant "quota_below_tenant" 409 "A tenant has a larger quota than that";
    InvalidTransition "invalid_transition" 409 "The change of state is not possible";
    RequestInFlight "request_in_flight" 409 "A request with this Idempotency-Key is still running";
    ClusterRegistered "cluster_registered" 409 "The cluster is registered already";
    ClusterInUse "cluster_in_use" 409 "The cluster still holds tenants";
    JobRunning "job_running" 409 "A job is at work on it";
    MoveIntoItself "move_into_itself" 409 "It can't be moved into itself";
    NotEmpty "not_empty" 409 "It is not empty";
    BatchFailed "batch_failed" 409 "An item of the batch can't be done";
    Gone "gone" 410 "It was purged";
    OffsetMismatch "offset_mismatch" 409 "So many bytes have not come, or more";
    TusVersion "tus_version" 412 "This version of tus is not spoken here";
    PreconditionFailed "precondition_failed" 412 "It has changed since it was read";
    TooLarge "too_large" 413 "The content is too large";
    QuotaExceeded "quota_exceeded" 413 "The storage quota is used up";
    UnsupportedMediaType "unsupported_media_type" 415 "The content type is not supported here";
    RangeNotSatisfiable "range_not_satisfiable" 416 "The range is outside the content";
    InvalidRequest "invalid_request" 422 "The request is not valid";
    IdempotencyMismatch "idempotency_mismatch" 422 "The Idempotency-Key was used with another request";
    MigrationRunning "migration_running" 409 "A run of migrations is under way";
    MigrationRunEnded "migration_run_ended" 409 "The run of migrations is over";
    VersionNotServed "version_not_served" 409 "A data plane that is up does not serve that version";
    LimitReached "limit_reached" 422 "A limit of the subscription is reached";
    PurgeLimit "purge_limit" 429 "Too many tenants were purged lately";
    RateLimited "rate_limited" 429 "Too many requests";
    ProvisioningFailed "provisioning_failed" 503 "The tenant could not be provisioned";
    ChecksumMismatch "checksum_mismatch" 460 "The part does not match its checksum";
    Internal "internal" 500 "Something went wrong on our side";
    Unavailable "unavailable" 503 "The service is not available for the moment";
    TenantNotReady "tenant_not_ready" 503 "The tenant is not ready yet";
    SchemaNotServed "schema_not_served" 503 "The tenant's schema version is not served by this release";
    QuotaUnavailable "quota_unavailable" 503 "The quota cannot be checked for the moment";
    DeadlineExceeded "deadline_exceeded" 504 "The request took too long";
    InsufficientStorage "insufficient_storage" 507 "The storage is full";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_spelled_alike() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{} appears twice", code.as_str());
            assert!(code.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
            assert!((400..600).contains(&code.status()));
        }
    }
}
