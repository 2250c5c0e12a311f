//! The OpenAPI document, put together from what stands beside each handler.

use rowhouse_web::{ProblemDocument, RATE_LIMIT_HEADERS};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Header, Object, Ref, RefOr, ResponseBuilder, Type};
use utoipa::{Modify, OpenApi, ToSchema};

use crate::{archives, files, folders, jobs, links, rotation, search, uploads, usage, workspaces};

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
        workspaces::routes::restore_workspace,
        folders::routes::create_folder,
        folders::routes::list_folders,
        folders::routes::get_folder,
        folders::routes::list_folder_ancestors,
        folders::routes::change_folder,
        folders::routes::delete_folder,
        folders::routes::restore_folder,
        archives::routes::get_folder_zip,
        folders::routes::copy_folder,
        rotation::routes::rotate_content_key,
        rotation::routes::list_content_keys,
        jobs::routes::list_jobs,
        jobs::routes::get_job,
        jobs::routes::cancel_job,
        files::content::upload_file,
        files::routes::list_files,
        files::routes::get_file,
        files::routes::change_file,
        files::routes::delete_file,
        files::routes::restore_file,
        files::routes::copy_file,
        files::routes::batch_files,
        files::content::get_file_content,
        files::content::head_file_content,
        files::content::put_file_content,
        files::versions::routes::list_file_versions,
        files::versions::routes::get_file_version,
        files::versions::routes::restore_file_version,
        files::versions::routes::delete_file_version,
        links::routes::create_link,
        links::routes::revoke_links_of_file,
        links::routes::create_upload_link,
        links::routes::list_links,
        links::routes::revoke_links_of_key,
        links::routes::revoke_link,
        links::content::get_link_content,
        links::content::head_link_content,
        links::content::put_link_content,
        uploads::tus::routes::describe_uploads,
        uploads::tus::routes::begin_upload,
        uploads::tus::routes::head_upload,
        uploads::tus::routes::continue_upload,
        uploads::tus::routes::abandon_upload,
        search::routes::search_items,
        usage::routes::get_usage,
    ),
    components(schemas(ProblemDocument)),
    modifiers(&BearerKeys, &RateLimited),
    tags(
        (name = "workspaces", description = "The outermost places; they may contain each other."),
        (name = "folders", description = "The tree in a workspace."),
        (name = "jobs", description = "Work that goes on after its request was answered."),
        (name = "files", description = "Contents, their versions and what is known about them."),
        (name = "uploads", description = "Resumable uploads, as tus 1.0 has them."),
        (name = "links", description = "Addresses that open one file, or take one in, without a key."),
        (name = "content keys", description = "What contents are sealed under, where they are."),
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

/// What is so for every route: requests are limited, and each answer tells how its caller stands.
struct RateLimited;

impl Modify for RateLimited {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for item in document.paths.paths.values_mut() {
            let operations = [
                &mut item.get,
                &mut item.head,
                &mut item.post,
                &mut item.put,
                &mut item.patch,
                &mut item.delete,
                &mut item.options,
            ];
            operations.into_iter().flatten().for_each(limit);
        }
    }
}

fn limit(operation: &mut Operation) {
    let header = |kind, description: &str| -> Header {
        HeaderBuilder::new().schema(Some(Object::with_type(kind))).description(Some(description)).build()
    };
    let [limit, remaining, reset, policy] = [
        header(Type::Integer, "Requests at once under the tightest limit that holds for the caller."),
        header(Type::Integer, "Requests of them that are left."),
        header(Type::Integer, "Seconds until none is missing; with 429, until there is one."),
        header(Type::String, "Requests a second, and at once: `50;w=1;burst=200`."),
    ];
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemDocument::name()))).build();
    let refused = ResponseBuilder::new()
        .description("The address, the key or the tenant has sent too many requests, or the address too many wrong keys; `limit` says which.")
        .header("Retry-After", header(Type::Integer, "Seconds to wait."))
        .content("application/problem+json", content);
    operation.responses.responses.insert("429".to_owned(), refused.build().into());
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            let headers = [&limit, &remaining, &reset, &policy].map(|header| RefOr::T(header.clone()));
            response.headers.extend(RATE_LIMIT_HEADERS.map(|name| name.to_string()).into_iter().zip(headers));
        }
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
    fn every_answer_tells_of_the_limits() {
        let document = serde_json::to_value(super::document()).unwrap();
        let mut operations = 0;
        for methods in document["paths"].as_object().unwrap().values() {
            for operation in methods.as_object().unwrap().values() {
                operations += 1;
                let refused = &operation["responses"]["429"];
                assert!(refused["headers"]["Retry-After"].is_object(), "{operation}");
                assert!(refused["content"]["application/problem+json"].is_object(), "{operation}");
                for answer in operation["responses"].as_object().unwrap().values() {
                    for name in ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "ratelimit-policy"] {
                        assert!(answer["headers"][name]["schema"].is_object(), "{name}: {answer}");
                    }
                }
            }
        }
        assert_eq!(operations, TABLE.len());
    }

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
            .map(|access| {
                (
                    access.method.to_owned(),
                    access.path.to_owned(),
                    access.scope.map_or("none", |scope| scope.as_str()).to_owned(),
                )
            })
            .collect();
        assert_eq!(documented, table);
    }
}
