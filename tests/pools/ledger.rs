//! What clients were promised, kept on their side, and whether the promise was kept.

use std::collections::{BTreeMap, HashMap};

use crate::estate::Tenant;

/// Every upload that was sent, by tenant and name.
#[derive(Default)]
pub(crate) struct Ledger {
    sent: HashMap<(usize, String), Entry>,
}

struct Entry {
    content: String,
    /// The file's id, where it was acknowledged.
    file: Option<String>,
}

impl Ledger {
    /// Notes that an upload is sent.
    pub(crate) fn sent(&mut self, tenant: usize, name: &str, content: &str) {
        let entry = Entry { content: content.to_owned(), file: None };
        self.sent.insert((tenant, name.to_owned()), entry);
    }

    /// Notes that it was acknowledged.
    pub(crate) fn acknowledge(&mut self, tenant: usize, name: &str, file: &str) {
        if let Some(entry) = self.sent.get_mut(&(tenant, name.to_owned())) {
            entry.file = Some(file.to_owned());
        }
    }

    /// How many were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.sent.values().filter(|entry| entry.file.is_some()).count()
    }

    /// Asserts that everything acknowledged is there, that everything that is there is whole, and that nothing is there twice
    /// or was never sent.
    pub(crate) async fn expect_kept(&self, tenants: &[Tenant]) {
        assert!(self.sent.is_empty() || self.acknowledged() > 0, "no upload was acknowledged");
        let each = tenants.iter().enumerate().map(|(place, tenant)| self.expect_kept_by(place, tenant));
        futures::future::join_all(each).await;
    }

    async fn expect_kept_by(&self, place: usize, tenant: &Tenant) {
        let found = files_of(tenant).await;
        for ((_, name), entry) in self.sent.iter().filter(|((sent_by, _), _)| *sent_by == place) {
            if let Some(file) = &entry.file {
                assert_eq!(found.get(name), Some(file), "{name} was acknowledged ({})", tenant.isolation);
            }
        }
        for (name, file) in &found {
            let expected = match self.sent.get(&(place, name.clone())) {
                Some(entry) => &entry.content,
                None if *file == tenant.file => &tenant.content,
                None => panic!("{} has {name}, which nobody sent", tenant.mark),
            };
            let content = tenant.get(&format!("/v1/files/{file}/content")).await.expect("an answer");
            assert_eq!((content.status, &content.body), (200, expected), "the content of {name}");
        }
    }
}

/// All files of a tenant, by name.
pub(crate) async fn files_of(tenant: &Tenant) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/files?workspace_id={}&limit=100{cursor}", tenant.workspace);
        let page = tenant.get(&path).await.expect("an answer");
        assert_eq!(page.status, 200, "{page:?}");
        let page = page.json();
        for item in page["items"].as_array().unwrap() {
            let text = |member: &str| item[member].as_str().unwrap().to_owned();
            let twice = found.insert(text("name"), text("id"));
            assert_eq!(twice, None, "{} is there twice", text("name"));
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}
