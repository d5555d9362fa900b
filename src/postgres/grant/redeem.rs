use sqlx::PgConnection;
use sqlx::postgres::PgDatabaseError;
use uuid::Uuid;

use crate::error::Error;
use crate::model::{CodeChallenge, CodeRedemption, Lifetimes, TokenPair};
use crate::postgres::error::Effect;
use crate::postgres::executor::Operation;
use crate::postgres::grant::SpentRow;
use crate::postgres::token::{PairColumns, PairDigests, by_position, duplicate_token};
use crate::request::Request;
use crate::secret::Digest;

/// Spends a code and stores its tokens.
pub(super) struct RedeemCode {
    digest: Digest,
    client_id: String,
    redirect_uri: String,
    code_challenge: Option<CodeChallenge>,
    tokens: PairDigests,
    lifetimes: Lifetimes,
}

impl RedeemCode {
    /// `None` for what cannot be valid.
    pub(super) fn new(
        request: &Request,
        redemption: &CodeRedemption,
        tokens: &TokenPair,
    ) -> Option<Self> {
        let code_challenge = redemption.expected_challenge()?;
        Some(Self {
            digest: redemption.code.digest(),
            client_id: redemption.client_id.clone(),
            redirect_uri: redemption.redirect_uri.clone(),
            code_challenge,
            tokens: PairDigests::new(tokens),
            lifetimes: Lifetimes::new(&request.settings, tokens.refresh_token.is_some()),
        })
    }
}

impl Operation for RedeemCode {
    /// `None` for an invalid code.
    type Outcome = Option<SpentRow>;
    const NAME: &'static str = "redeem_authorization_code";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let each = || batch.iter();
        let (digest, tail): (Vec<Uuid>, Vec<Uuid>) = each().map(|r| r.digest.halves()).unzip();
        let client_id: Vec<&str> = each().map(|r| r.client_id.as_str()).collect();
        let redirect_uri: Vec<&str> = each().map(|r| r.redirect_uri.as_str()).collect();
        let code_challenge: Vec<Option<&str>> =
            each().map(|r| r.code_challenge.as_ref().map(CodeChallenge::as_s256)).collect();
        let tokens = PairColumns::new(each().map(|r| &r.tokens));
        let access_expires_in: Vec<i64> = each().map(|r| r.lifetimes.access_token).collect();
        let refresh_expires_in: Vec<i64> = each().map(|r| r.lifetimes.refresh_token).collect();
        let grant_expires_in: Vec<i64> = each().map(|r| r.lifetimes.grant).collect();
        let refresh_end_in: Vec<Option<i64>> = each().map(|r| r.lifetimes.refresh_end).collect();
        let rows = sqlx::query_file_as!(
            SpentRow,
            "src/postgres/sql/redeem_authorization_code.sql",
            &digest,
            &tail,
            &client_id as _,
            &redirect_uri as _,
            &code_challenge as _,
            &tokens.access,
            &tokens.access_tail,
            &tokens.refresh as _,
            &tokens.refresh_tail as _,
            &access_expires_in,
            &refresh_expires_in,
            &grant_expires_in,
            &refresh_end_in as _,
        )
        .fetch_all(connection)
        .await?;
        Ok(by_position(batch.len(), rows.into_iter().map(|row| (row.position, row))))
    }

    fn key(&self) -> Option<u128> {
        Some(self.digest.halves().0.as_u128())
    }

    fn refused(&self, error: &PgDatabaseError) -> Option<Error> {
        duplicate_token(error)
    }
}
