//! Ends every session and every grant of a user, for example after a password change.
use oauth_storage::token::NewToken;
use oauth_storage::user_session::NewUserSession;
use oauth_storage::{
    ClientMetadata, ClientRegistry as _, Error, GrantStorage as _, MemoryStorage, NewClient,
    RequestContext, TokenPair, TokenStorage as _, User, UserSessionStorage as _,
};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let storage = MemoryStorage::new();
    let new = NewClient::new(ClientMetadata::authorization_code(["https://client.example/cb"]));
    let client_id = storage.register_client(new).await?.client.client_id;
    let alice = RequestContext::for_user(User::new("alice"));
    let tokens = TokenPair::generate()?;
    let new = NewToken::new(client_id, "profile".parse()?, tokens.clone());
    storage.create_token(&alice, new).await?;

    let session = storage.start_session(NewUserSession::new(User::new("alice"))).await?;

    // The sessions first: a stolen cookie gets no further grant.
    let ended = storage.end_sessions_of("alice", None).await?;
    assert_eq!(ended.sessions.len(), 1);
    assert_eq!(storage.find_session(&session.secret).await?, None);
    let revoked = storage.revoke_subject("alice").await?;
    assert_eq!(revoked, 1);
    assert_eq!(storage.introspect(&tokens.access_token).await?, None);
    println!("{revoked} grants revoked");
    Ok(())
}
