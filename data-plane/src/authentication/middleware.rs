//! The step before every route: nothing of the request but its header is read before the key is known, and nothing is looked
//! up for an address, served for a key or for a tenant, that asks too often.

use std::sync::Arc;

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, web};
use rowhouse_domain::KeyId;
use rowhouse_keys::{KeyKind, PlainApiKey};
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{ApiError, BearerKey, within};

use super::caller::Caller;
use super::known::unknown_key;
use super::refusal::{Circumstances, Refusal};
use crate::links::content::Holder;
use crate::links::terms;
use crate::rate_limits::Standing;
use crate::state::AppState;
use crate::usage::{Meter, Tally};

type Answer<B> = std::result::Result<ServiceResponse<EitherBody<B, BoxBody>>, actix_web::Error>;

/// For routes that answer at once: authentication and the handler share one deadline.
///
/// # Errors
/// None: what goes wrong is the answer.
pub async fn authenticate<B: MessageBody + 'static>(
    state: web::Data<AppState>,
    request: ServiceRequest,
    next: Next<B>,
) -> Answer<B> {
    // Routing is over, so a copy of the request no longer stands in its way.
    let copy = request.request().clone();
    let (mut standing, mut tally) = (Standing::default(), None);
    let result = within(state.settings.data_plane.request_timeout, async {
        admit(&state, &request, &mut standing, &mut tally).await.map_err(ApiError)?;
        next.call(Meter::counting_body(request, tally.as_ref())).await
    })
    .await;
    Ok(answer(&state, result, copy, &standing, tally))
}

/// For transfers of content: they may take as long as bytes keep moving.
///
/// # Errors
/// None: what goes wrong is the answer.
pub async fn authenticate_transfer<B: MessageBody + 'static>(
    state: web::Data<AppState>,
    request: ServiceRequest,
    next: Next<B>,
) -> Answer<B> {
    let copy = request.request().clone();
    let (mut standing, mut tally) = (Standing::default(), None);
    let result = match admit(&state, &request, &mut standing, &mut tally).await {
        Ok(()) => next.call(Meter::counting_body(request, tally.as_ref())).await,
        Err(error) => Err(ApiError(error).into()),
    };
    Ok(answer(&state, result, copy, &standing, tally))
}

/// For what signed links open: the address of the request stands for the key that made the link.
///
/// # Errors
/// None: what goes wrong is the answer.
pub async fn authenticate_link<B: MessageBody + 'static>(
    state: web::Data<AppState>,
    request: ServiceRequest,
    next: Next<B>,
) -> Answer<B> {
    let copy = request.request().clone();
    let (mut standing, mut tally) = (Standing::default(), None);
    let result = match admit_link(&state, &request, &mut standing, &mut tally).await {
        Ok(()) => next.call(Meter::counting_body(request, tally.as_ref())).await,
        Err(error) => Err(ApiError(error).into()),
    };
    Ok(answer(&state, result, copy, &standing, tally))
}

/// Verifies the signature before anything is looked up, and leaves the link where its handler looks for it.
async fn admit_link(
    state: &AppState,
    request: &ServiceRequest,
    standing: &mut Standing,
    seen: &mut Option<Arc<Tally>>,
) -> Result<()> {
    let address = request.peer_addr().map(|address| address.ip());
    state.rate_limits.count_address(address, standing)?;
    let id = request.match_info().query("lnk");
    let terms = match terms::read(&state.master, request.method().as_str(), id, request.query_string()) {
        Ok(terms) => terms,
        Err(error) => {
            if error.code() == Code::InvalidLink {
                state.wrong_keys.count(address, standing)?;
            }
            return Err(error);
        }
    };
    let caller = vouched(state, &terms.key).await.map_err(without_a_key)?;
    if caller.tenant() != terms.tenant {
        return Err(terms::invalid());
    }
    let (tenant, organization, key) = (caller.tenant(), caller.organization(), caller.key());
    *seen = Some(state.meter.begin(tenant));
    tracing::record_all!(tracing::Span::current(), tenant.id = %tenant, org.id = %organization, key.id = %key);
    caller.entry.buckets.count(standing)?;
    caller.require(terms.grant.scope()).map_err(without_a_key)?;
    request.extensions_mut().insert(Holder::new(caller, terms));
    Ok(())
}

/// The caller that a key of this prefix makes, whose holder has proven by other means than its secret to act for it.
pub(crate) async fn vouched(state: &AppState, prefix: &str) -> Result<Caller> {
    let entry = state.keys.find(prefix, || Ok(())).await?.ok_or_else(unknown_key)?;
    let placement = entry.known.decide()?;
    Ok(Caller { entry, placement })
}

/// Which key has this prefix, where one has. `may_ask` is asked before anybody else is.
pub(crate) async fn key_of(
    state: &AppState,
    prefix: &str,
    may_ask: impl FnOnce() -> Result<()>,
) -> Result<Option<KeyId>> {
    let entry = state.keys.find(prefix, may_ask).await?;
    Ok(entry.map(|entry| entry.known.facts.key))
}

/// A link is worth what its key is worth; whoever uses it knows nothing of keys.
fn without_a_key(error: Error) -> Error {
    match error.code().status() {
        401 => terms::revoked().caused_by(error),
        403 if error.code() == Code::MissingScope => terms::revoked().caused_by(error),
        _ => error,
    }
}

/// What goes out. For whom it is counted is left where `usage::count_sent` looks for it: the body of a problem is written further
/// out than here.
fn answer<B: MessageBody + 'static>(
    state: &AppState,
    result: std::result::Result<ServiceResponse<B>, actix_web::Error>,
    request: HttpRequest,
    standing: &Standing,
    tally: Option<Arc<Tally>>,
) -> ServiceResponse<EitherBody<B, BoxBody>> {
    let mut response = match result {
        Ok(response) => response.map_into_left_body(),
        Err(error) => ServiceResponse::from_err(error, request).map_into_right_body(),
    };
    standing.tell(response.headers_mut());
    state.canaries.count(tally.as_ref().map(|tally| tally.tenant()), response.status().as_u16());
    if let Some(tally) = tally {
        tally.count();
        response.request().extensions_mut().insert(tally);
    }
    response
}

/// Verifies the key and leaves the caller where the guards look for it, and its tenant also where it is refused.
async fn admit(
    state: &AppState,
    request: &ServiceRequest,
    standing: &mut Standing,
    seen: &mut Option<Arc<Tally>>,
) -> Result<()> {
    let address = request.peer_addr().map(|address| address.ip());
    state.rate_limits.count_address(address, standing)?;
    let key = BearerKey::read(request.request())?;
    let caller = match verify(state, request, &key, standing).await? {
        Ok(caller) => caller,
        Err(refusal) => {
            *seen = refusal.tenant.map(|tenant| state.meter.begin(tenant));
            return Err(refused(state, request, &key, refusal));
        }
    };
    let (tenant, organization, key) = (caller.tenant(), caller.organization(), caller.key());
    *seen = Some(state.meter.begin(tenant));
    tracing::record_all!(tracing::Span::current(), tenant.id = %tenant, org.id = %organization, key.id = %key);
    caller.entry.buckets.count(standing)?;
    request.extensions_mut().insert(caller);
    Ok(())
}

/// Looks a key up and decides. The outer error is ours or the address's, the inner one the key's.
async fn verify(
    state: &AppState,
    request: &ServiceRequest,
    key: &PlainApiKey,
    standing: &mut Standing,
) -> Result<std::result::Result<Caller, Refusal>> {
    if key.kind() != KeyKind::Tenant {
        let detail = "The data plane takes tenant keys (`rht_…`); this one opens the control plane.";
        return Ok(Err(Refusal::unverified(Error::new(Code::WrongKeyKind, detail))));
    }
    let address = request.peer_addr().map(|address| address.ip());
    let mut is_counted = false;
    let may_ask = || state.wrong_keys.may_ask(address, standing).map(|counted| is_counted = counted);
    let found = state.keys.find(key.prefix(), may_ask).await?;
    let is_right = match &found {
        Some(entry) => entry.known.is(key),
        None => {
            // The same work as for a known prefix, so that the time tells nothing once both are remembered.
            let _ = key.hash(&state.keys.current_pepper());
            false
        }
    };
    let Some(entry) = found.filter(|_| is_right) else {
        if !is_counted {
            state.wrong_keys.count(address, standing)?;
        }
        return Ok(Err(Refusal::unverified(unknown_key())));
    };
    match entry.known.decide() {
        Ok(placement) => {
            if entry.is_to_be_noted() {
                state.keys.note_use(entry.known.facts.key);
            }
            Ok(Ok(Caller { entry, placement }))
        }
        Err(error) => Ok(Err(Refusal::of(error, &entry.known.facts))),
    }
}

fn refused(state: &AppState, request: &ServiceRequest, key: &PlainApiKey, refusal: Refusal) -> Error {
    // A tenant that is not ready is no fault of its key.
    if refusal.error.code().status() < 500 {
        let circumstances = Circumstances::of(request.request(), key.kind(), key.prefix());
        state.refusals.record(&state.platform, circumstances, &refusal);
    }
    refusal.error
}
