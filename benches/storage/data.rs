//! The rows that are measured on: deterministic, so that every subject computes the same names.
//!
//! Pair `p` is the access token `bench-token-{2p}` and the refresh token `bench-token-{2p+1}`, of
//! client `p % 10`. Lookups take the pairs from 0; what is spent comes from [`SPARE`] on, each pair
//! and each code (`bench-code-{k}`) once.

use oauth_storage::{
    ClientMetadata, ClientRegistry as _, CodeChallenge, NewClient, PgStorage, Secret, Token,
};
use uuid::Uuid;

/// Where the pairs to spend begin.
pub(crate) const SPARE: u64 = 1_000_000_000;
pub(crate) const REDIRECT_URI: &str = "https://client.example/cb";
pub(crate) const SCOPE: &str = "openid profile";
/// One verifier for all codes: each is checked all the same.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CLIENTS: u64 = 10;

/// In front of the version digit of a grant's UUID, where version 7 has the milliseconds.
const TOKEN_EPOCH: u64 = 1_700_000_000_000;
const CODE_EPOCH: u64 = 1_600_000_000_000;

pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) secret: Secret,
}

/// What the subjects know of the data.
pub(crate) struct World {
    pub(crate) clients: Vec<Client>,
    /// How many tokens a lookup picks from.
    pub(crate) rows: u64,
    pub(crate) verifier: Secret,
    pub(crate) challenge: CodeChallenge,
}

impl World {
    /// Registers the clients.
    pub(crate) async fn new(storage: &PgStorage, rows: u64) -> Self {
        let mut clients = Vec::new();
        for i in 0..CLIENTS {
            let metadata = ClientMetadata::authorization_code([REDIRECT_URI])
                .with_scope(SCOPE.parse().unwrap());
            let new = NewClient::new(metadata).with_client_id(client_id(i));
            let registered = storage.register_client(new).await.unwrap();
            let secret = registered.client_secret.unwrap();
            clients.push(Client { id: registered.client.client_id, secret });
        }
        let verifier = Secret::new(VERIFIER);
        let challenge = CodeChallenge::s256(&verifier);
        Self { clients, rows, verifier, challenge }
    }

    pub(crate) fn client(&self, n: u64) -> &Client {
        let index = usize::try_from(n % CLIENTS).unwrap();
        &self.clients[index]
    }
}

pub(crate) fn client_id(n: u64) -> String {
    format!("00000000-0000-4000-8000-00000000000{}", n % CLIENTS)
}

pub(crate) fn token(n: u64) -> Secret {
    Secret::new(format!("bench-token-{n}"))
}

pub(crate) fn refresh_token(pair: u64) -> Secret {
    token(2 * pair + 1)
}

pub(crate) fn code(k: u64) -> Secret {
    Secret::new(format!("bench-code-{k}"))
}

pub(crate) fn subject(n: u64) -> String {
    format!("00000000-0000-4000-9000-{n:012x}")
}

pub(crate) fn grant_of_pair(pair: u64) -> Uuid {
    grant(TOKEN_EPOCH, pair)
}

pub(crate) fn grant_of_code(k: u64) -> Uuid {
    grant(CODE_EPOCH, k)
}

fn grant(epoch: u64, n: u64) -> Uuid {
    let digits = format!("{:012x}7{:03x}8{:015x}", epoch + n, n % 4096, n * 1_000_003);
    Uuid::parse_str(&digits).unwrap()
}

/// Whether an answer is the token that was asked for; anything else ends the benchmark.
pub(crate) fn check_found(world: &World, n: u64, found: Option<&Token>) {
    let token = found.unwrap_or_else(|| panic!("token {n} was not found"));
    assert!(token.is_active(), "token {n} is {:?}", token.state);
    assert_eq!(token.client_id, world.client(n / 2).id, "the client of token {n}");
    assert_eq!(token.grant_id, grant_of_pair(n / 2), "the grant of token {n}");
    assert_eq!(token.subject.as_deref(), Some(subject(n / 2).as_str()), "subject of token {n}");
}

/// The same functions in SQL, for `n`.
pub(crate) fn sql_grant_of_pair(n: &str) -> String {
    sql_grant(TOKEN_EPOCH, n)
}

pub(crate) fn sql_grant_of_code(n: &str) -> String {
    sql_grant(CODE_EPOCH, n)
}

fn sql_grant(epoch: u64, n: &str) -> String {
    format!(
        "(lpad(to_hex({epoch} + {n}), 12, '0') || '7' || lpad(to_hex({n} % 4096), 3, '0') || '8' \
         || lpad(to_hex({n} * 1000003), 15, '0'))::uuid"
    )
}

pub(crate) fn sql_client_id(n: &str) -> String {
    format!("'00000000-0000-4000-8000-00000000000' || ({n} % {CLIENTS})")
}

pub(crate) fn sql_subject(n: &str) -> String {
    format!("'00000000-0000-4000-9000-' || lpad(to_hex({n}), 12, '0')")
}

/// A small generator: the random numbers must not cost what is measured.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        // xorshift64*; its high bits are the good ones.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D);
        u64::try_from((u128::from(bits) * u128::from(limit)) >> 64).unwrap_or(0)
    }
}
