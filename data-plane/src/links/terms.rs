//! The terms of a link, as its address states and signs them. Pure.
//!
//! Signed are the method, the id in the path, and every name and value of the query in their order, so that no byte can be
//! changed, added, left out or moved. What is signed is what was sent: nothing is brought into a form before it is compared.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use rowhouse_domain::{LinkId, TenantId};
use rowhouse_keys::MasterKey;
use rowhouse_problem::{Code, Error, Result};
use serde::Deserialize;
use url::form_urlencoded;

use super::model::{Grant, Link};
use crate::files::model::{Place, UploadQuery};

/// What these signatures are for; another form of address gets another number.
const PURPOSE: &str = "link-1";
/// The last parameter.
const SIGNATURE: &str = "signature";
/// Longer ones are not ours: the longest name is 255 bytes, each of which may take three.
const MAX_QUERY_BYTES: usize = 4096;

/// What a link in use grants, and on whose behalf.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) id: LinkId,
    pub(crate) tenant: TenantId,
    /// The prefix of the key that made it.
    pub(crate) key: String,
    pub(crate) grant: Grant,
    pub(crate) expires_at: Timestamp,
}

/// The parameters beside the signature.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stated {
    tenant: TenantId,
    key: String,
    expires: i64,
    file: Option<rowhouse_domain::FileId>,
    version: Option<i32>,
    #[serde(default)]
    inline: bool,
    workspace: Option<rowhouse_domain::WorkspaceId>,
    folder: Option<rowhouse_domain::FolderId>,
    name: Option<String>,
    size: Option<u64>,
    #[serde(rename = "type")]
    media_type: Option<String>,
}

/// The path and query that open a link.
pub(crate) fn address(master: &MasterKey, link: &Link, tenant: TenantId, key_prefix: &str) -> String {
    let mut stated = vec![
        ("tenant", tenant.to_string()),
        ("key", key_prefix.to_owned()),
        ("expires", link.expires_at.as_second().to_string()),
    ];
    match &link.grant {
        Grant::Download { file, version, inline } => {
            stated.push(("file", file.to_string()));
            stated.extend(version.map(|number| ("version", number.to_string())));
            stated.extend(inline.then(|| ("inline", "true".to_owned())));
        }
        Grant::Upload { place, size, media_type } => {
            stated.push(("workspace", place.workspace.to_string()));
            stated.extend(place.folder.map(|id| ("folder", id.to_string())));
            stated.push(("name", place.name.to_string()));
            stated.push(("size", size.to_string()));
            stated.extend(media_type.iter().map(|kind| ("type", kind.clone())));
        }
    }
    let id = link.id.to_string();
    let fields = fields(link.grant.method(), &id, stated.iter().map(|(name, value)| (*name, value.as_str())));
    let signature = URL_SAFE_NO_PAD.encode(master.sign(PURPOSE, fields));
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(&stated)
        .append_pair(SIGNATURE, &signature)
        .finish();
    format!("/v1/links/{id}/content?{query}")
}

/// Reads what an address grants to a method.
///
/// # Errors
/// `invalid_link` where anything of it is not as it was signed, `expired_link` where its time is over.
pub(crate) fn read(master: &MasterKey, method: &str, id: &str, query: &str) -> Result<Terms> {
    if query.len() > MAX_QUERY_BYTES {
        return Err(invalid());
    }
    let mut pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let Some((name, signature)) = pairs.pop() else { return Err(invalid()) };
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| invalid())?;
    // What may be read may be asked about.
    let method = if method == "HEAD" { "GET" } else { method };
    let signed = fields(method, id, pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    if name != SIGNATURE || !master.is_signed(PURPOSE, signed, &signature) {
        return Err(invalid());
    }
    // From here on it is as we wrote it.
    let stated = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
    let stated = actix_web::web::Query::<Stated>::from_query(&stated).map_err(|_| invalid())?.into_inner();
    let expires_at = Timestamp::from_second(stated.expires).map_err(|_| invalid())?;
    if expires_at <= Timestamp::now() {
        return Err(Error::new(Code::ExpiredLink, "The link's time is over. Ask for another."));
    }
    Ok(Terms {
        id: id.parse().map_err(|_| invalid())?,
        tenant: stated.tenant,
        key: stated.key.clone(),
        grant: grant(stated)?,
        expires_at,
    })
}

fn grant(stated: Stated) -> Result<Grant> {
    if let Some(file) = stated.file {
        return Ok(Grant::Download { file, version: stated.version, inline: stated.inline });
    }
    let query = UploadQuery { workspace_id: stated.workspace, folder_id: stated.folder, name: stated.name };
    let place = Place::parse(&query).map_err(|_| invalid())?;
    Ok(Grant::Upload { place, size: stated.size.ok_or_else(invalid)?, media_type: stated.media_type })
}

fn fields<'a>(
    method: &'a str,
    id: &'a str,
    stated: impl Iterator<Item = (&'a str, &'a str)>,
) -> impl Iterator<Item = &'a [u8]> {
    let stated = stated.flat_map(|(name, value)| [name, value]);
    [method, id].into_iter().chain(stated).map(str::as_bytes)
}

/// One text for everything: what was wrong is nobody's business.
pub(crate) fn invalid() -> Error {
    Error::new(Code::InvalidLink, "The link was changed, or is not for this method. Use it exactly as it was given.")
}

/// Whoever made it, or the key that it was made with, has taken it back.
pub(crate) fn revoked() -> Error {
    Error::new(Code::RevokedLink, "The link was taken back. Ask for another.")
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use rowhouse_domain::{FileId, FolderId, ItemName, KeyId, WorkspaceId};

    use super::*;

    fn link(grant: Grant) -> Link {
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        let expires_at = now.saturating_add(SignedDuration::from_secs(60)).unwrap();
        Link { id: LinkId::new(), grant, key: KeyId::new(), expires_at, revoked_at: None, created_at: now }
    }

    fn download() -> Link {
        link(Grant::Download { file: FileId::new(), version: Some(3), inline: true })
    }

    fn upload() -> Link {
        let place = Place {
            workspace: WorkspaceId::new(),
            folder: Some(FolderId::new()),
            name: ItemName::parse("Größe & 100 %.txt").unwrap(),
        };
        link(Grant::Upload { place, size: 17, media_type: Some("text/plain".to_owned()) })
    }

    fn open(master: &MasterKey, method: &str, address: &str) -> Result<Terms> {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        let id = path.strip_prefix("/v1/links/").and_then(|rest| rest.strip_suffix("/content"));
        id.map_or_else(|| Err(invalid()), |id| read(master, method, id, query))
    }

    #[test]
    fn an_address_says_what_its_link_grants() {
        let (master, tenant) = (MasterKey::generate(), TenantId::new());
        let (download, upload) = (download(), upload());
        let terms = open(&master, "GET", &address(&master, &download, tenant, "abc")).unwrap();
        assert_eq!((terms.id, terms.tenant, terms.key.as_str()), (download.id, tenant, "abc"));
        assert_eq!(format!("{:?}", terms.grant), format!("{:?}", download.grant));
        let terms = open(&master, "PUT", &address(&master, &upload, tenant, "abc")).unwrap();
        assert_eq!(format!("{:?}", terms.grant), format!("{:?}", upload.grant));
    }

    #[test]
    fn the_method_is_part_of_it() {
        let (master, tenant) = (MasterKey::generate(), TenantId::new());
        let (download, upload) = (address(&master, &download(), tenant, "k"), address(&master, &upload(), tenant, "k"));
        assert!(open(&master, "HEAD", &download).is_ok());
        for (method, address) in [("PUT", &download), ("DELETE", &download), ("GET", &upload), ("HEAD", &upload)] {
            assert_eq!(open(&master, method, address).unwrap_err().code(), Code::InvalidLink, "{method}");
        }
    }

    /// An escape can be spelled in two ways, and an empty parameter is none.
    fn says_the_same(one: &str, other: &str) -> bool {
        let read = |address: &str| {
            let (path, query) = address.split_once('?').unwrap_or((address, ""));
            (path.to_owned(), form_urlencoded::parse(query.as_bytes()).into_owned().collect::<Vec<_>>())
        };
        read(one) == read(other)
    }

    #[test]
    fn no_byte_can_be_changed_left_out_or_added() {
        let master = MasterKey::generate();
        for (method, link) in [("GET", download()), ("PUT", upload())] {
            let address = address(&master, &link, TenantId::new(), "prefix");
            let begin = "/v1/links/".len();
            for place in begin..address.len() {
                let (left, right) = (&address[..place], &address[place + 1..]);
                let others = ['0', '1', 'A', 'a', 'z', '&', '=', '%'];
                let changed = others.map(|other| format!("{left}{other}{right}"));
                let longer = others.map(|other| format!("{left}{other}{}", &address[place..]));
                for other in changed.into_iter().chain(longer).chain([format!("{left}{right}")]) {
                    assert!(says_the_same(&other, &address) || open(&master, method, &other).is_err(), "{other}");
                }
            }
            let (path, query) = address.split_once('?').unwrap();
            let (first, rest) = query.split_once('&').unwrap();
            for changed in [format!("{path}?{rest}"), format!("{path}?{rest}&{first}"), format!("{address}&x=y")] {
                assert!(open(&master, method, &changed).is_err(), "{changed}");
            }
            let swapped =
                address.chars().map(|one| if one.is_ascii_lowercase() { one.to_ascii_uppercase() } else { one });
            assert!(open(&master, method, &swapped.collect::<String>()).is_err());
        }
    }

    #[test]
    fn time_passes() {
        let master = MasterKey::generate();
        let mut link = download();
        link.expires_at = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        let error = open(&master, "GET", &address(&master, &link, TenantId::new(), "k")).unwrap_err();
        assert_eq!(error.code(), Code::ExpiredLink);
    }
}
