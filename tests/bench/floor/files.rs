//! A handler that streams its body to a file, hashes it on the way, and has the disk promise it before it answers.

use std::path::{Path, PathBuf};

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Payload};
use anyhow::Result;
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;

/// Keeps a body as a file of the folder.
pub(super) async fn keep(folder: Data<PathBuf>, name: web::Path<String>, body: Payload) -> HttpResponse {
    match write(&folder, &name, body).await {
        Ok(hash) => HttpResponse::Created().body(hash),
        Err(error) => HttpResponse::InternalServerError().body(format!("{error:#}")),
    }
}

async fn write(folder: &Path, name: &str, mut body: Payload) -> Result<String> {
    let unfinished = folder.join(format!("{name}.unfinished"));
    let mut file = File::create(&unfinished).await?;
    let mut hash = Sha256::new();
    while let Some(piece) = body.next().await {
        let piece = piece?;
        hash.update(&piece);
        file.write_all(&piece).await?;
    }
    file.flush().await?;
    file.sync_all().await?;
    fs::rename(&unfinished, folder.join(name)).await?;
    File::open(folder).await?.sync_all().await?;
    Ok(hex::encode(hash.finalize()))
}
