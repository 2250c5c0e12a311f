//! The whole API on one screen. Who may call what is in [`access`](crate::access).

use actix_web::Route;
use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::web::{ServiceConfig, delete, get, head, method, patch, post, put, resource, scope};

use crate::archives::routes::get_folder_zip;
use crate::authentication::{authenticate, authenticate_link, authenticate_transfer};
use crate::files::content::{get_file_content, head_file_content, put_file_content, upload_file};
use crate::files::routes::{batch_files, change_file, copy_file, delete_file, get_file, list_files, restore_file};
use crate::files::versions::routes::{delete_file_version, get_file_version, list_file_versions, restore_file_version};
use crate::folders::routes::{
    change_folder, copy_folder, create_folder, delete_folder, get_folder, list_folder_ancestors, list_folders,
    restore_folder,
};
use crate::jobs::routes::{cancel_job, get_job, list_jobs};
use crate::links::content::{get_link_content, head_link_content, put_link_content};
use crate::links::routes::{
    create_link, create_upload_link, list_links, revoke_link, revoke_links_of_file, revoke_links_of_key,
};
use crate::rotation::routes::{list_content_keys, rotate_content_key};
use crate::search::routes::search_items;
use crate::uploads::tus::middleware::speak_tus;
use crate::uploads::tus::routes::{abandon_upload, begin_upload, continue_upload, describe_uploads, head_upload};
use crate::usage::routes::get_usage;
use crate::workspaces::routes::{
    change_workspace, create_workspace, delete_workspace, get_workspace, list_workspaces, restore_workspace,
};

/// Adds every route under `/v1`. A method that a path does not have is answered 405 with those that it has.
///
/// The paths of a scope are tried in their order, one pattern after the other: those asked for most come first.
pub fn configure(config: &mut ServiceConfig) {
    config
        .service(
            scope("/v1/files")
                // Before what it would be taken for the id of.
                .service(resource("/batch").route(quick(post().to(batch_files))))
                .service(
                    resource("/{fil}")
                        .route(quick(get().to(get_file)))
                        .route(quick(patch().to(change_file)))
                        .route(quick(delete().to(delete_file))),
                )
                .service(
                    resource("/{fil}/content")
                        .route(transfer(get().to(get_file_content)))
                        .route(transfer(head().to(head_file_content)))
                        .route(transfer(put().to(put_file_content))),
                )
                .service(resource("").route(transfer(post().to(upload_file))).route(quick(get().to(list_files))))
                .service(resource("/{fil}/versions").route(quick(get().to(list_file_versions))))
                .service(
                    resource("/{fil}/versions/{version}")
                        .route(quick(get().to(get_file_version)))
                        .route(quick(delete().to(delete_file_version))),
                )
                .service(resource("/{fil}/versions/{version}/restore").route(quick(post().to(restore_file_version))))
                .service(resource("/{fil}/copy").route(quick(post().to(copy_file))))
                .service(resource("/{fil}/restore").route(quick(post().to(restore_file))))
                .service(
                    resource("/{fil}/links")
                        .route(quick(post().to(create_link)))
                        .route(quick(delete().to(revoke_links_of_file))),
                ),
        )
        .service(
            scope("/v1/links")
                .service(
                    resource("/{lnk}/content")
                        .route(linked(get().to(get_link_content)))
                        .route(linked(head().to(head_link_content)))
                        .route(linked(put().to(put_link_content))),
                )
                .service(resource("").route(quick(get().to(list_links))).route(quick(delete().to(revoke_links_of_key))))
                .service(resource("/{lnk}").route(quick(delete().to(revoke_link)))),
        )
        .service(
            scope("/v1/uploads")
                .service(
                    resource("/{upl}")
                        .route(tus(transfer(patch().to(continue_upload))))
                        .route(tus(transfer(head().to(head_upload))))
                        .route(tus(quick(delete().to(abandon_upload)))),
                )
                .service(
                    resource("")
                        .route(tus(transfer(post().to(begin_upload))))
                        .route(tus(quick(method(Method::OPTIONS).to(describe_uploads)))),
                ),
        )
        .service(resource("/v1/upload-links").route(quick(post().to(create_upload_link))))
        .service(
            scope("/v1/folders")
                .service(
                    resource("/{fld}")
                        .route(quick(get().to(get_folder)))
                        .route(quick(patch().to(change_folder)))
                        .route(quick(delete().to(delete_folder))),
                )
                .service(resource("").route(quick(post().to(create_folder))).route(quick(get().to(list_folders))))
                .service(resource("/{fld}/zip").route(transfer(get().to(get_folder_zip))))
                .service(resource("/{fld}/ancestors").route(quick(get().to(list_folder_ancestors))))
                .service(resource("/{fld}/copy").route(quick(post().to(copy_folder))))
                .service(resource("/{fld}/restore").route(quick(post().to(restore_folder)))),
        )
        .service(
            scope("/v1/workspaces")
                .service(
                    resource("/{wrk}")
                        .route(quick(get().to(get_workspace)))
                        .route(quick(patch().to(change_workspace)))
                        .route(quick(delete().to(delete_workspace))),
                )
                .service(resource("").route(quick(post().to(create_workspace))).route(quick(get().to(list_workspaces))))
                .service(resource("/{wrk}/restore").route(quick(post().to(restore_workspace)))),
        )
        .service(
            resource("/v1/content-keys")
                .route(quick(post().to(rotate_content_key)))
                .route(quick(get().to(list_content_keys))),
        )
        .service(resource("/v1/jobs").route(quick(get().to(list_jobs))))
        .service(resource("/v1/jobs/{job}").route(quick(get().to(get_job))))
        .service(resource("/v1/jobs/{job}/cancel").route(quick(post().to(cancel_job))))
        .service(resource("/v1/search").route(quick(get().to(search_items))))
        .service(resource("/v1/usage").route(quick(get().to(get_usage))));
}

/// Authenticated, and answered within the deadline.
fn quick(route: Route) -> Route {
    route.wrap(from_fn(authenticate))
}

/// Authenticated; content may take its time.
fn transfer(route: Route) -> Route {
    route.wrap(from_fn(authenticate_transfer))
}

/// Of tus, which has headers of its own in every answer.
fn tus(route: Route) -> Route {
    route.wrap(from_fn(speak_tus))
}

/// Let in by the signature in the address; content may take its time.
fn linked(route: Route) -> Route {
    route.wrap(from_fn(authenticate_link))
}
