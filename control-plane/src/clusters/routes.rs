//! HTTP in and out for clusters.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use rowhouse_domain::ClusterId;
use rowhouse_problem::Error;
use rowhouse_web::{ApiJson, ApiPath, ApiQuery, ApiResult, ETag, IdempotencyKey, IfMatch, Listing, PageQuery};
use serde::Deserialize;
use utoipa::IntoParams;

use super::model::Cluster;
use super::requests::{CreateCluster, PatchCluster};
use super::{changes, store};
use crate::authentication::PlatformAdmin;
use crate::context::Context;
use crate::problems::Problems;

/// Register a cluster that was bootstrapped (`rowhouse cluster bootstrap`).
#[utoipa::path(post, path = "/v1/clusters", tag = "clusters", request_body = CreateCluster,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = Cluster, headers(("Location" = String), ("ETag" = String))), Problems))]
pub(crate) async fn create_cluster(
    admin: PlatformAdmin,
    context: web::Data<Context>,
    key: IdempotencyKey,
    body: ApiJson<CreateCluster>,
) -> ApiResult<HttpResponse> {
    let cluster = changes::register(&context, &admin.0, &key, body.0).await?;
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, format!("/v1/clusters/{}", cluster.id)))
        .insert_header((header::ETAG, ETag::of_row(cluster.updated_at).to_string()))
        .json(cluster))
}

/// List the clusters, each as it was last seen.
#[utoipa::path(get, path = "/v1/clusters", tag = "clusters", params(PageQuery),
    responses((status = 200, body = Listing<Cluster>), Problems))]
pub(crate) async fn list_clusters(
    _: PlatformAdmin,
    context: web::Data<Context>,
    page: ApiQuery<PageQuery>,
) -> ApiResult<HttpResponse> {
    let limit = page.0.limit()?;
    let after = page.0.after()?;
    let clusters = store::list(&context.platform.get().await?, after, limit + 1).await?;
    Ok(HttpResponse::Ok().json(Listing::new(clusters, limit, |cluster| cluster.id)))
}

/// Read a cluster as it was last seen.
#[utoipa::path(get, path = "/v1/clusters/{clu}", tag = "clusters",
    params(("clu" = String, Path, description = "The cluster's id.")),
    responses((status = 200, body = Cluster, headers(("ETag" = String))), Problems))]
pub(crate) async fn get_cluster(
    _: PlatformAdmin,
    context: web::Data<Context>,
    id: ApiPath<ClusterId>,
) -> ApiResult<HttpResponse> {
    let cluster = store::find(&context.platform.get().await?, id.0).await?;
    Ok(found(&cluster.ok_or_else(|| Error::not_found("cluster", id.0))?))
}

/// Change a cluster; `{"accepting": false}` drains it.
#[utoipa::path(patch, path = "/v1/clusters/{clu}", tag = "clusters", request_body = PatchCluster,
    params(("clu" = String, Path, description = "The cluster's id."), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = Cluster, headers(("ETag" = String))), Problems))]
pub(crate) async fn update_cluster(
    admin: PlatformAdmin,
    context: web::Data<Context>,
    id: ApiPath<ClusterId>,
    if_match: IfMatch,
    body: ApiJson<PatchCluster>,
) -> ApiResult<HttpResponse> {
    Ok(found(&changes::update(&context, &admin.0, id.0, &if_match, body.0).await?))
}

/// How a cluster is removed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemovalQuery {
    /// Forget it even where its server does not answer, and leave what is there.
    #[serde(default)]
    force: bool,
}

/// Remove a cluster that holds no tenants.
#[utoipa::path(delete, path = "/v1/clusters/{clu}", tag = "clusters",
    params(("clu" = String, Path, description = "The cluster's id."), RemovalQuery, ("If-Match" = Option<String>, Header)),
    responses((status = 204), Problems))]
pub(crate) async fn delete_cluster(
    admin: PlatformAdmin,
    context: web::Data<Context>,
    id: ApiPath<ClusterId>,
    query: ApiQuery<RemovalQuery>,
    if_match: IfMatch,
) -> ApiResult<HttpResponse> {
    changes::remove(&context, &admin.0, id.0, &if_match, query.0.force).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn found(cluster: &Cluster) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::ETAG, ETag::of_row(cluster.updated_at).to_string())).json(cluster)
}
