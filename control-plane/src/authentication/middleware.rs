//! The one place where requests are let in or refused.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, web};
use rowhouse_domain::{Actor, ActorKind};
use rowhouse_keys::KeyKind;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{ApiError, BearerKey};
use tracing_actix_web::RequestId;

use super::caller::{Caller, Principal};
use super::key_check::{Refusal, check};
use super::refusals;
use crate::access::{self, Access, Callers};
use crate::audit::Requester;
use crate::context::Context;

/// Longest user agent that the audit log keeps, in characters.
const MAX_USER_AGENT: usize = 500;

/// Checks the key of every request to a route of the access table; other addresses have no handler.
pub(crate) async fn authenticate<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let pattern = request.match_pattern();
    let row = pattern.and_then(|pattern| access::find(request.method(), &pattern));
    if let Some(row) = row {
        let caller = admit(request.request(), row).await.map_err(ApiError)?;
        request.extensions_mut().insert(caller);
    }
    next.call(request).await
}

async fn admit(request: &HttpRequest, row: &Access) -> Result<Caller> {
    let context =
        request.app_data::<web::Data<Context>>().ok_or_else(|| Error::internal("the application has no context"))?;
    let key = BearerKey::read(request)?;
    let requester = requester(request);
    let checked = match key.kind() {
        KeyKind::Tenant => Err(Refusal::before_look_up(wrong_kind("A tenant key belongs to the data plane."))),
        KeyKind::Platform | KeyKind::Organization => check(context, &key).await?,
    };
    let allowed = checked.and_then(|holder| match permits(row, &holder.principal) {
        Ok(()) => Ok(holder),
        Err(error) => Err(holder.refuse(error)),
    });
    match allowed {
        Ok(holder) => {
            let requester = Requester { actor: holder.principal.actor(), ..requester };
            let span = tracing::Span::current();
            span.record("key.id", tracing::field::display(holder.key));
            if let Principal::Organization { organization, .. } = &holder.principal {
                span.record("org.id", tracing::field::display(organization));
            }
            Ok(Caller { principal: holder.principal, requester })
        }
        Err(refusal) => {
            refusals::record(&context.clone().into_inner(), &key, &refusal, &requester, row);
            Err(refusal.error)
        }
    }
}

/// What a request tells before its key was checked. The address is the connection's: what proxies claim is not believed.
fn requester(request: &HttpRequest) -> Requester {
    let agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    Requester {
        actor: Actor { kind: ActorKind::Anonymous, id: None },
        ip: request.peer_addr().map(|address| address.ip().to_canonical()),
        user_agent: agent.map(|text| text.chars().take(MAX_USER_AGENT).collect()),
        request_id: request.extensions().get::<RequestId>().map(ToString::to_string),
    }
}

/// Whether the table lets the principal call the route. Whose things the address names is for the guards.
fn permits(row: &Access, principal: &Principal) -> Result<()> {
    let Principal::Organization { scopes, .. } = principal else { return Ok(()) };
    match row.callers {
        Callers::Platform => Err(wrong_kind("Only a platform key is accepted here.")),
        Callers::Organization => Ok(()),
        Callers::OrganizationWith(scope) if scopes.allow(scope) => Ok(()),
        Callers::OrganizationWith(scope) => {
            let detail = format!("The key needs the scope `{scope}`. Use one that has it.");
            Err(Error::new(Code::MissingScope, detail).with("scope", scope.as_str()))
        }
    }
}

fn wrong_kind(detail: &str) -> Error {
    Error::new(Code::WrongKeyKind, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rowhouse_domain::{KeyId, OrganizationId, Scope};

    #[test]
    fn each_kind_of_caller_gets_what_the_table_says() {
        let organization = |scopes: &[Scope]| Principal::Organization {
            key: KeyId::new(),
            organization: OrganizationId::new(),
            scopes: scopes.iter().copied().collect(),
        };
        for row in access::TABLE {
            assert!(permits(row, &Principal::Platform(KeyId::new())).is_ok(), "{row:?}");
            let without = permits(row, &organization(&[])).map_err(|error| error.code());
            let with_all = permits(row, &organization(Scope::ORGANIZATION)).map_err(|error| error.code());
            let (expected_without, expected_with_all) = match row.callers {
                Callers::Platform => (Err(Code::WrongKeyKind), Err(Code::WrongKeyKind)),
                Callers::Organization => (Ok(()), Ok(())),
                Callers::OrganizationWith(_) => (Err(Code::MissingScope), Ok(())),
            };
            assert_eq!((without, with_all), (expected_without, expected_with_all), "{row:?}");
        }
    }
}
