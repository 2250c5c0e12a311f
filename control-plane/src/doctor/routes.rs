//! HTTP in and out for the doctor.

use actix_web::{HttpResponse, web};
use rowhouse_database::Sql;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{ApiJson, ApiResult, Prefer};

use super::finding::Report;
use super::inspect::Examination;
use crate::audit::{self, Change};
use crate::authentication::PlatformAdmin;
use crate::context::Context;
use crate::operations::routes::accepted;
use crate::operations::{self, Operation, OperationState};
use crate::problems::Problems;
use crate::{clusters, tenants};

/// Compare what is recorded with what each cluster has, and repair what is safe where `fix` says so.
#[utoipa::path(post, path = "/v1/doctor", tag = "operations", request_body = Examination,
    params(("Prefer" = Option<String>, Header, description = "`wait=N`: seconds to wait for the report (default 10); `respond-async`.")),
    responses((status = 200, body = Report),
        (status = 202, body = Operation, description = "It is still looking; the report will be the operation's `result`.", headers(("Location" = String))), Problems))]
pub(crate) async fn examine(
    admin: PlatformAdmin,
    context: web::Data<Context>,
    prefer: Prefer,
    body: ApiJson<Examination>,
) -> ApiResult<HttpResponse> {
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    check(&tx, &body.0).await?;
    let input = serde_json::to_value(&body.0).map_err(Error::internal)?;
    let requester = &admin.0.requester;
    let Some(id) = operations::store::enqueue_doctor(&tx, &input, requester).await? else {
        let detail = "An examination is running. Read its operation, or ask again when it is done.";
        return Err(Error::new(Code::RequestInFlight, detail).into());
    };
    if body.0.fix {
        audit::append(&tx, requester, &Change::new("operation.fix", id.as_uuid()).after(&input)).await?;
    }
    tx.commit().await?;
    drop(connection);
    context.pulse.wake();
    let patience = prefer.wait_or(context.settings.provisioning.wait);
    if let Some(operation) = operations::wait(&context, id, patience).await? {
        if operation.state == OperationState::Failed {
            let detail = format!("The examination failed; operation {id} says why.");
            return Err(Error::new(Code::Unavailable, detail).into());
        }
        return Ok(accepted(&operation));
    }
    let operation = operations::store::find(&context.platform.get().await?, id).await?;
    let operation = operation.ok_or_else(|| Error::not_found("operation", id))?;
    Ok(HttpResponse::Ok().json(operation.result))
}

/// That nothing differs where there is nothing would be taken for good news.
async fn check(db: &impl Sql, wanted: &Examination) -> Result<()> {
    if let Some(name) = &wanted.cluster
        && clusters::store::find_by_name(db, name).await?.is_none()
    {
        return Err(Error::invalid_field("/cluster", "there is no cluster of this name"));
    }
    if let Some(tenant) = wanted.tenant
        && tenants::store::find(db, tenant).await?.is_none()
    {
        return Err(Error::invalid_field("/tenant", "there is no such tenant"));
    }
    Ok(())
}
