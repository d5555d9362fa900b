//! Checks the histories against the rows of the database.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::database::{CodeRow, Database, GrantRow, Key, TokenRow};
use crate::error::Result;
use crate::ledger::{ClientHistory, Code, Expected, History, Kind, Ledger, Origin, Pair};
use crate::outcome::Outcome;

/// Checks every history of the ledger. Contradictions are counted in its tally.
pub(crate) async fn pass(ledger: &Ledger, database: &mut Database) -> Result<()> {
    let (histories, clients) = ledger.take();
    let codes = histories.iter().filter_map(|history| history.code.as_ref());
    let codes: Vec<_> = codes.map(|code| code.digest).collect();
    let pairs = histories.iter().flat_map(|history| &history.pairs);
    let tokens: Vec<_> = pairs.flat_map(Pair::digests).copied().collect();
    let mut tables = Tables {
        codes: database.codes(&codes).await?,
        tokens: database.tokens(&tokens).await?,
        ..Tables::default()
    };
    let grants: HashSet<_> = histories.iter().filter_map(|own| tables.grant_id(own)).collect();
    let grants: Vec<_> = grants.into_iter().collect();
    tables.grants = database.grants(&grants).await?;
    tables.tokens_of_grants = database.tokens_of_grants(&grants).await?;

    for history in &histories {
        let grant = tables.grant_id(history);
        for what in tables.contradictions(history) {
            ledger.tally.contradiction(|| format!("grant {grant:?}: {what}"));
        }
    }
    for client in &clients {
        let found = database.client(&client.client_id).await?;
        if let Some(what) = client_contradiction(client, found) {
            ledger.tally.contradiction(|| format!("client {}: {what}", client.client_id));
        }
    }
    Ok(())
}

/// The rows of the histories.
#[derive(Default)]
struct Tables {
    codes: HashMap<Key, CodeRow>,
    tokens: HashMap<Key, TokenRow>,
    grants: HashMap<Uuid, GrantRow>,
    tokens_of_grants: HashMap<Uuid, i64>,
}

impl Tables {
    /// The grant of a history: as its caller knows it, or else by a stored credential.
    fn grant_id(&self, history: &History) -> Option<Uuid> {
        let code = history.code.as_ref().and_then(|code| self.codes.get(code.digest.as_bytes()));
        let mut tokens = history.pairs.iter().filter_map(|pair| self.row(pair));
        let stored = || tokens.next().map(|token| token.grant_id);
        history.grant_id.or(code.map(|code| code.grant_id)).or_else(stored)
    }

    fn row(&self, pair: &Pair) -> Option<&TokenRow> {
        self.tokens.get(pair.access.as_bytes())
    }

    /// The number of stored pairs of this origin.
    fn stored(&self, history: &History, origin: Origin) -> usize {
        let of_origin = history.pairs.iter().filter(|pair| pair.origin == origin);
        of_origin.filter(|pair| self.row(pair).is_some()).count()
    }

    fn contradictions(&self, history: &History) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(code) = &history.code {
            found.extend(self.code(history, code));
        }
        for (index, pair) in history.pairs.iter().enumerate() {
            found.extend(self.pair(history, index, pair));
        }
        if let Some(grant_id) = self.grant_id(history) {
            let row = self.grants.get(&grant_id);
            found.extend(grant_contradiction(history, row).map(str::to_owned));
            found.extend(self.strangers(history, grant_id));
        }
        found
    }

    fn code(&self, history: &History, code: &Code) -> Vec<String> {
        let mut found = Vec::new();
        let row = self.codes.get(code.digest.as_bytes());
        match (code.created, row) {
            (Outcome::Acknowledged, None) => found.push("an acknowledged code is lost".into()),
            (Outcome::Refused, Some(_)) => found.push("a refused code is stored".into()),
            _ => {}
        }
        let stored = self.stored(history, Origin::Code);
        if stored > 1 {
            found.push(format!("one code was redeemed {stored} times"));
        }
        let Some(CodeRow { consumed, .. }) = row else { return found };
        // A deleted code is marked as used.
        let deleted = code.deleted.unwrap_or(Outcome::Refused);
        match (consumed, stored > 0, deleted) {
            (false, _, Outcome::Acknowledged) => found.push("a deleted code is not used".into()),
            (false, true, _) | (true, false, Outcome::Refused) => {
                found.push(format!("half a redemption: used is {consumed}, pairs {stored}"));
            }
            _ => {}
        }
        found
    }

    fn pair(&self, history: &History, index: usize, pair: &Pair) -> Vec<String> {
        let mut found = Vec::new();
        let is_stored = self.row(pair).is_some();
        match (pair.issued, is_stored) {
            (Outcome::Acknowledged, false) => {
                found.push(format!("acknowledged pair {index} is lost"));
            }
            (Outcome::Refused, true) => found.push(format!("refused pair {index} is stored")),
            _ => {}
        }
        let mut kinds = vec![(Kind::Access, pair.access)];
        kinds.extend(pair.refresh.map(|digest| (Kind::Refresh, digest)));
        for (kind, digest) in kinds {
            let row = self.tokens.get(digest.as_bytes());
            if row.is_some() != is_stored {
                found.push(format!("half of pair {index} is stored"));
            }
            let active = row.is_some_and(|row| row.active);
            match history.expected(index, kind) {
                Expected::Active if !active => {
                    found.push(format!("{kind:?} token {index}, acknowledged, is not active"));
                }
                Expected::Inactive if active => {
                    found.push(format!("{kind:?} token {index}, refused or ended, is active"));
                }
                _ => {}
            }
            if kind == Kind::Refresh
                && let Some(row) = row
            {
                let stored = self.stored(history, Origin::Refresh(index));
                if history.strict && stored > 1 {
                    found.push(format!("refresh token {index} was exchanged {stored} times"));
                }
                if row.rotated != (stored > 0) {
                    found.push(format!(
                        "half a rotation of {index}: rotated is {}, pairs {stored}",
                        row.rotated
                    ));
                }
            }
        }
        found
    }

    /// Tokens of the grant that no caller asked for.
    fn strangers(&self, history: &History, grant_id: Uuid) -> Option<String> {
        let asked_for = history
            .pairs
            .iter()
            .flat_map(Pair::digests)
            .filter_map(|digest| self.tokens.get(digest.as_bytes()))
            .filter(|row| row.grant_id == grant_id)
            .count();
        let stored = self.tokens_of_grants.get(&grant_id).copied().unwrap_or_default();
        (usize::try_from(stored) != Ok(asked_for))
            .then(|| format!("{stored} tokens are stored, {asked_for} of them asked for"))
    }
}

fn grant_contradiction(history: &History, row: Option<&GrantRow>) -> Option<&'static str> {
    let refused = |outcome| matches!(outcome, None | Some(Outcome::Refused));
    match row {
        None => (history.stored() == Outcome::Acknowledged && refused(history.erased))
            .then_some("the grant of an acknowledged credential is lost"),
        Some(_) if history.stored() == Outcome::Refused => {
            Some("a grant is stored whose credentials were all refused")
        }
        Some(_) if history.erased == Some(Outcome::Acknowledged) => {
            Some("an erased grant is stored")
        }
        Some(GrantRow { revoked: true }) if refused(history.revoked) => {
            Some("a grant is revoked that no caller revoked")
        }
        Some(GrantRow { revoked: false }) if history.revoked == Some(Outcome::Acknowledged) => {
            Some("an acknowledged revocation is lost")
        }
        Some(_) => None,
    }
}

fn client_contradiction(client: &ClientHistory, found: Option<bool>) -> Option<&'static str> {
    let kept = matches!(client.deleted, None | Some(Outcome::Refused));
    match (client.registered, found) {
        (Outcome::Acknowledged, None) if kept => Some("an acknowledged client is lost"),
        (Outcome::Refused, Some(_)) => Some("a refused client is stored"),
        (_, Some(_)) if client.deleted == Some(Outcome::Acknowledged) => {
            Some("a deleted client is stored")
        }
        // A deletion that was cut off has disabled the client.
        (_, Some(disabled))
            if client.disabled.1 == Outcome::Acknowledged
                && client.disabled.0 != disabled
                && !(disabled && client.deleted == Some(Outcome::Unknown)) =>
        {
            Some("its disabled flag is not the acknowledged one")
        }
        _ => None,
    }
}
