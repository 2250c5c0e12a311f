//! Versions in the order of their keys, the newest of each first: pages of S3's list of versions, which go on anywhere.

use std::collections::HashMap;

use rowhouse_domain::FileId;
use s3s::{S3ErrorCode, S3Result};

use super::failure::failure;
use super::listing::{END, Item};
use super::objects;
use super::operations::{Door, MOST_KEYS};
use crate::authentication::Caller;
use crate::files::doors;
use crate::files::model::Version;

/// A page of a list of versions.
#[derive(Default)]
pub(super) struct VersionPage {
    /// Key, whether it is the current one, and the version.
    pub(super) versions: Vec<(String, bool, Version)>,
    pub(super) prefixes: Vec<String>,
    /// The key and the version to go on behind, where there is more.
    pub(super) next: Option<(String, String)>,
    most: usize,
    last: Option<(String, i32)>,
}

impl VersionPage {
    fn room(&self) -> usize {
        self.most - self.versions.len() - self.prefixes.len()
    }

    /// Whether there is room for what lies at this place. Where there is none, the next page begins with it.
    fn has_room(&mut self, place: (String, i32)) -> bool {
        if self.room() == 0 {
            self.next = self.last.take().map(|(key, version)| (key, version.to_string()));
            return false;
        }
        self.last = Some(place);
        true
    }

    /// Takes in the versions of a key, as far as there is room.
    fn take_in(&mut self, key: &str, current: i32, versions: Vec<Version>) -> bool {
        for version in versions {
            if !self.has_room((key.to_owned(), version.version_number)) {
                return false;
            }
            self.versions.push((key.to_owned(), version.version_number == current, version));
        }
        true
    }
}

impl Door {
    /// Lists versions, `behind` a key or a version of it.
    pub(super) async fn list_versions(
        &self,
        caller: &Caller,
        bucket: &str,
        how: (Option<&str>, Option<&str>),
        (key, version): (Option<&str>, Option<&str>),
        max_keys: Option<i32>,
    ) -> S3Result<VersionPage> {
        let most = usize::try_from(max_keys.unwrap_or(MOST_KEYS).clamp(0, MOST_KEYS)).unwrap_or(0);
        let mut page = VersionPage { most, ..VersionPage::default() };
        let key = key.unwrap_or_default();
        if most == 0 {
            return Ok(page);
        }
        let version = version.filter(|version| !version.is_empty()).map(objects::read_version).transpose()?;
        if let Some(before) = version.filter(|_| is_asked_for(key, how)) {
            let (current, versions) = self.older(caller, (bucket, key), before, most + 1).await?;
            if !page.take_in(key, current, versions) {
                return Ok(page);
            }
        }
        // With nothing left to tell, only whether there is more.
        let room = page.room();
        let keys = self.list(caller, bucket, how, key, i32::try_from(room.max(1)).ok()).await?;
        let files: Vec<FileId> = keys.items.iter().filter_map(Item::file).collect();
        let mut found: HashMap<FileId, Vec<Version>> = HashMap::new();
        {
            let tenant = caller.connection(&self.0).await.map_err(failure)?;
            for version in doors::versions(&tenant, &files, room + 1).await.map_err(failure)? {
                found.entry(version.file_id).or_default().push(version);
            }
        }
        for item in keys.items {
            let is_taken = match item {
                // What lies under it comes behind it and is told by it.
                Item::Prefix(prefix) => {
                    let has_room = page.has_room((format!("{prefix}{END}"), 1));
                    page.prefixes.extend(has_room.then_some(prefix));
                    has_room
                }
                Item::Object { key, found: object } => {
                    page.take_in(&key, object.version, found.remove(&object.id).unwrap_or_default())
                }
            };
            if !is_taken {
                return Ok(page);
            }
        }
        page.next = keys.next.map(|key| (key, "1".to_owned()));
        Ok(page)
    }

    /// The number of a key's current version, and its versions before one of them.
    async fn older(
        &self,
        caller: &Caller,
        (bucket, key): (&str, &str),
        before: i32,
        most: usize,
    ) -> S3Result<(i32, Vec<Version>)> {
        use S3ErrorCode::{InvalidArgument, KeyTooLongError, NoSuchKey};
        let tenant = caller.connection(&self.0).await.map_err(failure)?;
        let stored = match objects::stored(&tenant, bucket, key, None).await {
            Ok(stored) => stored,
            // It went meanwhile, or is only a place to go on behind.
            Err(error) if matches!(error.code(), NoSuchKey | InvalidArgument | KeyTooLongError) => {
                return Ok((0, Vec::new()));
            }
            Err(error) => return Err(error),
        };
        let versions = doors::versions_before(&tenant, stored.file, before, most).await.map_err(failure)?;
        Ok((stored.version, versions))
    }
}

/// Whether a list tells of this key itself: it begins with the prefix, and is not summed up.
fn is_asked_for(key: &str, (prefix, delimiter): (Option<&str>, Option<&str>)) -> bool {
    let rest = key.strip_prefix(prefix.unwrap_or_default());
    rest.is_some_and(|rest| !rest.is_empty() && (delimiter.is_none_or(str::is_empty) || !rest.contains('/')))
}
