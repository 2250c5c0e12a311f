//! The good end: all parts in their order, read into an upload like any other.

use futures::{StreamExt, TryStreamExt, stream};
use rowhouse_problem::{Error, Result};

use super::{Session, Stored};
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::contents::Object;
use crate::files::doors::{self, Put};
use crate::state::AppState;

/// Makes the file. The transaction that records it ends the upload as well; on an error the upload stays as it was.
pub(crate) async fn assemble(
    state: &AppState,
    caller: &Caller,
    session: &Session,
    parts: &[Stored],
    put: Put,
) -> Result<Answer> {
    let length: i64 = parts.iter().map(|part| part.size).sum();
    let length = u64::try_from(length).map_err(Error::internal)?;
    let put = Put { length: Some(length), ends: Some((session.new.id, session.reservation)), ..put };
    let mut upload = doors::begin(state, caller, put).await?;
    let contents = state.contents.clone();
    let objects: Vec<Object> = parts.iter().map(|part| part.object.clone()).collect();
    // One after the other: the next is opened when the one before it has been read.
    let body = stream::iter(objects)
        .then(move |object| {
            let contents = contents.clone();
            async move { contents.read(&object, None).await.map(|read| read.body).map_err(Error::from) }
        })
        .map_ok(|body| body.map_err(doors::store_failure))
        .try_flatten();
    upload.receive(body).await?;
    upload.finish().await
}
