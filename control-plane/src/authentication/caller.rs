//! Who calls.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use rowhouse_domain::{Actor, ActorKind, KeyId, OrganizationId, Scope, Scopes};
use rowhouse_problem::Error;
use rowhouse_web::ApiError;

use crate::audit::Requester;

/// The party behind a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Principal {
    /// A platform admin.
    Platform(KeyId),
    /// An organization, with what its key may do.
    Organization {
        /// The key.
        key: KeyId,
        /// Whose key it is.
        organization: OrganizationId,
        /// What it may do.
        scopes: Scopes,
    },
}

impl Principal {
    /// As the audit log and the rows name it.
    pub(crate) fn actor(&self) -> Actor {
        match self {
            Self::Platform(key) => Actor { kind: ActorKind::PlatformKey, id: Some(key.as_uuid()) },
            Self::Organization { key, .. } => Actor { kind: ActorKind::OrganizationKey, id: Some(key.as_uuid()) },
        }
    }
}

/// A caller whose key was checked and who may call the route.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The party.
    pub(crate) principal: Principal,
    /// What the audit log says about the request.
    pub(crate) requester: Requester,
}

impl Caller {
    /// Whether the organization's things may be known to the caller.
    pub(crate) fn may_see(&self, other: OrganizationId) -> bool {
        match &self.principal {
            Principal::Platform(_) => true,
            Principal::Organization { organization, .. } => *organization == other,
        }
    }

    /// Whether it is a platform admin.
    pub(crate) fn is_platform(&self) -> bool {
        matches!(self.principal, Principal::Platform(_))
    }

    /// Whether the caller could do itself what the scope allows: nobody grants more than that.
    pub(crate) fn holds(&self, scope: Scope) -> bool {
        match &self.principal {
            Principal::Platform(_) => true,
            Principal::Organization { scopes, .. } => scopes.allow(scope),
        }
    }
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(of(request).map_err(ApiError))
    }
}

/// The caller that the middleware let in.
pub(super) fn of(request: &HttpRequest) -> Result<Caller, Error> {
    // Missing only where a route is not in the access table: then nobody may call it.
    request
        .extensions()
        .get::<Caller>()
        .cloned()
        .ok_or_else(|| Error::internal("the route has no row in the access table"))
}
