//! Loads rows with plain statements, in the shape of a server that has run for a while: the indexes
//! on digests grow in random order, those on grants and expiry in the order of time, and no two rows
//! expire at the same moment.

use std::ops::Range;

use sqlx::AssertSqlSafe;

use crate::data::{self, SCOPE, SPARE, World, sql};
use crate::progress::Progress;
use crate::server::Bench;

/// Grants, or codes, of one statement.
const CHUNK: u64 = 50_000;

/// The state of loaded rows.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum State {
    Live,
    Expired,
    Revoked,
}

impl State {
    /// The lifetimes of an access token and of a refresh token.
    fn lifetimes(self) -> [&'static str; 2] {
        match self {
            Self::Live | Self::Revoked => ["interval '1 day'", "interval '30 days'"],
            Self::Expired => ["interval '-2 hours'", "interval '-1 hour'"],
        }
    }

    fn revoked_at(self) -> &'static str {
        if self == Self::Revoked { "now()" } else { "NULL::timestamptz" }
    }
}

/// Grants of one owner, each with one access token.
pub(crate) struct Owned<'a> {
    pub(crate) numbers: Range<u64>,
    pub(crate) client_id: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) state: State,
}

impl Bench {
    /// Loads pairs of tokens by number, each in its own grant.
    pub(crate) async fn load_pairs(&self, from: u64, to: u64, state: State) {
        let [access, refresh] = state.lifetimes();
        let grant_id = sql::grant_of_pair("n");
        let grants = grants(&grant_id, refresh, &sql::client_id("n"), &sql::subject("n"), state);
        let tokens = tokens(
            &grant_id,
            "(2 * n + kind.number)",
            &format!("(VALUES ('a'::\"char\", 0, {access}), ('r', 1, {refresh}))"),
        );
        self.load("pairs of tokens", &[grants, tokens], from..to, CHUNK).await;
    }

    /// Loads codes by number with their grants, valid for a day.
    pub(crate) async fn load_codes(&self, world: &World, from: u64, to: u64) {
        let grant_id = sql::grant_of_code("n");
        let (client_id, subject) = (sql::client_id("n"), sql::subject("n"));
        let grants = grants(&grant_id, "interval '1 day'", &client_id, &subject, State::Live);
        let [digest, tail] = sql::halves("digest");
        let codes = format!(
            "INSERT INTO oauth_storage.authorization_code
                (issued_at, expires_at, grant_id, digest, digest_tail, response_type, redirect_uri,
                 code_challenge)
             SELECT now(), now() + interval '1 day' + (n % 1000000) * interval '1 millisecond',
                {grant_id}, {digest}, {tail}, 'code', '{redirect_uri}', '{challenge}'
             FROM generate_series($1::bigint, $2::bigint - 1) AS n
             CROSS JOIN LATERAL (SELECT {hash} AS digest OFFSET 0) AS hashed",
            redirect_uri = data::REDIRECT_URI,
            challenge = world.challenge.as_s256(),
            hash = sql::digest(&grant_id, "n"),
        );
        self.load("codes", &[grants, codes], from..to, CHUNK).await;
    }

    /// Loads device authorizations that wait for their users, valid for a day.
    pub(crate) async fn load_devices(&self) {
        let grant_id = sql::grant_of_device("n");
        let [digest, tail] = sql::halves("digest");
        let devices = format!(
            "INSERT INTO oauth_storage.device_authorization
                (issued_at, expires_at, grant_id, digest, digest_tail, user_code_digest, poll_interval,
                 client_id, scope)
             SELECT now(), now() + interval '1 day', {grant_id}, {digest}, {tail}, {grant_id}, 5, {client_id},
                '{scope}'
             FROM generate_series($1::bigint, $2::bigint - 1) AS n
             CROSS JOIN LATERAL (SELECT {hash} AS digest OFFSET 0) AS hashed",
            client_id = sql::client_id("n"),
            scope = data::SCOPE,
            hash = sql::digest(&grant_id, "n"),
        );
        self.load("device authorizations", &[devices], 0..data::DEVICES, CHUNK).await;
    }

    /// Loads grants of one client and one subject.
    pub(crate) async fn load_owned(&self, owned: &Owned<'_>) {
        let Owned { numbers, client_id, subject, state } = owned;
        let [access, _] = state.lifetimes();
        let grant_id = sql::grant_of_owner("n");
        let [client_id, subject] = [client_id, subject].map(|text| format!("'{text}'"));
        let grants = grants(&grant_id, access, &client_id, &subject, *state);
        let kinds = format!("(VALUES ('a'::\"char\", 0, {access}))");
        let tokens = tokens(&grant_id, "(2 * n + kind.number)", &kinds);
        self.load("grants", &[grants, tokens], numbers.clone(), CHUNK).await;
    }

    /// Loads rotations of one grant that [`load_owned`](Self::load_owned) has loaded: for each, an access
    /// token and a refresh token that was rotated.
    pub(crate) async fn load_rotations(&self, grant: u64, rotations: u64, state: State) {
        let [access, refresh] = state.lifetimes();
        let grant_id = sql::grant_of_owner(&format!("{grant}::bigint"));
        let kinds = format!("(VALUES ('a'::\"char\", 0, {access}), ('r', 1, {refresh}))");
        let tokens = tokens(&grant_id, "(2 * n + 1000000000 + kind.number)", &kinds);
        self.load("rotations", &[tokens], 0..rotations, CHUNK).await;
        self.sql(&format!(
            "UPDATE oauth_storage.token SET rotated_at = now()
             WHERE grant_id = {grant_id} AND kind = 'r' AND rotated_at IS NULL"
        ))
        .await
        .unwrap();
    }

    /// Rotates the loaded pairs once more: spends the refresh token of each pair's last rotation and
    /// stores the successors. The order differs in each round and a statement takes few rows, so the
    /// pages fill and are pruned as on a server in use.
    pub(crate) async fn load_round(&self, pairs: u64, round: u64) {
        let [access, refresh] = State::Live.lifetimes();
        // A permutation of the pairs: the factor is a prime that is larger than their number.
        let pair = format!("((n * 2654435761 + {round} * 40503) % {pairs})");
        let grant_id = sql::grant_of_pair("pair");
        let number = |round: u64| format!("({round} * 1000000000000 + 2 * pair + kind.number)");
        let source = format!(
            "FROM (SELECT {pair} AS pair FROM generate_series($1::bigint, $2::bigint - 1) AS n
                   OFFSET 0) AS pairs"
        );
        let [old, old_tail] = sql::halves("digest");
        let spend = format!(
            "UPDATE oauth_storage.token SET rotated_at = now()
             FROM (SELECT {old} AS digest, {old_tail} AS tail FROM (
                SELECT {hash} AS digest {source} CROSS JOIN (VALUES (1)) AS kind (number)
                OFFSET 0
             ) AS hashed) AS old
             WHERE token.digest = old.digest AND token.digest_tail = old.tail",
            hash = sql::digest(&grant_id, &number(round - 1)),
        );
        let [digest, tail] = sql::halves("digest");
        let store = format!(
            "INSERT INTO oauth_storage.token
                (issued_at, expires_at, grant_id, kind, digest, digest_tail)
             SELECT now(), now() + lifetime + (pair % 1000000) * interval '1 millisecond',
                grant_id, kind, {digest}, {tail}
             FROM (
                SELECT pair, {grant_id} AS grant_id, kind.kind, kind.lifetime, {hash} AS digest
                {source}
                CROSS JOIN (VALUES ('a'::\"char\", 0, {access}), ('r', 1, {refresh}))
                    AS kind (kind, number, lifetime)
                OFFSET 0
             ) AS new",
            hash = sql::digest(&grant_id, &number(round)),
        );
        self.load(&format!("rotations, round {round}"), &[spend, store], 0..pairs, 5_000).await;
    }

    /// Runs each statement for one chunk of numbers after another.
    async fn load(&self, what: &str, statements: &[String], numbers: Range<u64>, chunk: u64) {
        let total = numbers.end - numbers.start;
        let progress = Progress::new(format!("loading {total} {what}"), total);
        let mut connection = self.admin.acquire().await.unwrap();
        // Loaded rows need not be durable one by one: a checkpoint follows.
        let relax = sqlx::query("SET synchronous_commit = off");
        relax.execute(&mut *connection).await.unwrap();
        let mut next = numbers.start;
        while next < numbers.end {
            let end = (next + chunk).min(numbers.end);
            for statement in statements {
                sqlx::query(AssertSqlSafe(statement.clone()))
                    .bind(i64::try_from(next).unwrap())
                    .bind(i64::try_from(end).unwrap())
                    .execute(&mut *connection)
                    .await
                    .unwrap();
            }
            next = end;
            progress.at(next - numbers.start);
        }
        sqlx::query("RESET synchronous_commit").execute(&mut *connection).await.unwrap();
    }
}

/// Inserts a grant for each number `n`.
fn grants(grant_id: &str, lifetime: &str, client_id: &str, subject: &str, state: State) -> String {
    format!(
        "INSERT INTO oauth_storage.authorization_grant
            (granted_at, expires_at, revoked_at, grant_id, client_id, subject, scope)
         SELECT now(), now() + {lifetime} + (n % 1000000) * interval '1 millisecond',
            {revoked_at}, {grant_id}, {client_id}, {subject}, '{SCOPE}'
         FROM generate_series($1::bigint, $2::bigint - 1) AS n",
        revoked_at = state.revoked_at(),
    )
}

/// Inserts a token of each kind (kind, number, lifetime) for each number `n`.
fn tokens(grant_id: &str, number: &str, kinds: &str) -> String {
    let [digest, tail] = sql::halves("digest");
    format!(
        "INSERT INTO oauth_storage.token
            (issued_at, expires_at, grant_id, kind, digest, digest_tail)
         SELECT now(), now() + lifetime + (n % 1000000) * interval '1 millisecond', grant_id, kind,
            {digest}, {tail}
         FROM (
            SELECT n, {grant_id} AS grant_id, kind.kind, kind.lifetime, {hash} AS digest
            FROM generate_series($1::bigint, $2::bigint - 1) AS n
            CROSS JOIN {kinds} AS kind (kind, number, lifetime)
            OFFSET 0
         ) AS new",
        hash = sql::digest(grant_id, number),
    )
}

/// The rows to spend, each handed out once.
pub(crate) struct Spare {
    next_code: u64,
    next_pair: u64,
}

impl Spare {
    pub(crate) fn new() -> Self {
        Self { next_code: 0, next_pair: SPARE }
    }

    pub(crate) async fn codes(&mut self, bench: &Bench, world: &World, count: u64) -> Range<u64> {
        let range = self.next_code..self.next_code + count;
        self.next_code = range.end;
        bench.load_codes(world, range.start, range.end).await;
        range
    }

    pub(crate) async fn pairs(&mut self, bench: &Bench, count: u64) -> Range<u64> {
        let range = self.next_pair..self.next_pair + count;
        self.next_pair = range.end;
        bench.load_pairs(range.start, range.end, State::Live).await;
        range
    }
}
