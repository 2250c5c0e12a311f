//! One file: its content through the helper process, its text in passages, all of it into the search tables at once.

use std::time::Duration;

use rowhouse_blobs::BlobError;
use rowhouse_database::ActivePlacement;
use rowhouse_domain::FileId;
use rowhouse_problem::{Code, Error, Result};

use super::label::Label;
use super::labels::labels;
use super::passages::{Passages, vector};
use super::store::{self, Content, State, gone};
use crate::contents::ReadError;
use crate::extract::{self, ExtractError, Extracted, Limits};
use crate::media::MediaType;
use crate::work::WorkContext;

/// Versions that may come in while one is being read, before the job starts over later.
const RACES: usize = 3;

/// A larger file can be found by its name while its content is still being read.
const SLOW: u64 = 256 * 1024;

/// Passages written by one statement.
const BATCH: usize = 200;

/// Longer than reading takes: what a helper process gets for one file, the store's time included.
const LIMITS: Limits = Limits { deadline: Duration::from_secs(45) };

/// What was found in a content.
struct Findings {
    state: State,
    error: Option<String>,
    passages: Passages,
}

/// How an attempt to write ended.
enum Written {
    Done,
    /// The file has another version by now.
    Outdated,
}

/// Indexes a file as it is now; one that is gone is done with, and so is one whose content can't be read: that is
/// recorded with the file.
///
/// # Errors
/// Where the tenant's database, the blob store or the helper process fails.
pub async fn file(context: &WorkContext, placement: &ActivePlacement, id: FileId) -> Result<()> {
    for _ in 0..RACES {
        let connection = context.tenant(placement).await?;
        let Some(content) = store::find_content(&connection, id).await? else { return gone(&connection).await };
        let written = if content.is_indexed {
            drop(connection);
            rename(context, placement, id).await?
        } else {
            if content.object.size > SLOW {
                let label = Label::new(&content.name, &content.tags, &content.metadata);
                store::announce(&connection, id, &label).await?;
            }
            // Reading takes its time; the connection is somebody else's meanwhile.
            drop(connection);
            let findings = read(context, &content).await?;
            write(context, placement, id, &content, &findings).await?
        };
        match written {
            Written::Done => return Ok(()),
            Written::Outdated => {}
        }
    }
    Err(Error::unavailable(format!("file {id} changes faster than it can be indexed")))
}

/// Gets at the text of a content.
async fn read(context: &WorkContext, content: &Content) -> Result<Findings> {
    let nothing = |state, error| Findings { state, error, passages: Passages::default() };
    let readable = MediaType::parse(&content.mime_type).filter(|media_type| media_type.format().is_some());
    let Some(media_type) = readable else { return Ok(nothing(State::Skipped, None)) };
    let blob = context.contents.read(&content.object, None).await.map_err(not_read)?;
    let bytes = blob.body;
    let extracted = extract::run(&context.extractor, &media_type, bytes, &LIMITS).await.map_err(not_extracted)?;
    match extracted {
        Extracted::Text(text) => {
            let passages = tokio::task::spawn_blocking(|| Passages::of(text)).await.map_err(Error::internal)?;
            Ok(Findings { state: State::Indexed, error: None, passages })
        }
        Extracted::Unsupported => Ok(nothing(State::Skipped, None)),
        Extracted::Failed { reason, detail } => {
            let error =
                if detail.is_empty() { reason.as_str().to_owned() } else { format!("{}: {detail}", reason.as_str()) };
            tracing::info!(error, "the content of a file could not be read");
            Ok(nothing(State::Failed, Some(error)))
        }
    }
}

/// Replaces everything that search knows of the file, unless it has another version by now.
async fn write(
    context: &WorkContext,
    placement: &ActivePlacement,
    id: FileId,
    content: &Content,
    findings: &Findings,
) -> Result<Written> {
    let mut connection = context.tenant(placement).await?;
    let transaction = connection.transaction().await?;
    // One writer a file; the file itself is locked last, so that its users hardly notice.
    store::lock_searches(&transaction, &[id]).await?;
    store::remove_passages(&transaction, &[id]).await?;
    let passages = &findings.passages;
    let mut first = 0;
    for batch in passages.passages.chunks(BATCH) {
        store::add_passages(&transaction, id, first, passages, batch).await?;
        first += i32::try_from(batch.len()).map_err(Error::internal)?;
    }
    let Some(now) = store::lock_file(&transaction, id).await? else { return Ok(Written::Done) };
    if (now.version, now.blob) != (content.version, content.blob) {
        return Ok(Written::Outdated);
    }
    let label = now.label.text();
    let label_vector = vector(&label);
    // Semantic search goes by passages: a file without any is found by what it is called. A name without a word, such as `---`, has
    // no direction to be found in.
    if let (true, Some(vector)) = (passages.passages.is_empty(), &label_vector) {
        store::add_label_passages(&transaction, &[(id, &label, vector)]).await?;
    }
    let mean = passages.mean().or(label_vector);
    store::save_file(&transaction, id, &now, findings.state, findings.error.as_deref(), &passages.text, mean.as_ref())
        .await?;
    transaction.commit().await?;
    Ok(Written::Done)
}

/// Brings name, tags and metadata up to date where the content is indexed already.
async fn rename(context: &WorkContext, placement: &ActivePlacement, id: FileId) -> Result<Written> {
    let mut connection = context.tenant(placement).await?;
    let transaction = connection.transaction().await?;
    // Whoever is at it is waited for here, in the order of [`write`]; labels would pass it by.
    store::lock_searches(&transaction, &[id]).await?;
    if store::lock_file(&transaction, id).await?.is_none() {
        return Ok(Written::Done);
    }
    let left = labels(&transaction, &[id]).await?;
    transaction.commit().await?;
    Ok(if left.is_empty() { Written::Done } else { Written::Outdated })
}

/// A content that ends early may only be a connection that did: it is tried again, but counts as an attempt.
fn store_failed(error: BlobError) -> Error {
    if error.is_retryable() && !matches!(error, BlobError::Truncated { .. }) {
        Error::unavailable(error)
    } else {
        Error::internal(error)
    }
}

fn not_read(error: ReadError) -> Error {
    match error {
        ReadError::Blob(error) => store_failed(error),
        ReadError::Key(error) => Error::internal(error),
    }
}

fn not_extracted(error: ExtractError) -> Error {
    match error {
        ExtractError::Input(source) => match source.downcast::<BlobError>() {
            Ok(error) => store_failed(*error),
            Err(source) => Error::new(Code::Unavailable, "The content could not be read.").caused_by(source),
        },
        ExtractError::Process(source) => Error::unavailable(source),
    }
}
