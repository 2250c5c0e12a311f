//! Reading the clusters.

use actix_web::{HttpResponse, web};
use rowhouse_web::{ApiQuery, ApiResult, Listing, PageQuery};

use super::model::Cluster;
use super::store;
use crate::authentication::PlatformAdmin;
use crate::context::Context;
use crate::problems::Problems;

/// List the clusters.
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
