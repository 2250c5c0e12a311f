//! Reading an operation.

use actix_web::{HttpResponse, web};
use rowhouse_domain::OperationId;
use rowhouse_problem::Error;
use rowhouse_web::{ApiPath, ApiResult};

use super::model::Operation;
use super::store;
use crate::authentication::Caller;
use crate::context::Context;
use crate::problems::Problems;

/// Read an operation.
#[utoipa::path(get, path = "/v1/operations/{op}", tag = "operations",
    params(("op" = String, Path, description = "The operation's id.")),
    responses((status = 200, body = Operation), Problems))]
pub(crate) async fn get_operation(
    caller: Caller,
    context: web::Data<Context>,
    id: ApiPath<OperationId>,
) -> ApiResult<HttpResponse> {
    let operation = store::find(&context.platform.get().await?, id.0).await?;
    // What belongs to no organization is the platform's alone.
    let visible = operation.filter(|operation| match operation.organization_id {
        Some(organization) => caller.may_see(organization),
        None => caller.is_platform(),
    });
    Ok(HttpResponse::Ok().json(visible.ok_or_else(|| Error::not_found("operation", id.0))?))
}

/// The answer to a request whose work is not done yet.
pub(crate) fn accepted(operation: &Operation) -> HttpResponse {
    HttpResponse::Accepted()
        .insert_header((actix_web::http::header::LOCATION, format!("/v1/operations/{}", operation.id)))
        .json(operation)
}
