//! How problems appear in the OpenAPI document: the same for every operation.

use std::collections::BTreeMap;

use rowhouse_web::ProblemDocument;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

/// The answers that any operation can give instead of its own.
pub(crate) struct Problems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let answer = |description: &str| {
            let schema = Ref::from_schema_name(<ProblemDocument as ToSchema>::name());
            let content = ContentBuilder::new().schema(Some(schema)).build();
            ResponseBuilder::new().description(description).content("application/problem+json", content).build().into()
        };
        BTreeMap::from([
            ("4XX".to_owned(), answer("Refused; `code` says why.")),
            (
                "5XX".to_owned(),
                answer("A fault of the service, or it is not available; `Retry-After` says when to try again."),
            ),
        ])
    }
}
