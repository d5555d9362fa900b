//! The storage on PostgreSQL: with any input, each call succeeds or is refused as the caller's mistake,
//! every stored value comes back, and no call affects another.

mod hostile;

use std::collections::HashMap;
use std::time::Duration;

use oauth_storage::jwt::{IdTokenSigner, SigningKey};
use oauth_storage::postgres::NewUser;
use oauth_storage::token::NewToken;
use oauth_storage::{
    AuthorizationCodeStorage as _, ClientMetadata, ClientRegistry as _, ClientStorage as _, Error,
    GrantStorage as _, NewAuthorizationCode, NewClient, PgStorage, RequestContext, Scope, Secret,
    TokenPair, TokenStorage as _, User, UserStorage as _,
};
use oauth_storage_testbed::Database;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::inputs::{context, credential, metadata, text};

const URI: &str = "https://client.example/cb";

/// A storage on its own database, with its runtime.
struct Bed {
    storage: PgStorage,
    client_id: String,
    _database: Database,
    runtime: Runtime,
}

impl Bed {
    /// One lane for reads and one for writes, so that concurrent calls share a batch.
    fn new(label: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (storage, database, client_id) = runtime.block_on(async {
            let testbed = oauth_storage_testbed::shared().await.unwrap();
            let database = testbed.database(label).await.unwrap();
            let signer = IdTokenSigner::new("https://op.example", SigningKey::generate().unwrap());
            let builder = PgStorage::builder().password_users().id_tokens(signer.unwrap());
            let builder = builder.lanes(1).deadline(Duration::from_secs(60));
            let storage = builder.connect(database.url()).await.unwrap();
            storage.migrate().await.unwrap();
            let client_id = register(&storage).await;
            (storage, database, client_id)
        });
        Self { storage, client_id, _database: database, runtime }
    }

    /// Runs a quarter of the cases of the other properties, because each case is many calls.
    fn check<S: Strategy>(
        &self,
        strategy: &S,
        mut case: impl AsyncFnMut(&Self, S::Value) -> TestCaseResult,
    ) {
        let mut config = Config::default();
        config.cases = config.cases.div_ceil(4);
        // The failing input is printed and belongs in a test, so no seeds are stored.
        config.failure_persistence = None;
        let case = std::cell::RefCell::new(&mut case);
        let mut runner = TestRunner::new(config);
        let run =
            runner.run(strategy, |input| self.runtime.block_on((case.borrow_mut())(self, input)));
        if let Err(error) = run {
            panic!("{error}");
        }
    }
}

async fn register(storage: &PgStorage) -> String {
    let metadata = ClientMetadata::authorization_code([URI]).with_scope(scope());
    storage.register_client(NewClient::new(metadata)).await.unwrap().client.client_id
}

fn scope() -> Scope {
    "openid profile".parse().unwrap()
}

fn secret() -> Secret {
    Secret::generate().unwrap()
}

/// Equality in `jsonb`: 1e16 comes back as a whole number, -0 as 0.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || (a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64()
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let a: HashMap<_, _> = a.iter().collect();
            a.len() == b.len() && b.iter().all(|(key, b)| a.get(key).is_some_and(|a| same(a, b)))
        }
        _ => left == right,
    }
}

fn alike<T: serde::Serialize>(left: &T, right: &T) -> bool {
    same(&serde_json::to_value(left).unwrap(), &serde_json::to_value(right).unwrap())
}

#[test]
fn registered_metadata_comes_back() {
    let bed = Bed::new("properties_clients");
    bed.check(&metadata(), async |bed, metadata| {
        let accepted = metadata.check().is_ok();
        let registered = bed.storage.register_client(NewClient::new(metadata.clone())).await;
        prop_assert_eq!(registered.is_ok(), accepted, "{:?}", registered);
        if let Ok(registered) = registered {
            prop_assert!(alike(&registered.client.metadata, &metadata));
            let id = &registered.client.client_id;
            let read = bed.storage.read_client(id).await.unwrap().unwrap();
            prop_assert!(alike(&read.metadata, &metadata), "{:?} became {:?}", metadata, read);
            let found = bed.storage.get_client(&RequestContext::default(), id, None).await.unwrap();
            prop_assert_eq!(found.unwrap(), read);
        }
        Ok(())
    });
}

#[test]
fn tokens_carry_the_granted_context() {
    let bed = Bed::new("properties_tokens");
    let strategy = (context(), credential(), text(), text());
    bed.check(&strategy, async |bed, (context, token, subject, scope)| {
        let request = RequestContext::for_user(User::new(subject.clone()));
        let scope: Scope = scope.parse().unwrap_or_default();
        // An earlier case may have stored the same token.
        let token = Secret::new(format!("{token}{}", secret().expose()));
        let new = NewToken::new(&bed.client_id, scope.clone(), TokenPair::new(token.clone()))
            .with_context(context.clone());
        let accepted = new.check(&request).is_ok();
        let created = bed.storage.create_token(&request, new).await;
        prop_assert_eq!(created.is_ok(), accepted, "{:?}", created);
        if let Ok(created) = created {
            let expected = context.clone().or_from(request.user.as_ref());
            let found = bed.storage.introspect(&token).await.unwrap().unwrap();
            prop_assert!(alike(&found.context, &expected), "{:?} became {:?}", expected, found);
            prop_assert_eq!(found.subject.as_ref(), Some(&subject));
            prop_assert_eq!(&found.scope, &scope);
            prop_assert!(alike(&found, &created));
        }
        let code = secret();
        let mut new = NewAuthorizationCode::new(&bed.client_id, scope, URI, code.clone());
        new.context = context;
        let (expected, accepted) = (new.full_context(&request), new.check(&request).is_ok());
        let created = bed.storage.create_authorization_code(&request, new).await;
        prop_assert_eq!(created.is_ok(), accepted, "{:?}", created);
        if accepted {
            let found = bed.storage.get_authorization_code(&request, &bed.client_id, &code).await;
            prop_assert!(alike(&found.unwrap().unwrap().context, &expected));
        }
        Ok(())
    });
}

#[test]
fn only_the_exact_name_and_password_authenticate() {
    let bed = Bed::new("properties_users");
    let strategy = (text(), credential(), text());
    bed.check(&strategy, async |bed, (username, password, other)| {
        let subject = secret().expose().to_owned();
        let password = Secret::new(password);
        let user = NewUser::new(username.clone(), subject.clone(), password.clone());
        match bed.storage.password_users().create(user).await {
            Ok(_) => {
                let login = async |username: &str, password: Secret| {
                    let user = bed.storage.authenticate(username, &password).await.unwrap();
                    user.map(|user| user.subject)
                };
                prop_assert_eq!(login(&username, password.clone()).await, Some(subject.clone()));
                if Secret::new(other.clone()) != password {
                    prop_assert_ne!(
                        login(&username, Secret::new(other.clone())).await,
                        Some(subject.clone())
                    );
                }
                if other != username {
                    prop_assert_ne!(login(&other, password).await, Some(subject));
                }
            }
            Err(error) => prop_assert!(matches!(error, Error::Invalid { .. }), "{error:?}"),
        }
        Ok(())
    });
}
