//! A connection on loan from its cluster.

use std::sync::Arc;

use deadpool_postgres::ClientWrapper;

use super::cluster::Cluster;
use super::door::TenantLink;
use super::ledger::Terms;

/// A connection and whom it goes back to when this is dropped.
pub(crate) struct Loan {
    link: Option<TenantLink>,
    terms: Terms,
    cluster: Arc<Cluster>,
}

impl std::fmt::Debug for Loan {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Loan").field("terms", &self.terms).finish_non_exhaustive()
    }
}

impl Loan {
    pub(super) fn new(cluster: &Arc<Cluster>, link: TenantLink, terms: Terms) -> Self {
        Self { link: Some(link), terms, cluster: Arc::clone(cluster) }
    }

    pub(crate) fn client(&self) -> &ClientWrapper {
        &self.link.as_ref().expect("the link is taken only at the end").client
    }

    pub(crate) fn client_mut(&mut self) -> &mut ClientWrapper {
        &mut self.link.as_mut().expect("the link is taken only at the end").client
    }

    /// Has this use of the connection count for nothing when idle ones are told apart: a look at every tenant in turn would leave
    /// all of them as proven as those that are asked again and again.
    pub(super) fn in_background(mut self) -> Self {
        self.terms.loans = self.terms.loans.saturating_sub(1);
        self
    }

    /// Closes the connection instead of giving it back; what it runs is ended first, if it is to be.
    pub(crate) fn abandon(mut self, is_to_be_cancelled: bool) {
        if let Some(link) = self.link.take() {
            self.cluster.abandon(self.terms, link, is_to_be_cancelled);
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            self.cluster.give_back(self.terms, link);
        }
    }
}
