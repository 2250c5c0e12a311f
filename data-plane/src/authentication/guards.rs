//! Guards: a handler that takes one can't run for a caller without its scope.

use std::future::{Ready, ready};
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use rowhouse_domain::Scope;
use rowhouse_keys::KeyKind;
use rowhouse_problem::Error;
use rowhouse_web::ApiError;

use super::caller::Caller;
use super::refusal::{Circumstances, Refusal};
use crate::state::AppState;

macro_rules! guards {
    ($($(#[$doc:meta])* $name:ident requires $scope:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name(Caller);

        impl $name {
            /// The scope that this guard stands for.
            pub const SCOPE: Scope = Scope::$scope;
        }

        impl Deref for $name {
            type Target = Caller;

            fn deref(&self) -> &Caller {
                &self.0
            }
        }

        impl FromRequest for $name {
            type Error = ApiError;
            type Future = Ready<Result<Self, ApiError>>;

            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                ready(caller_with(request, Self::SCOPE).map(Self).map_err(ApiError))
            }
        }
    )+};
}

guards! {
    /// May read and search.
    Reader requires ReadFiles;
    /// May create and change folders and files.
    Writer requires WriteFiles;
    /// May create, change and delete workspaces.
    WorkspaceManager requires ManageWorkspaces;
    /// May read usage figures.
    UsageReader requires ReadUsage;
}

fn caller_with(request: &HttpRequest, scope: Scope) -> Result<Caller, Error> {
    let extensions = request.extensions();
    let caller = extensions.get::<Caller>().ok_or_else(|| Error::internal("a route without authentication"))?;
    let Err(error) = caller.require(scope) else { return Ok(caller.clone()) };
    let state = request.app_data::<Data<AppState>>().ok_or_else(|| Error::internal("the application has no state"))?;
    let refusal = Refusal::of(error, caller.facts());
    let circumstances = Circumstances::of(request, KeyKind::Tenant, &caller.facts().prefix);
    state.refusals.record(&state.platform, circumstances, &refusal);
    Err(refusal.error)
}
