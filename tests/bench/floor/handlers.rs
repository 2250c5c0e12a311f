//! The servers themselves. All run with actix-web's own number of workers, as the data plane does.

use std::collections::HashMap;
use std::time::Duration;

use actix_web::http::header;
use actix_web::web::{Data, Path};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::{Context, Result};
use dashmap::DashMap;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use rowhouse_domain::FileId;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_postgres::NoTls;

use super::Kind;
use super::files::keep;
use super::query::find;
use crate::tenants::Login;

/// The data plane's own limit, so that both give up at the same time.
const CHECKOUT: Duration = Duration::from_secs(5);

/// Serves the floor that standard input describes, until that is closed.
pub(crate) async fn serve() -> Result<()> {
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    let kind = input.next_line().await?.context("a floor is described by a line of JSON")?;
    let kind: Kind = serde_json::from_str(&kind)?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    let server = match kind {
        Kind::Shared { login, size } => {
            let pool = pool(&login, size)?;
            HttpServer::new(move || {
                App::new().app_data(Data::new(pool.clone())).route("/v1/files/{id}", web::get().to(shared))
            })
            .disable_signals()
            .listen(listener)?
            .run()
        }
        Kind::Naive { logins, size } => {
            let pools = Data::new(Naive { logins, size, pools: DashMap::new() });
            HttpServer::new(move || App::new().app_data(pools.clone()).route("/v1/files/{id}", web::get().to(naive)))
                .disable_signals()
                .listen(listener)?
                .run()
        }
        Kind::Files { folder } => {
            let folder = Data::new(folder);
            HttpServer::new(move || App::new().app_data(folder.clone()).route("/files/{name}", web::post().to(keep)))
                .disable_signals()
                .listen(listener)?
                .run()
        }
    };
    let handle = server.handle();
    tokio::spawn(async move {
        // An error is an end, too.
        while let Ok(Some(_)) = input.next_line().await {}
        handle.stop(false).await;
    });
    println!("{url}");
    Ok(server.await?)
}

async fn shared(pool: Data<Pool>, id: Path<FileId>) -> HttpResponse {
    let found = async { find(&*pool.get().await.context("a connection")?, *id).await };
    answer(found.await)
}

/// A pool a tenant, and nothing that knows of the others.
struct Naive {
    logins: HashMap<String, Login>,
    size: usize,
    pools: DashMap<String, Pool>,
}

async fn naive(pools: Data<Naive>, request: HttpRequest, id: Path<FileId>) -> HttpResponse {
    let key = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(key) = key.and_then(|value| value.strip_prefix("Bearer ")) else {
        return HttpResponse::Unauthorized().finish();
    };
    let found = async {
        let pool = pools.of(key)?;
        find(&*pool.get().await.context("a connection")?, *id).await
    };
    answer(found.await)
}

impl Naive {
    fn of(&self, key: &str) -> Result<Pool> {
        if let Some(pool) = self.pools.get(key) {
            return Ok(pool.clone());
        }
        let login = self.logins.get(key).context("an unknown key")?;
        let made = pool(login, self.size)?;
        Ok(self.pools.entry(key.to_owned()).or_insert(made).clone())
    }
}

fn pool(login: &Login, size: usize) -> Result<Pool> {
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(login.config(), NoTls, recycling);
    Ok(Pool::builder(manager).max_size(size).wait_timeout(Some(CHECKOUT)).runtime(Runtime::Tokio1).build()?)
}

fn answer(found: Result<Option<super::query::File>>) -> HttpResponse {
    match found {
        Ok(Some(file)) => HttpResponse::Ok().json(file),
        Ok(None) => HttpResponse::NotFound().finish(),
        // Said in full, for the bench to count what it is.
        Err(error) => HttpResponse::InternalServerError().body(format!("{error:#?}")),
    }
}
