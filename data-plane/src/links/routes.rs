//! HTTP in and out of links; what they open has [routes of its own](super::content).

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use rowhouse_domain::{FileId, LinkId, Scope};
use rowhouse_web::{ApiJson, ApiPath, ApiQuery, ApiResult, IdempotencyKey, Listing, ProblemDocument};
use uuid::Uuid;

use super::create::{Wanted, create, hash};
use super::model::{CreateLink, CreateUploadLink, Link, ListLinks, RevokeLinks};
use super::store;
use super::views::LinkView;
use crate::authentication::{Reader, Writer};
use crate::state::AppState;

const UPLOAD_LINKS: &str = "POST /v1/upload-links";

/// Makes a link that downloads a file without a key.
#[utoipa::path(
    post,
    path = "/v1/files/{fil}/links",
    operation_id = "create_link",
    tag = "links",
    params(
        ("fil" = String, Path),
        ("idempotency-key" = Option<String>, Header, description = "Makes a repeated request have one effect."),
    ),
    request_body = CreateLink,
    responses(
        (status = 201, description = "The link with its address.", body = LinkView),
        (status = 404, description = "There is no such file or version.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A field is not valid.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["read_files"]))
)]
pub async fn create_link(
    state: Data<AppState>,
    reader: Reader,
    id: ApiPath<FileId>,
    key: IdempotencyKey,
    request: HttpRequest,
    body: ApiJson<CreateLink>,
) -> ApiResult<HttpResponse> {
    let route = format!("POST /v1/files/{}/links", id.0);
    let hash = hash(&route, &body.0);
    let (grant, expires_at) = body.0.parse(id.0)?;
    let wanted = Wanted { route: &route, key: &key, hash, grant, expires_at, origin: origin(&request) };
    Ok(created(create(&state, &reader, wanted).await?))
}

/// Makes a link that uploads one file without a key: of this name, to this place, of this size.
#[utoipa::path(
    post,
    path = "/v1/upload-links",
    operation_id = "create_upload_link",
    tag = "links",
    params(("idempotency-key" = Option<String>, Header, description = "Makes a repeated request have one effect.")),
    request_body = CreateUploadLink,
    responses(
        (status = 201, description = "The link with its address.", body = LinkView),
        (status = 404, description = "There is no such workspace or folder.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "The size is beyond every file's, or the workspace's quota.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A field is not valid.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["write_files"]))
)]
pub async fn create_upload_link(
    state: Data<AppState>,
    writer: Writer,
    key: IdempotencyKey,
    request: HttpRequest,
    body: ApiJson<CreateUploadLink>,
) -> ApiResult<HttpResponse> {
    let hash = hash(UPLOAD_LINKS, &body.0);
    let (grant, expires_at) = body.0.parse()?;
    let wanted = Wanted { route: UPLOAD_LINKS, key: &key, hash, grant, expires_at, origin: origin(&request) };
    Ok(created(create(&state, &writer, wanted).await?))
}

fn created(link: LinkView) -> HttpResponse {
    HttpResponse::Created().json(link)
}

/// As the caller reached us, or as the proxy before us says.
fn origin(request: &HttpRequest) -> String {
    let connection = request.connection_info();
    format!("{}://{}", connection.scheme(), connection.host())
}

/// Lists links in the order of their making, also those that open nothing any more, for a month.
#[utoipa::path(
    get,
    path = "/v1/links",
    operation_id = "list_links",
    tag = "links",
    params(ListLinks),
    responses(
        (status = 200, description = "A page. Addresses are not among it.", body = Listing<LinkView>),
        (status = 400, description = "An id or the cursor can't be read.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["read_files"]))
)]
pub async fn list_links(
    state: Data<AppState>,
    reader: Reader,
    query: ApiQuery<ListLinks>,
) -> ApiResult<Json<Listing<LinkView>>> {
    let page = query.0.page();
    let (limit, after) = (page.limit()?, page.after::<LinkId>()?.map_or(Uuid::nil(), |id| id.as_uuid()));
    let tenant = reader.connection(&state).await?;
    let found = store::list(&tenant, query.0.file_id, query.0.key_id, after, limit + 1).await?;
    Ok(Json(Listing::new(found, limit, |link: &Link| link.id).map(LinkView::from)))
}

/// Takes a link back: from the next use on it opens nothing. Another key's takes the scope `write_files`.
#[utoipa::path(
    delete,
    path = "/v1/links/{lnk}",
    operation_id = "revoke_link",
    tag = "links",
    params(("lnk" = String, Path)),
    responses(
        (status = 204, description = "It opens nothing any more."),
        (status = 403, description = "It is another key's, and this one may only read.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is none of this id.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["read_files"]))
)]
pub async fn revoke_link(state: Data<AppState>, reader: Reader, id: ApiPath<LinkId>) -> ApiResult<HttpResponse> {
    let tenant = reader.connection(&state).await?;
    if store::find(&tenant, id.0).await?.key != reader.key() {
        reader.require(Scope::WriteFiles)?;
    }
    store::revoke(&tenant, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Takes back all links to a file, also to one in the trash: they would open it again when it is restored.
#[utoipa::path(
    delete,
    path = "/v1/files/{fil}/links",
    operation_id = "revoke_links_of_file",
    tag = "links",
    params(("fil" = String, Path)),
    responses(
        (status = 204, description = "None opens anything any more."),
        (status = 404, description = "There is no file of this id.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["write_files"]))
)]
pub async fn revoke_links_of_file(
    state: Data<AppState>,
    writer: Writer,
    id: ApiPath<FileId>,
) -> ApiResult<HttpResponse> {
    let tenant = writer.connection(&state).await?;
    crate::files::doors::check_file(&tenant, id.0).await?;
    store::revoke_of_file(&tenant, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Takes back all links that a key made.
#[utoipa::path(
    delete,
    path = "/v1/links",
    operation_id = "revoke_links_of_key",
    tag = "links",
    params(RevokeLinks),
    responses(
        (status = 204, description = "None opens anything any more."),
        (status = 422, description = "The query names no key.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["write_files"]))
)]
pub async fn revoke_links_of_key(
    state: Data<AppState>,
    writer: Writer,
    query: ApiQuery<RevokeLinks>,
) -> ApiResult<HttpResponse> {
    let tenant = writer.connection(&state).await?;
    store::revoke_of_key(&tenant, query.0.key_id).await?;
    Ok(HttpResponse::NoContent().finish())
}
