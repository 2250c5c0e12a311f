//! The end of an upload: the object made durable, then one transaction that records it and everything that follows from it.

use std::sync::Arc;

use rowhouse_blobs::{BlobWriter, Written};
use rowhouse_problem::{Error, Result};
use rowhouse_settings::BlobBackend;
use rowhouse_web::ETag;
use serde_json::Value;

use super::blobs::{self, NewBlob};
use super::cleanup::Debris;
use super::destination::Destination;
use super::intents::{self, Intent};
use super::model::{File, file_type};
use super::pulse::{Pulse, ran_out};
use super::reservation::Reservation;
use super::slots::Slot;
use super::store::Content;
use super::upload::Declared;
use super::views::{FileView, etag};
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::changes::{Change, Charge};
use crate::contents::blob_failure;
use crate::idempotency::Ticket;
use crate::media::{MediaType, media_type};
use crate::state::AppState;
use crate::uploads;

/// An upload whose body has come.
pub(super) struct Plan {
    pub(super) state: AppState,
    pub(super) caller: Caller,
    pub(super) destination: Destination,
    pub(super) declared: Declared,
    pub(super) intent: Intent,
    pub(super) ticket: Option<Ticket>,
    pub(super) head: Vec<u8>,
    pub(super) writer: BlobWriter,
    pub(super) debris: Debris,
    pub(super) reservation: Arc<Reservation>,
    pub(super) pulse: Pulse,
    pub(super) slot: Slot,
}

/// Where objects are kept, as `blobs.bucket` has it.
pub(super) fn bucket(state: &AppState) -> &str {
    match state.settings.blobs.backend {
        BlobBackend::Local => "local",
        BlobBackend::S3 => &state.settings.blobs.bucket,
    }
}

/// Stores the object and records it.
///
/// # Errors
/// Whatever refuses it. Everything is cleaned up then, unless the outcome is unknown.
pub(super) async fn finalize(mut plan: Plan) -> Result<Answer> {
    plan.debris.object_pending();
    let writer = plan.writer;
    let finished = writer.finish().await;
    // What follows is short, and a sign of life after the reservation's end would reserve anew what is given back or used.
    drop(plan.pulse);
    let written = match finished {
        Ok(written) => written,
        Err(error) => {
            plan.debris.clear().await;
            return Err(blob_failure(error));
        }
    };
    plan.debris.object_settled();
    let upload = Recording {
        state: &plan.state,
        caller: &plan.caller,
        destination: &plan.destination,
        intent: &plan.intent,
        reservation: &plan.reservation,
        ticket: plan.ticket,
        mime_type: media_type(plan.destination.name().as_str(), plan.declared.media_type.as_deref(), &plan.head),
        declared_mime_type: plan.declared.media_type.as_deref().and_then(MediaType::parse),
        user_metadata: plan.declared.user_metadata.as_ref(),
        change_summary: plan.declared.change_summary.as_deref(),
        written,
    };
    let checked = plan.declared.hashes.check(&written.sha256, written.md5.as_ref());
    let outcome = match checked {
        Ok(()) => upload.record(&mut plan.debris).await,
        Err(error) => Err(error),
    };
    // Does nothing where the debris is kept: recorded, or of an unknown outcome.
    plan.debris.clear().await;
    // The place is held as long as the upload lasts.
    drop(plan.slot);
    outcome
}

struct Recording<'a> {
    state: &'a AppState,
    caller: &'a Caller,
    destination: &'a Destination,
    intent: &'a Intent,
    reservation: &'a Reservation,
    ticket: Option<Ticket>,
    mime_type: MediaType,
    declared_mime_type: Option<MediaType>,
    user_metadata: Option<&'a Value>,
    change_summary: Option<&'a str>,
    written: Written,
}

impl Recording<'_> {
    async fn record(&self, debris: &mut Debris) -> Result<Answer> {
        let size = i64::try_from(self.written.size).map_err(Error::internal)?;
        self.reservation.commit(size).await?;
        let mut tenant = self.caller.connection(self.state).await?;
        let change = Change::begin(&mut tenant, self.caller.actor()).await?;
        let (answer, is_duplicate) = self.write(&change).await?;
        debris.commit(change).await?;
        self.state.nudge.tenant(self.caller.tenant());
        if is_duplicate {
            self.drop_object(&tenant).await;
        }
        #[expect(clippy::cast_precision_loss, reason = "a metric")]
        metrics::histogram!("rowhouse_upload_bytes").record(self.written.size as f64);
        Ok(answer)
    }

    async fn write(&self, change: &Change<'_>) -> Result<(Answer, bool)> {
        let size = i64::try_from(self.written.size).map_err(Error::internal)?;
        let content = Content {
            size,
            checksum: &self.written.sha256,
            mime_type: self.mime_type.as_str(),
            declared_mime_type: self.declared_mime_type.as_ref().map(MediaType::as_str),
            file_type: file_type(self.mime_type.as_str()),
            user_metadata: self.user_metadata,
            change_summary: self.change_summary,
        };
        let new = NewBlob {
            sha256: &self.written.sha256,
            md5: self.written.md5.as_ref().map(|hash| &hash[..]),
            size,
            mime_type: self.mime_type.as_str(),
            bucket: bucket(self.state),
            object: self.intent.object,
            content_key: self.intent.content_key,
        };
        let held = self.destination.hold(change, size).await?;
        let (blob, is_duplicate) = blobs::store::insert_or_share(change, &new, change.actor()).await?;
        // The intent ends with the blob's row, and stays where the object is to go.
        let still_stood = if is_duplicate {
            intents::store::abandon(change, self.intent.id).await?
        } else {
            intents::store::fulfil(change, self.intent.id).await?
        };
        if !still_stood {
            return Err(ran_out());
        }
        let file = held.record(change, blob, &content, self.caller.account()).await?;
        let reservation = self.reservation.spend_in(change).await?;
        change
            .charge(&Charge {
                file: file.id,
                version: Some(file.current_version),
                bytes: size,
                account: self.caller.account(),
                reservation: Some(reservation),
            })
            .await?;
        if let Some(upload) = self.intent.ends {
            uploads::finish(change, upload, &file).await?;
        }
        let answer = self.answer(file);
        if let Some(ticket) = self.ticket {
            ticket.complete(change, &answer).await?;
        }
        Ok((answer, is_duplicate))
    }

    fn answer(&self, file: File) -> Answer {
        match self.destination {
            Destination::New(id, _) => {
                let etag = etag(&file);
                Answer::created(format!("/v1/files/{id}"), &etag, &FileView::from(file))
            }
            // The tag of what was put: the content.
            Destination::Version(..) | Destination::Put(..) => {
                let etag = ETag::of_content(&file.checksum);
                Answer::ok(&etag, &FileView::from(file))
            }
        }
    }

    /// The same bytes were there already. Left undone, it is done when the intent is swept.
    async fn drop_object(&self, tenant: &rowhouse_database::TenantConnection) {
        let dropped = async {
            self.state.contents.delete(self.intent.object).await.map_err(blob_failure)?;
            intents::store::delete(tenant, self.intent.id).await
        };
        if let Err(error) = dropped.await {
            tracing::warn!(error = error.chain(), "a duplicate object is left to the sweep");
        }
    }
}
