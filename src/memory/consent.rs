use std::ops::Bound;

use async_trait::async_trait;

use super::MemoryStorage;
use super::state::GrantRow;
use crate::check::{check_client_id, check_limit};
use crate::consent::{Consent, ConsentStorage, WithdrawalOutcome, check_consent, too_large};
use crate::error::Result;
use crate::scope::Scope;

#[async_trait]
impl ConsentStorage for MemoryStorage {
    async fn add_consent(&self, subject: &str, client_id: &str, scope: &Scope) -> Result<Consent> {
        check_consent(subject, client_id)?;
        let mut state = self.state().await;
        state.check_enabled(client_id)?;
        let now = state.now();
        let key = (subject.to_owned(), client_id.to_owned());
        let consent = match state.consents.get(&key) {
            Some(consent) => {
                let scope = consent.scope.union(scope).map_err(|_| too_large())?;
                Consent { scope, updated_at: now, ..consent.clone() }
            }
            None => Consent::new(key.0.clone(), key.1.clone(), scope.clone(), now, now),
        };
        state.consents.insert(key, consent.clone());
        Ok(consent)
    }

    async fn get_consent(&self, subject: &str, client_id: &str) -> Result<Option<Consent>> {
        let key = (subject.to_owned(), client_id.to_owned());
        Ok(self.state().await.consents.get(&key).cloned())
    }

    async fn list_consents(
        &self,
        subject: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Consent>> {
        check_limit(limit)?;
        after.map_or(Ok(()), check_client_id)?;
        let from = (subject.to_owned(), after.unwrap_or_default().to_owned());
        let state = self.state().await;
        let rest = state.consents.range((Bound::Excluded(from), Bound::Unbounded));
        let own = rest.map(|(_, consent)| consent).take_while(|c| c.subject == subject);
        Ok(own.take(limit).cloned().collect())
    }

    async fn withdraw_consent(&self, subject: &str, client_id: &str) -> Result<WithdrawalOutcome> {
        let key = (subject.to_owned(), client_id.to_owned());
        let mut state = self.state().await;
        let withdrawn = state.consents.remove(&key).is_some();
        let of_both = |grant: &GrantRow| {
            grant.subject.as_deref() == Some(subject) && grant.client_id == client_id
        };
        let revoked_grants = state.revoke_grants(|_, grant| of_both(grant));
        Ok(WithdrawalOutcome { withdrawn, revoked_grants })
    }
}
