//! Guards: a handler that takes one can't run without the check behind it.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use futures::future::LocalBoxFuture;
use rowhouse_domain::{OrganizationId, TenantId};
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{ApiError, ApiPath};

use super::caller::{self, Caller, Principal};
use crate::context::Context;
use crate::organizations::{self, Organization};
use crate::tenants::{self, Tenant};

/// A caller with a platform key.
pub(crate) struct PlatformAdmin(pub(crate) Caller);

impl FromRequest for PlatformAdmin {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(caller::of(request).and_then(platform_admin).map_err(ApiError))
    }
}

fn platform_admin(caller: Caller) -> Result<PlatformAdmin> {
    match caller.principal {
        Principal::Platform(_) => Ok(PlatformAdmin(caller)),
        Principal::Organization { .. } => Err(Error::new(Code::WrongKeyKind, "Only a platform key is accepted here.")),
    }
}

/// A caller that may know the organization `{org}`, which exists.
pub(crate) struct OrganizationAccess {
    pub(crate) caller: Caller,
    pub(crate) organization: Organization,
}

impl FromRequest for OrganizationAccess {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { organization_access(&request).await.map_err(ApiError) })
    }
}

async fn organization_access(request: &HttpRequest) -> Result<OrganizationAccess> {
    let caller = caller::of(request)?;
    let id: OrganizationId = ApiPath::named(request, "org")?;
    tracing::Span::current().record("org.id", tracing::field::display(id));
    let not_found = || Error::not_found("organization", id);
    if !caller.may_see(id) {
        return Err(not_found());
    }
    let connection = context(request)?.platform.get().await?;
    let organization = organizations::store::find(&connection, id).await?.ok_or_else(not_found)?;
    Ok(OrganizationAccess { caller, organization })
}

/// A caller that may know the tenant `{ten}`, which exists.
pub(crate) struct TenantAccess {
    pub(crate) caller: Caller,
    pub(crate) tenant: Tenant,
}

impl FromRequest for TenantAccess {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { tenant_access(&request).await.map_err(ApiError) })
    }
}

async fn tenant_access(request: &HttpRequest) -> Result<TenantAccess> {
    let caller = caller::of(request)?;
    let id: TenantId = ApiPath::named(request, "ten")?;
    tracing::Span::current().record("tenant.id", tracing::field::display(id));
    let connection = context(request)?.platform.get().await?;
    let tenant = tenants::store::find(&connection, id)
        .await?
        .filter(|tenant| caller.may_see(tenant.organization_id))
        .ok_or_else(|| Error::not_found("tenant", id))?;
    if tenant.is_purged() {
        return Err(Error::new(Code::Gone, format!("Tenant {id} was deleted and its data purged.")));
    }
    Ok(TenantAccess { caller, tenant })
}

fn context(request: &HttpRequest) -> Result<&web::Data<Context>> {
    request.app_data::<web::Data<Context>>().ok_or_else(|| Error::internal("the application has no context"))
}
