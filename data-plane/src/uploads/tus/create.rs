//! What a `POST` asks for: an upload, a piece of one, or one made of pieces.

use rowhouse_domain::{ItemName, ReservationId, UploadId};
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{IfMatch, parse_id};
use tracing::Instrument;

use super::headers::metadata;
use crate::authentication::Caller;
use crate::files::doors::{self, Put};
use crate::files::model::{Place, UploadQuery};
use crate::quota;
use crate::state::AppState;
use crate::uploads::parts::{cover, moved_on, uncover};
use crate::uploads::{NewSession, Protocol, Session, Stored, abandon, assemble, begin, store};

/// Most pieces of one upload.
const MOST_PIECES: usize = 1000;

/// Reads where an upload goes: from the query, and from `Upload-Metadata` where that says nothing.
pub(super) fn wanted(query: UploadQuery, header: &str, length: Option<i64>, is_piece: bool) -> Result<NewSession> {
    let (mut query, mut media_type) = (query, None);
    for (name, value) in metadata(header)? {
        match name.as_str() {
            "workspace_id" if query.workspace_id.is_none() => query.workspace_id = Some(parse_id(&value)?),
            "folder_id" if query.folder_id.is_none() => query.folder_id = Some(parse_id(&value)?),
            "name" | "filename" if query.name.is_none() => query.name = Some(value),
            "type" | "filetype" if !value.is_empty() => media_type = Some(value),
            _ => {}
        }
    }
    let place = if is_piece { None } else { Some(Place::parse(&query)?) };
    Ok(NewSession {
        id: UploadId::new(),
        protocol: Protocol::Tus,
        workspace: place.as_ref().map(|place| place.workspace),
        folder: place.as_ref().and_then(|place| place.folder),
        name: place.map(|place| place.name.to_string()),
        media_type,
        length,
        metadata: header.to_owned(),
        pieces: Vec::new(),
    })
}

/// Records an upload, after looking whether it could become what it is to become.
pub(super) async fn create(state: &AppState, caller: &Caller, new: NewSession) -> Result<Session> {
    if let Some(place) = place(&new)? {
        let length = new.length.map(u64::try_from).transpose().map_err(Error::internal)?.unwrap_or(0);
        doors::check_place(&caller.connection(state).await?, &place, length).await?;
    }
    begin(state, caller, new).await
}

/// Notes the length of an upload that was begun without one, and reserves all of it.
pub(super) async fn state_length(
    state: &AppState,
    caller: &Caller,
    mut session: Session,
    length: i64,
) -> Result<Session> {
    match session.new.length {
        Some(known) if known == length => return Ok(session),
        Some(known) => {
            let detail = format!("The upload is {known} bytes long: its length does not change.");
            return Err(Error::new(Code::MalformedRequest, detail));
        }
        None => {}
    }
    if length < session.received {
        let detail = format!("{} bytes have come already, which is more than that.", session.received);
        return Err(Error::new(Code::MalformedRequest, detail));
    }
    doors::check_size(state, length.unsigned_abs())?;
    cover(state, caller, &session, length.unsigned_abs()).await?;
    if !store::set_length(&caller.connection(state).await?, session.new.id, length).await? {
        uncover(state, caller, &session).await;
        return Err(moved_on());
    }
    session.new.length = Some(length);
    Ok(session)
}

/// Where an upload goes, unless it is a piece.
fn place(new: &NewSession) -> Result<Option<Place>> {
    let (Some(workspace), Some(name)) = (new.workspace, &new.name) else { return Ok(None) };
    let name = ItemName::parse(name).map_err(Error::internal)?;
    Ok(Some(Place { workspace, folder: new.folder, name }))
}

/// Makes the file of an upload of which every byte has come. Done again, it does nothing.
pub(super) async fn finish(state: &AppState, caller: &Caller, session: &Session) -> Result<()> {
    if session.made.is_some() {
        return Ok(());
    }
    let Some(place) = place(&session.new)? else { return Ok(()) };
    let parts = {
        let tenant = caller.connection(state).await?;
        store::parts(&tenant, session.new.id).await?
    };
    make(state, caller, session, place, &parts).await
}

async fn make(state: &AppState, caller: &Caller, session: &Session, place: Place, parts: &[Stored]) -> Result<()> {
    let put = Put {
        place,
        must_be_new: true,
        condition: IfMatch::default(),
        length: None,
        media_type: session.new.media_type.clone(),
        user_metadata: None,
        md5: None,
        ends: None,
    };
    assemble(state, caller, session, parts, put).await.map(|_| ())
}

/// Makes one upload, and its file, of the pieces that others have brought.
pub(super) async fn concatenate(
    state: &AppState,
    caller: &Caller,
    mut new: NewSession,
    pieces: &[UploadId],
) -> Result<Session> {
    if pieces.len() > MOST_PIECES {
        return Err(Error::invalid_field("Upload-Concat", format!("must name at most {MOST_PIECES} uploads")));
    }
    let (mut parts, mut sessions) = (Vec::new(), Vec::new());
    {
        let tenant = caller.connection(state).await?;
        for id in pieces {
            let piece = store::find(&tenant, *id, Protocol::Tus).await?;
            if piece.new.name.is_some() || !piece.is_complete() {
                let detail = format!("`{id}` is no partial upload of which every byte has come.");
                return Err(Error::new(Code::InvalidTransition, detail));
            }
            parts.extend(store::parts(&tenant, *id).await?);
            sessions.push(piece);
        }
    }
    let length: i64 = parts.iter().map(|part| part.size).sum();
    doors::check_size(state, length.unsigned_abs())?;
    new.pieces = pieces.to_vec();
    let place = place(&new)?.ok_or_else(|| Error::internal("a whole upload has a place"))?;
    let session = create(state, caller, new).await?;
    // In a task of its own: room that was taken over must not lie about because a client did not wait for gigabytes.
    let joint = Joint { session, place, pieces: sessions, parts, length };
    let task = join(state.clone(), caller.clone(), joint);
    tokio::spawn(task.in_current_span()).await.map_err(Error::internal)?
}

/// An upload that is being made of pieces.
struct Joint {
    session: Session,
    place: Place,
    pieces: Vec<Session>,
    /// Theirs, in their order.
    parts: Vec<Stored>,
    length: i64,
}

async fn join(state: AppState, caller: Caller, joint: Joint) -> Result<Session> {
    let (state, caller) = (&state, &caller);
    let Joint { session, place, pieces, parts, length } = joint;
    let id = session.new.id;
    let reservations: Vec<ReservationId> = pieces.iter().map(|piece| piece.reservation).collect();
    let made = async {
        // What the pieces have reserved is this one's now: they end with it. A piece that stands twice in it needs more.
        quota::hand_over(&state.platform, &reservations, session.reservation, caller.tenant()).await?;
        let session = state_length(state, caller, session, length).await?;
        make(state, caller, &session, place, &parts).await?;
        Ok(session)
    };
    match made.await {
        Ok(session) => {
            // What a piece of another account holds, or has reserved anew in the meantime, nobody would come for.
            if let Err(error) = quota::release_all(&state.platform, &reservations).await {
                tracing::warn!(error = error.chain(), "the room of pieces is given back when it expires");
            }
            Ok(Session { received: length, ..session })
        }
        Err(error) => {
            if let Err(second) = abandon(state, caller, id, Protocol::Tus).await {
                tracing::warn!(error = second.chain(), "an upload of pieces is left until it expires");
            }
            for piece in &pieces {
                recover(state, caller, piece).await;
            }
            Err(error)
        }
    }
}

/// Gives a piece back the room that it had handed over.
async fn recover(state: &AppState, caller: &Caller, piece: &Session) {
    if let Err(error) = cover(state, caller, piece, piece.received.unsigned_abs()).await {
        // The next upload that is made of it reserves what is missing.
        tracing::warn!(error = error.chain(), "a partial upload is left without room");
        return;
    }
    uncover(state, caller, piece).await;
}
