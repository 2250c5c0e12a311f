//! A port of its own for those who run the process: the live state of the pools, and the metrics.
//!
//! Nobody is asked for a key here, so it listens on the loopback address unless the settings say otherwise.

mod view;

use std::net::TcpListener;

use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, web};
use rowhouse_problem::{Error, Result};
use rowhouse_web::metrics;
use serde::Deserialize;

use crate::state::AppState;
use view::PoolsView;

/// Tenants that an answer names for each cluster, unless it is asked for another number, and at most.
const BUSIEST: usize = 20;
const MOST: usize = 1000;

/// Binds the port of the settings (0: any free one).
pub(crate) fn serve(state: &AppState) -> Result<(Server, u16)> {
    let settings = &state.settings.admin;
    let listener = TcpListener::bind((settings.host.as_str(), settings.port)).map_err(Error::internal)?;
    let port = listener.local_addr().map_err(Error::internal)?.port();
    let data = web::Data::new(state.clone());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .route("/v1/pools", web::get().to(pools))
            .route("/metrics", web::get().to(metrics))
    })
    .workers(1)
    .shutdown_timeout(1)
    .disable_signals();
    Ok((server.listen(listener).map_err(Error::internal)?.run(), port))
}

#[derive(Deserialize)]
struct Asked {
    busiest: Option<usize>,
}

async fn pools(state: web::Data<AppState>, asked: web::Query<Asked>) -> HttpResponse {
    let busiest = asked.busiest.unwrap_or(BUSIEST).min(MOST);
    HttpResponse::Ok().json(PoolsView::of(&state, busiest))
}
