//! The rows to measure on. They are deterministic, so every subject computes the same credentials.
//!
//! Pair `p` is access token `2p` and refresh token `2p + 1`, in its own grant, of client `p % 10`.
//! Lookups take the pairs from 0. Operations that spend a pair take those from [`SPARE`], and codes by
//! number, each once. All credentials name their grants, as generated ones do.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth_storage::authorization_code::CodeChallenge;
use oauth_storage::backend::TokenHash;
use oauth_storage::token::Token;
use oauth_storage::{ClientMetadata, ClientRegistry as _, NewClient, PgStorage, Secret};
use uuid::Uuid;

/// The first pair to spend.
pub(crate) const SPARE: u64 = 1_000_000_000;
pub(crate) const REDIRECT_URI: &str = "https://client.example/cb";
/// The lifetime of a claimed identifier.
pub(crate) const CLAIM: std::time::Duration = std::time::Duration::from_mins(1);
pub(crate) const SCOPE: &str = "openid profile";
/// One verifier for all codes; each code is still checked.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CLIENTS: u64 = 10;
/// The number of devices that poll.
pub(crate) const DEVICES: u64 = 10_000;

/// The milliseconds in a grant's UUIDv7 are these plus its number.
const PAIR_EPOCH: u64 = 1_700_000_000_000;
const CODE_EPOCH: u64 = 1_600_000_000_000;
const OWNER_EPOCH: u64 = 1_500_000_000_000;
const DEVICE_EPOCH: u64 = 1_400_000_000_000;

pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) secret: Secret,
}

/// The data as the subjects know it.
pub(crate) struct World {
    pub(crate) clients: Vec<Client>,
    /// The number of tokens that lookups pick from.
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
    credential(grant_of_pair(n / 2), n)
}

pub(crate) fn refresh_token(pair: u64) -> Secret {
    token(2 * pair + 1)
}

pub(crate) fn code(k: u64) -> Secret {
    credential(grant_of_code(k), k)
}

pub(crate) fn device(n: u64) -> Secret {
    credential(grant(DEVICE_EPOCH, n), n)
}

/// A credential in the form of a generated one, with a number in place of the random bytes.
pub(crate) fn credential(grant_id: Uuid, n: u64) -> Secret {
    let mut bytes = [0; 48];
    bytes[..16].copy_from_slice(grant_id.as_bytes());
    bytes[40..].copy_from_slice(&n.to_be_bytes());
    let mut text = String::with_capacity(68);
    text.push_str("oas_");
    URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
    Secret::new(text)
}

/// The two columns that a digest is stored in.
pub(crate) fn halves(digest: &TokenHash) -> [Uuid; 2] {
    let half = |range| Uuid::from_slice(&digest.as_bytes()[range]).unwrap();
    [half(0..16), half(16..32)]
}

pub(crate) fn subject(n: u64) -> String {
    format!("00000000-0000-4000-9000-{n:012x}")
}

pub(crate) fn grant_of_pair(pair: u64) -> Uuid {
    grant(PAIR_EPOCH, pair)
}

pub(crate) fn grant_of_code(k: u64) -> Uuid {
    grant(CODE_EPOCH, k)
}

/// A grant of an owner with many grants.
pub(crate) fn grant_of_owner(n: u64) -> Uuid {
    grant(OWNER_EPOCH, n)
}

fn grant(epoch: u64, n: u64) -> Uuid {
    let random = 0x8000_0000_0000_0000 | (n * 1_000_003);
    Uuid::from_u64_pair(((epoch + n) << 16) | 0x7000 | (n % 4096), random)
}

/// Panics unless the requested token was found.
pub(crate) fn check_found(world: &World, n: u64, found: Option<&Token>) {
    let token = found.unwrap_or_else(|| panic!("token {n} was not found"));
    assert!(token.is_active(), "token {n} is {:?}", token.state);
    assert_eq!(token.client_id, world.client(n / 2).id, "the client of token {n}");
    assert_eq!(token.grant_id, grant_of_pair(n / 2), "the grant of token {n}");
    assert_eq!(token.subject.as_deref(), Some(subject(n / 2).as_str()), "subject of token {n}");
}

/// The same functions as SQL expressions. `n` is an expression for a bigint.
pub(crate) mod sql {
    use super::{CLIENTS, CODE_EPOCH, DEVICE_EPOCH, OWNER_EPOCH, PAIR_EPOCH};

    pub(crate) fn grant_of_pair(n: &str) -> String {
        grant(PAIR_EPOCH, n)
    }

    pub(crate) fn grant_of_code(n: &str) -> String {
        grant(CODE_EPOCH, n)
    }

    pub(crate) fn grant_of_device(n: &str) -> String {
        grant(DEVICE_EPOCH, n)
    }

    pub(crate) fn grant_of_owner(n: &str) -> String {
        grant(OWNER_EPOCH, n)
    }

    fn grant(epoch: u64, n: &str) -> String {
        format!(
            "(lpad(to_hex({epoch} + {n}), 12, '0') || '7' || lpad(to_hex({n} % 4096), 3, '0') \
             || '8' || lpad(to_hex({n} * 1000003), 15, '0'))::uuid"
        )
    }

    /// The digest of the credential of a grant with this number.
    pub(crate) fn digest(grant_id: &str, n: &str) -> String {
        format!(
            "sha256(convert_to('oas_' || translate(encode(uuid_send({grant_id}) || \
             decode(lpad(to_hex({n}), 64, '0'), 'hex'), 'base64'), '+/', '-_'), 'UTF8'))"
        )
    }

    /// The columns `digest` and `digest_tail` of a digest.
    pub(crate) fn halves(digest: &str) -> [String; 2] {
        [1, 17].map(|start| format!("encode(substr({digest}, {start}, 16), 'hex')::uuid"))
    }

    pub(crate) fn client_id(n: &str) -> String {
        format!("('00000000-0000-4000-8000-00000000000' || ({n} % {CLIENTS}))")
    }

    pub(crate) fn subject(n: &str) -> String {
        format!("('00000000-0000-4000-9000-' || lpad(to_hex({n}), 12, '0'))")
    }
}

/// A small random number generator, which costs little beside a call.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        // xorshift64*, whose high bits are the random ones.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D);
        u64::try_from((u128::from(bits) * u128::from(limit)) >> 64).unwrap_or(0)
    }
}
