//! Each method of the storage, dropped after each of its polls.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use oauth_storage::{
    AuthorizationCodeStorage as _, ClientMetadata, ClientRegistry as _, ClientStorage as _,
    FormParameters, GrantStorage as _, IdTokenStorage as _, NewAuthorizationCode, NewClient,
    NewIdToken, NewToken, NewUser, PgStorage, Redeem, Redeemed, Request, Rotate,
    RotateClientSecret, Rotated, Secret, Settings, TokenRef, TokenStorage as _, User,
    UserStorage as _, purge,
};
use uuid::Uuid;

use crate::Result;
use crate::caller::Caller;
use crate::cut::{Cut, When};
use crate::ledger::{ClientStory, Code, Origin, Pair, Story, Told};
use crate::scene::Scene;
use crate::walk::{CODE_LIFETIME, Tokens};
use crate::world::{URI, World};

macro_rules! methods {
    ($($name:ident),* $(,)?) => {
        #[derive(Debug, Clone, Copy)]
        pub(crate) enum Method { $($name),* }

        impl Method {
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

methods!(
    Connect,
    Migrate,
    PendingMigrations,
    Close,
    CreateToken,
    GetToken,
    RevokeAccess,
    RevokeRefresh,
    CreateCode,
    GetCode,
    DeleteCode,
    Redeem,
    Rotate,
    Introspect,
    RevokeGrant,
    RevokeSubject,
    RevokeClient,
    ListGrants,
    PurgeExpired,
    Purge,
    GetClient,
    RegisterClient,
    ReadClient,
    ListClients,
    UpdateClient,
    RotateClientSecret,
    SetClientDisabled,
    DeleteClient,
    Authenticate,
    GetIdToken,
    CreateUser,
    SetPassword,
    SetUserDisabled,
);

/// No method has as many await points.
const MOST: u32 = 300;

pub(crate) struct Sweep {
    caller: Caller,
    world: Arc<World>,
    url: String,
    subject: String,
    request: Request,
}

/// A grant with a code or a pair, and the secrets.
struct Made {
    story: Story,
    code: Secret,
    tokens: Tokens,
}

impl Sweep {
    pub(crate) fn new(scene: &Scene) -> Self {
        let subject = format!("swept-{}", Uuid::now_v7());
        let settings =
            Settings { authorization_code_expires_in: CODE_LIFETIME, ..Settings::default() };
        let settings = Settings { refresh_token_grace: Duration::ZERO, ..settings };
        Self {
            caller: scene.caller.clone(),
            world: Arc::clone(&scene.world),
            url: scene.url.clone(),
            request: Request::for_user(User::new(&subject)).with_settings(settings),
            subject,
        }
    }

    /// Drops the method after no poll, one, two, until it gets to its end: how often it was
    /// dropped, and after how many polls it ended.
    pub(crate) async fn run(&self, method: Method) -> Result<(u64, u64)> {
        let (mut dropped, mut most) = (0, 0);
        for when in [When::AtOnce, When::WhenWoken] {
            for polls in 0..MOST {
                if !self.once(method, Cut { polls, when }).await? {
                    most = most.max(u64::from(polls));
                    break;
                }
                dropped += 1;
            }
        }
        Ok((dropped, most))
    }

    async fn made(&self) -> Result<Made> {
        let mut story = Story::new(self.world.any_client(), true);
        let tokens = Tokens::generate()?;
        let new = NewToken::new(&story.client_id, self.world.scope.clone(), tokens.access.clone())
            .with_refresh_token(tokens.refresh.clone());
        story.grant_id = Some(new.grant_id);
        let create = self.caller.storage.create_token(&self.request, new);
        let told = served(self.caller.call(create).await.told)?;
        story.pairs.push(pair(&tokens, Origin::Nothing, told));
        Ok(Made { story, tokens, code: Secret::generate()? })
    }

    async fn with_code(&self) -> Result<Made> {
        let mut story = Story::new(self.world.any_client(), true);
        let code = Secret::generate()?;
        let new = self.new_code(&story, &code);
        let create = self.caller.storage.create_authorization_code(&self.request, new);
        let reply = self.caller.call(create).await;
        story.grant_id = reply.value.map(|code| code.grant_id);
        let created = served(reply.told)?;
        story.code = Some(Code { digest: code.digest(), created, deleted: None });
        Ok(Made { story, code, tokens: Tokens::generate()? })
    }

    fn new_code(&self, story: &Story, code: &Secret) -> NewAuthorizationCode {
        let scope = self.world.scope.clone();
        NewAuthorizationCode::new(&story.client_id, scope, URI, code.clone())
    }

    /// A client of its own, registered.
    async fn client(&self) -> Result<(ClientStory, Option<Secret>)> {
        let mut story = ClientStory {
            client_id: format!("swept-{}", Uuid::now_v7()),
            registered: Told::Refused,
            secret: None,
            disabled: (false, Told::Refused),
            deleted: None,
        };
        let register = self.caller.storage.register_client(new_client(&story));
        let reply = self.caller.call(register).await;
        story.registered = served(reply.told)?;
        let secret = reply.value.and_then(|registered| registered.client_secret);
        Ok((story, secret))
    }

    /// Makes what the method needs, and runs it up to the cut; whether it was dropped there.
    async fn once(&self, method: Method, at: Cut) -> Result<bool> {
        match method {
            Method::Connect | Method::Migrate | Method::PendingMigrations | Method::Close => {
                self.setting_up(method, at).await
            }
            Method::CreateToken
            | Method::GetToken
            | Method::RevokeAccess
            | Method::RevokeRefresh
            | Method::Rotate
            | Method::Introspect
            | Method::RevokeGrant
            | Method::RevokeSubject => self.with_pair(method, at).await,
            Method::CreateCode | Method::GetCode | Method::DeleteCode | Method::Redeem => {
                self.of_code(method, at).await
            }
            Method::GetClient
            | Method::RegisterClient
            | Method::ReadClient
            | Method::UpdateClient
            | Method::RotateClientSecret
            | Method::SetClientDisabled
            | Method::DeleteClient
            | Method::RevokeClient => self.of_client(method, at).await,
            _ => self.other(method, at).await,
        }
    }

    async fn setting_up(&self, method: Method, at: Cut) -> Result<bool> {
        let cut = Some(at);
        let (caller, storage) = (&self.caller, &self.caller.storage);
        Ok(match method {
            Method::Connect => {
                let (reply, dropped) = caller.call_cut(PgStorage::connect(&self.url), cut).await;
                if let Some(storage) = reply.value {
                    storage.close().await;
                }
                dropped
            }
            Method::Migrate => caller.call_cut(storage.migrate(), cut).await.1,
            Method::PendingMigrations => caller.call_cut(storage.pending_migrations(), cut).await.1,
            _ => {
                let another = PgStorage::connect(&self.url).await?;
                let close = async {
                    another.close().await;
                    Ok(())
                };
                let dropped = caller.call_cut(close, cut).await.1;
                another.close().await;
                dropped
            }
        })
    }

    async fn with_pair(&self, method: Method, at: Cut) -> Result<bool> {
        let cut = Some(at);
        let (caller, storage) = (&self.caller, &self.caller.storage);
        let Made { mut story, tokens, .. } = self.made().await?;
        let client_id = story.client_id.clone();
        let access = TokenRef::Any(&tokens.access);
        let dropped = match method {
            Method::CreateToken => {
                let tokens = Tokens::generate()?;
                let scope = self.world.scope.clone();
                let mut new = NewToken::new(&client_id, scope, tokens.access.clone())
                    .with_refresh_token(tokens.refresh.clone());
                new.grant_id = story.grant_id.unwrap_or(new.grant_id);
                let (reply, dropped) =
                    caller.call_cut(storage.create_token(&self.request, new), cut).await;
                story.pairs.push(pair(&tokens, Origin::Nothing, reply.told));
                dropped
            }
            Method::GetToken => {
                caller.call_cut(storage.get_token(&self.request, &client_id, access), cut).await.1
            }
            Method::Introspect => caller.call_cut(storage.introspect(&tokens.access), cut).await.1,
            Method::RevokeAccess => {
                let revoke = storage.revoke_token(&self.request, &client_id, access);
                let (reply, dropped) = caller.call_cut(revoke, cut).await;
                story.pairs[0].ended = Some(reply.told);
                dropped
            }
            Method::RevokeRefresh => {
                let refresh = TokenRef::Refresh(&tokens.refresh);
                let revoke = storage.revoke_token(&self.request, &client_id, refresh);
                let (reply, dropped) = caller.call_cut(revoke, cut).await;
                story.end(reply.told);
                dropped
            }
            Method::Rotate => {
                let new = Tokens::generate()?;
                let (access, refresh) = (new.access.clone(), new.refresh.clone());
                let rotate = Rotate::new(&client_id, tokens.refresh.clone(), access, refresh);
                let rotate = storage.rotate_refresh_token(&self.request, rotate);
                let (reply, dropped) = caller.call_cut(rotate, cut).await;
                let issued = match reply.value {
                    Some(Rotated::Issued(_)) | None => reply.told,
                    Some(_) => return Err("a sound rotation was denied".into()),
                };
                story.pairs.push(pair(&new, Origin::Refresh(0), issued));
                dropped
            }
            Method::RevokeGrant => {
                let grant = story.grant_id.unwrap_or_default();
                let (reply, dropped) = caller.call_cut(storage.revoke_grant(grant), cut).await;
                story.end(reply.told);
                dropped
            }
            _ => {
                // A subject of its own: everything of it ends.
                let subject = format!("swept-{}", Uuid::now_v7());
                let request = Request::for_user(User::new(&subject));
                let tokens = Tokens::generate()?;
                let scope = self.world.scope.clone();
                let new = NewToken::new(&client_id, scope, tokens.access.clone())
                    .with_refresh_token(tokens.refresh.clone());
                let mut other = Story::new(&client_id, true);
                other.grant_id = Some(new.grant_id);
                let told = caller.call(storage.create_token(&request, new)).await.told;
                other.pairs.push(pair(&tokens, Origin::Nothing, told));
                let (reply, dropped) = caller.call_cut(storage.revoke_subject(&subject), cut).await;
                other.end(reply.told);
                caller.ledger.close(other);
                dropped
            }
        };
        caller.ledger.close(story);
        Ok(dropped)
    }

    async fn of_code(&self, method: Method, at: Cut) -> Result<bool> {
        let cut = Some(at);
        let (caller, storage) = (&self.caller, &self.caller.storage);
        let Made { mut story, code, tokens } = self.with_code().await?;
        let client_id = story.client_id.clone();
        let dropped = match method {
            Method::CreateCode => {
                let code = Secret::generate()?;
                let new = self.new_code(&story, &code);
                let create = storage.create_authorization_code(&self.request, new);
                let (reply, dropped) = caller.call_cut(create, cut).await;
                let mut other = Story::new(&client_id, true);
                other.grant_id = reply.value.map(|code| code.grant_id);
                let created = reply.told;
                other.code = Some(Code { digest: code.digest(), created, deleted: None });
                caller.ledger.close(other);
                dropped
            }
            Method::GetCode => {
                let get = storage.get_authorization_code(&self.request, &client_id, &code);
                caller.call_cut(get, cut).await.1
            }
            Method::DeleteCode => {
                let delete = storage.delete_authorization_code(&self.request, &client_id, &code);
                let (reply, dropped) = caller.call_cut(delete, cut).await;
                if let Some(code) = &mut story.code {
                    code.deleted = Some(reply.told);
                }
                dropped
            }
            _ => {
                let redeem = Redeem {
                    refresh_token: Some(tokens.refresh.clone()),
                    ..Redeem::new(&client_id, URI, code, tokens.access.clone())
                };
                let redeem = storage.redeem_authorization_code(&self.request, redeem);
                let (reply, dropped) = caller.call_cut(redeem, cut).await;
                let issued = match reply.value {
                    Some(Redeemed::Issued(_)) | None => reply.told,
                    Some(_) => return Err("a sound redemption was denied".into()),
                };
                story.pairs.push(pair(&tokens, Origin::Code, issued));
                dropped
            }
        };
        caller.ledger.close(story);
        Ok(dropped)
    }

    async fn of_client(&self, method: Method, at: Cut) -> Result<bool> {
        let cut = Some(at);
        let (caller, storage) = (&self.caller, &self.caller.storage);
        let (mut story, secret) = self.client().await?;
        let client_id = story.client_id.clone();
        let dropped = match method {
            Method::GetClient => {
                let get = storage.get_client(&self.request, &client_id, secret.as_ref());
                caller.call_cut(get, cut).await.1
            }
            Method::ReadClient => caller.call_cut(storage.read_client(&client_id), cut).await.1,
            Method::RegisterClient => {
                let mut other = ClientStory {
                    client_id: format!("swept-{}", Uuid::now_v7()),
                    registered: Told::Refused,
                    secret: None,
                    disabled: (false, Told::Refused),
                    deleted: None,
                };
                let register = storage.register_client(new_client(&other));
                let (reply, dropped) = caller.call_cut(register, cut).await;
                other.registered = reply.told;
                caller.ledger.close_client(other);
                dropped
            }
            Method::UpdateClient => {
                let metadata = ClientMetadata::authorization_code([URI]).with_name("renamed");
                caller.call_cut(storage.update_client(&client_id, metadata), cut).await.1
            }
            Method::RotateClientSecret => {
                let rotation = RotateClientSecret::default();
                caller.call_cut(storage.rotate_client_secret(&client_id, rotation), cut).await.1
            }
            Method::SetClientDisabled => {
                let disable = storage.set_client_disabled(&client_id, true);
                let (reply, dropped) = caller.call_cut(disable, cut).await;
                story.disabled = (true, reply.told);
                dropped
            }
            Method::RevokeClient => caller.call_cut(storage.revoke_client(&client_id), cut).await.1,
            _ => {
                let (reply, dropped) =
                    caller.call_cut(storage.delete_client(&client_id), cut).await;
                story.deleted = Some(reply.told);
                dropped
            }
        };
        caller.ledger.close_client(story);
        Ok(dropped)
    }

    async fn other(&self, method: Method, at: Cut) -> Result<bool> {
        let cut = Some(at);
        let (caller, storage) = (&self.caller, &self.caller.storage);
        let users = storage.password_users();
        let name = format!("swept-{}", Uuid::now_v7());
        let password = || Secret::new("a looking glass");
        Ok(match method {
            Method::ListGrants => {
                caller.call_cut(storage.list_grants(&self.subject, None, 10), cut).await.1
            }
            Method::PurgeExpired => caller.call_cut(storage.purge_expired(100), cut).await.1,
            Method::Purge => {
                let all = purge(storage, 100, |_| ControlFlow::Continue(()));
                caller.call_cut(all, cut).await.1
            }
            Method::ListClients => caller.call_cut(storage.list_clients(None, 10), cut).await.1,
            Method::Authenticate => {
                let form = FormParameters {
                    username: Some(name),
                    password: Some(password()),
                    ..FormParameters::default()
                };
                let request = Request { form, ..Request::default() };
                caller.call_cut(storage.authenticate(&request), cut).await.1
            }
            Method::GetIdToken => {
                let client_id = self.world.any_client();
                let new = NewIdToken::new(client_id, &self.world.scope);
                caller.call_cut(storage.get_id_token(&self.request, new), cut).await.1
            }
            Method::CreateUser => {
                let user = NewUser { username: name.clone(), subject: name, password: password() };
                caller.call_cut(users.create(user), cut).await.1
            }
            Method::SetPassword => {
                caller.call_cut(users.set_password(&name, password()), cut).await.1
            }
            _ => caller.call_cut(users.set_disabled(&name, true), cut).await.1,
        })
    }
}

/// What nobody dropped has to be done: the server has no fault.
fn served(told: Told) -> Result<Told> {
    match told {
        Told::Acknowledged => Ok(told),
        _ => Err(format!("after calls that were dropped, one that was not is {told:?}").into()),
    }
}

fn pair(tokens: &Tokens, origin: Origin, issued: Told) -> Pair {
    let (access, refresh) = (tokens.access.digest(), Some(tokens.refresh.digest()));
    Pair { access, refresh, origin, issued, ended: None }
}

fn new_client(story: &ClientStory) -> NewClient {
    NewClient::new(ClientMetadata::authorization_code([URI])).with_client_id(&story.client_id)
}
