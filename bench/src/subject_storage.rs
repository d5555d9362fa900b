//! The crate through its public API, with its default options.

use oauth_storage::device_authorization::{DevicePoll, DevicePollOutcome};
use oauth_storage::grant::{RotationOutcome, TokenRotation};
use oauth_storage::replay::{Claim, ClaimOutcome};
use oauth_storage::token::{NewToken, TokenRef};
use oauth_storage::{
    ClientStorage as _, CodeRedemption, DeviceAuthorizationStorage as _, GrantStorage as _,
    PgStorage, RedemptionOutcome, ReplayStorage as _, RequestContext, TokenPair, TokenStorage as _,
    User,
};

use uuid::Uuid;

use crate::data::{self, World};
use crate::server::PATIENCE;

pub(crate) struct Storage(pub(crate) PgStorage);

impl Storage {
    pub(crate) async fn connect(url: &str) -> Self {
        Self(PgStorage::builder().deadline(PATIENCE).connect(url).await.unwrap())
    }

    pub(crate) async fn get_token(&self, world: &World, n: u64) {
        let (client, token) = (world.client(n / 2), data::token(n));
        let request = RequestContext::default();
        let found = self.0.get_token(&request, &client.id, TokenRef::Any(&token)).await.unwrap();
        data::check_found(world, n, found.as_ref());
    }

    pub(crate) async fn introspect(&self, world: &World, n: u64) {
        let found = self.0.introspect(&data::token(n)).await.unwrap();
        data::check_found(world, n, found.as_ref());
    }

    pub(crate) async fn create_token(&self, world: &World, n: u64) {
        let client = world.client(n);
        let request = RequestContext::for_user(User::new(data::subject(n)));
        let scope = data::SCOPE.parse().unwrap();
        let tokens = TokenPair::generate().unwrap();
        let grant_id = tokens.grant_id();
        let new = NewToken::new(&client.id, scope, tokens);
        let token = self.0.create_token(&request, new).await.unwrap();
        assert!(token.is_active() && token.expires_in() == 3600, "{token:?}");
        assert_eq!((Some(token.grant_id), &token.client_id), (grant_id, &client.id));
    }

    pub(crate) async fn redeem(&self, world: &World, k: u64) {
        let client = world.client(k);
        let redemption = CodeRedemption::new(&client.id, data::REDIRECT_URI, data::code(k))
            .with_code_verifier(world.verifier.clone())
            .with_refresh_token(true);
        let outcome =
            self.0.redeem_authorization_code(&RequestContext::default(), redemption).await;
        let RedemptionOutcome::Issued(issued) = outcome.unwrap() else {
            panic!("code {k} was not issued")
        };
        let token = issued.token;
        assert_eq!((token.grant_id, &token.client_id), (data::grant_of_code(k), &client.id));
        assert_eq!(token.subject.as_deref(), Some(data::subject(k).as_str()));
    }

    pub(crate) async fn rotate(&self, world: &World, pair: u64) {
        let client = world.client(pair);
        let rotation = TokenRotation::new(&client.id, data::refresh_token(pair));
        let outcome =
            self.0.rotate_refresh_token(&RequestContext::default(), rotation).await.unwrap();
        let RotationOutcome::Issued(issued) = outcome else {
            panic!("pair {pair} was not rotated")
        };
        let token = issued.token;
        assert_eq!((token.grant_id, &token.client_id), (data::grant_of_pair(pair), &client.id));
    }

    /// The counts after the measurement show that it was revoked.
    pub(crate) async fn revoke_token(&self, world: &World, pair: u64) {
        let (client, token) = (world.client(pair), data::refresh_token(pair));
        let request = RequestContext::default();
        self.0.revoke_token(&request, &client.id, TokenRef::Any(&token)).await.unwrap();
    }

    pub(crate) async fn claim(&self) {
        let claim = Claim::new("bench", Uuid::now_v7().to_string(), data::CLAIM);
        assert_eq!(self.0.claim(claim).await.unwrap(), ClaimOutcome::First);
    }

    pub(crate) async fn poll(&self, world: &World, n: u64) {
        let n = n % data::DEVICES;
        let poll = DevicePoll::new(&world.client(n).id, data::device(n)).with_refresh_token(true);
        let outcome = self.0.poll_device_authorization(&RequestContext::default(), poll).await;
        let outcome = outcome.unwrap();
        let waits = matches!(outcome, DevicePollOutcome::Pending | DevicePollOutcome::SlowDown);
        assert!(waits, "{outcome:?}");
    }

    pub(crate) async fn get_client(&self, world: &World, n: u64) {
        let client = world.client(n);
        let request = RequestContext::default();
        let found = self.0.get_client(&request, &client.id, Some(&client.secret)).await.unwrap();
        assert_eq!(found.as_ref().map(|found| &found.client_id), Some(&client.id));
    }
}
