//! The OpenAPI document, put together from what stands beside each handler.

use rowhouse_web::ProblemDocument;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::{files, folders, search, usage, workspaces};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Rowhouse data plane",
        description = "A tenant's workspaces, folders, files and searches. Every call carries a tenant key as `Authorization: Bearer rht_…`. Errors are `application/problem+json` with a stable `code`.",
    ),
    paths(
        workspaces::routes::create_workspace,
        workspaces::routes::list_workspaces,
        workspaces::routes::get_workspace,
        workspaces::routes::change_workspace,
        workspaces::routes::delete_workspace,
        folders::routes::create_folder,
        folders::routes::list_folders,
        folders::routes::get_folder,
        folders::routes::change_folder,
        folders::routes::delete_folder,
        files::content::upload_file,
        files::routes::list_files,
        files::routes::get_file,
        files::routes::change_file,
        files::routes::delete_file,
        files::routes::restore_file,
        files::content::get_file_content,
        files::content::head_file_content,
        files::content::put_file_content,
        files::routes::list_file_versions,
        search::routes::search_items,
        usage::routes::get_usage,
    ),
    components(schemas(ProblemDocument)),
    modifiers(&BearerKeys),
    tags(
        (name = "workspaces", description = "The outermost places; they may contain each other."),
        (name = "folders", description = "The tree in a workspace."),
        (name = "files", description = "Contents, their versions and what is known about them."),
        (name = "search", description = "Finding all of them."),
        (name = "usage", description = "What is in use."),
    )
)]
struct Document;

struct BearerKeys;

impl Modify for BearerKeys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("rht_…").build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("api_key", SecurityScheme::Http(scheme));
    }
}

/// The document of this build.
pub(crate) fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::access::TABLE;

    #[test]
    fn the_table_of_access_and_the_document_name_the_same_routes() {
        let document = serde_json::to_value(super::document()).unwrap();
        let mut documented = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let scope = operation["security"][0]["api_key"][0].as_str().unwrap_or("none");
                documented.insert((method.to_uppercase(), path.clone(), scope.to_owned()));
            }
        }
        let table: BTreeSet<_> = TABLE
            .iter()
            .map(|access| (access.method.to_owned(), access.path.to_owned(), access.scope.as_str().to_owned()))
            .collect();
        assert_eq!(documented, table);
    }
}
