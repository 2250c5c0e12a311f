//! Room for bytes and workspaces, reserved in `saas_platform` before anything is written.
//!
//! What was reserved is settled by the usage event of the change, or given back.

pub(crate) mod blocks;
mod store;

use rowhouse_problem::{Code, Error};

pub use blocks::Blocks;

pub use store::{commit, release, reserve, reserve_workspaces};
pub(crate) use store::{committing, give_back, hand_over, release_all};

/// A level's refusal: which one, its limit, and what is used and reserved there.
pub(crate) fn exceeded(level: &str, limit: i64, used: i64) -> Error {
    if level == "workspaces" {
        let detail = format!("The organization may have {limit} workspaces. Delete one, or ask for more.");
        let error = Error::new(Code::LimitReached, detail);
        return error.with("limit_name", "max_workspaces").with("limit", limit).with("used", used);
    }
    let detail = format!("The {level}'s quota of {limit} bytes has no room for it: {used} bytes are in use.");
    Error::new(Code::QuotaExceeded, detail).with("level", level).with("limit", limit).with("used", used)
}
