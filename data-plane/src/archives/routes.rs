//! HTTP in and out.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Data;
use rowhouse_domain::FolderId;
use rowhouse_web::{ApiPath, ApiResult, ProblemDocument};

use super::plan;
use crate::authentication::Reader;
use crate::files::attachment;
use crate::state::AppState;

/// Downloads a folder with everything in it as a ZIP archive.
#[utoipa::path(
    get,
    path = "/v1/folders/{fld}/zip",
    operation_id = "get_folder_zip",
    tag = "folders",
    params(("fld" = String, Path)),
    responses(
        (status = 200, description = "The archive, as it is being written: its length is not known before. One that ends without the last chunk is not whole.", body = String, content_type = "application/zip"),
        (status = 404, description = "There is none of this id.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "It holds more than 100,000 folders and files.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Too many archives are being sent: `Retry-After` says when to come back.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["read_files"]))
)]
pub async fn get_folder_zip(state: Data<AppState>, reader: Reader, id: ApiPath<FolderId>) -> ApiResult<HttpResponse> {
    let (name, archive) = plan(&state, &reader, id.0).await?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/zip"))
        .insert_header((header::CONTENT_DISPOSITION, attachment(&format!("{name}.zip"))))
        .insert_header((header::CACHE_CONTROL, "private, no-store"))
        .streaming(archive.bytes()))
}
