//! Buckets made and removed: workspaces, by the functions of the native door.

use rowhouse_domain::Scope;
use rowhouse_problem::Code;
use rowhouse_web::{IdempotencyKey, IfMatch};
use s3s::{S3Error, S3ErrorCode, S3Result};

use super::failure::failure;
use super::{bucket, objects};
use crate::authentication::Caller;
use crate::state::AppState;
use crate::workspaces::change::{self, Deletable};
use crate::workspaces::model::CreateWorkspace;

/// Makes a workspace that has the bucket's name as its own and as its identifier. Clients ask for it before they write, to be
/// sure, with whichever key: that it is there is all that they want to hear of one that is.
pub(super) async fn make(state: &AppState, caller: &Caller, name: &str) -> S3Result<()> {
    if is_there(state, caller, name).await? {
        return Err(S3Error::new(S3ErrorCode::BucketAlreadyOwnedByYou));
    }
    if !bucket::is_allowed(name) {
        let message = "A name is 3 to 63 of `a-z0-9-`, begins and ends with a letter or digit, and not with `wrk-`.";
        return Err(S3Error::with_message(S3ErrorCode::InvalidBucketName, message));
    }
    caller.require(Scope::ManageWorkspaces).map_err(failure)?;
    match change::create(state, caller, &IdempotencyKey(None), CreateWorkspace::named(name)).await {
        Ok(_) => Ok(()),
        // Somebody else may have made it meanwhile, or it is the name of a workspace that does not go by it.
        Err(error) if error.code() == Code::NameTaken => Err(if is_there(state, caller, name).await? {
            S3Error::new(S3ErrorCode::BucketAlreadyOwnedByYou)
        } else {
            S3Error::with_message(S3ErrorCode::BucketAlreadyExists, error.detail().to_owned())
        }),
        Err(error) => Err(failure(error)),
    }
}

/// Puts an empty workspace into the trash, with the folders that are left in it.
pub(super) async fn remove(state: &AppState, caller: &Caller, name: &str) -> S3Result<()> {
    let workspace = {
        let tenant = caller.connection(state).await.map_err(failure)?;
        objects::workspace(&tenant, name).await?
    };
    let removed = change::delete(state, caller, workspace, &IfMatch::from_text(None), Deletable::Empty).await;
    removed.map(drop).map_err(failure)
}

async fn is_there(state: &AppState, caller: &Caller, name: &str) -> S3Result<bool> {
    let tenant = caller.connection(state).await.map_err(failure)?;
    match objects::workspace(&tenant, name).await {
        Ok(_) => Ok(true),
        Err(error) if *error.code() == S3ErrorCode::NoSuchBucket => Ok(false),
        Err(error) => Err(error),
    }
}
