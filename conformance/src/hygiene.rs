//! No returned value shows a secret.

use std::error::Error as _;
use std::fmt::Debug;

use super::context::{
    Context, foreign_secret, foreign_tokens, joining, metadata, new_code, outlast, request, scope,
    secret, short_lived, shown, subject, tokens, unique,
};
use super::flow::{authorized, granted, redeem, rotate, rotation, strict};
use oauth_storage::authorization_code::CodeChallenge;
use oauth_storage::client::{ClientSecret, ClientSecretRotation};
use oauth_storage::error::Result;
use oauth_storage::id_token::NewIdToken;
use oauth_storage::token::{NewToken, TokenRef};
use oauth_storage::{Error, NewClient, RequestContext, Secret, Settings, TokenPair};

rules!("hygiene" {
    clients_show_no_secret: "S17, contract 3: Debug and JSON of a client hold no secret of it",
    tokens_show_no_secret: "S17, contract 3: Debug and JSON of a token hold neither credential",
    codes_show_no_secret: "S17, contract 3: Debug and JSON of a code hold neither it nor its verifier",
    outcomes_show_no_secret: "S17, contract 3: Debug of a redemption, a rotation and their outcomes holds no credential",
    grants_show_no_secret: "S17, contract 3: Debug and JSON of a grant hold no credential of it",
    errors_show_no_secret: "S17, contract 3: no error, nor any source of it, holds a secret",
    users_show_no_password: "S17, contract 3: the result of authenticate holds no password",
});

#[track_caller]
fn hides(text: &str, secrets: &[&Secret], what: &str) {
    for secret in secrets {
        // A message may end at a strange character. The rest is still most of the secret.
        let visible = secret.expose().trim_end_matches(|c: char| !c.is_ascii_graphic());
        assert!(!visible.is_empty() && !text.contains(visible), "{what} shows a secret: {text}");
    }
}

/// The text of the error and of its sources.
fn words(error: &Error) -> String {
    let mut text = format!("{error}\n{error:?}\n{error:#?}");
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!("\n{error}\n{error:?}"));
        source = error.source();
    }
    text
}

#[track_caller]
fn fails_without<T: Debug>(result: Result<T>, secrets: &[&Secret], what: &str) {
    match result {
        Ok(value) => panic!("{what} must fail, but is {value:?}"),
        Err(error) => hides(&words(&error), secrets, what),
    }
}

async fn clients_show_no_secret(cx: Context) {
    let registered = cx.register(NewClient::new(metadata()).with_client_id(unique())).await;
    let first = registered.client_secret.clone().expect("a secret");
    let id = &registered.client.client_id;
    let rotated = cx.storage.rotate_client_secret(id, ClientSecretRotation::default()).await;
    let rotated = rotated.expect("a rotation").expect("a known client");
    let second = rotated.client_secret.clone().expect("a secret");
    let listed = cx.storage.list_clients(Some(&id[..id.len() - 1]), 1).await.expect("a page");
    let updated = cx.storage.update_client(id, metadata()).await.expect("an update");
    let found = cx.get_client(id, Some(&first)).await;
    let read = cx.read_client(id).await;
    let secrets = [&first, &second];
    hides(&format!("{registered:?} {rotated:#?}"), &secrets, "RegisteredClient");
    hides(&shown(&registered.client), &secrets, "Client");
    for client in [found, read, updated].into_iter().flatten().chain(listed) {
        hides(&shown(&client), &secrets, "Client");
    }
}

async fn tokens_show_no_secret(cx: Context) {
    let client = cx.client().await;
    let pair = cx.pair(&request(), &client).await;
    let secrets = [&pair.access, &pair.refresh];
    hides(&shown(&pair.token), &secrets, "the token of create_token");
    for token in [TokenRef::Access(&pair.access), TokenRef::Refresh(&pair.refresh)] {
        let found = cx.get(&client, token).await.expect("stored");
        hides(&shown(&found), &secrets, "the token of get_token");
    }
    cx.revoke(&client, TokenRef::Access(&pair.access)).await;
    let found = cx.get(&client, TokenRef::Access(&pair.access)).await.expect("stored");
    hides(&shown(&found), &secrets, "a revoked token");
}

async fn codes_show_no_secret(cx: Context) {
    let client = cx.client().await;
    let plain = Settings::default().with_allow_plain_code_challenge(true);
    for method in ["S256", "plain"] {
        let (code, verifier) = (secret(), secret());
        let challenge = match method {
            "S256" => Some(CodeChallenge::s256(&verifier)),
            _ => CodeChallenge::from_parameters(Some(verifier.expose()), Some(method))
                .expect("a challenge"),
        };
        let new = new_code(&client, &code).with_code_challenge(challenge);
        let request = request().with_settings(plain.clone());
        let stored = cx.storage.create_authorization_code(&request, new).await.expect("a code");
        let found = cx.get_code(&client, &code).await.expect("stored");
        for code_record in [stored, found] {
            hides(&shown(&code_record), &[&code, &verifier], "an authorization code");
        }
    }
}

async fn outcomes_show_no_secret(cx: Context) {
    let client = cx.client().await;
    let redemption = authorized(&cx, &request(), &client).await;
    let verifier = redemption.code_verifier.clone().expect("a code with a challenge");
    let outcome = redeem(&cx, &redemption).await;
    let text = format!("{redemption:?} {outcome:?} {outcome:#?}");
    let first = super::flow::issued_pair(outcome);
    let secrets = [&redemption.code, &verifier, &first.access, &first.refresh];
    hides(&text, &secrets, "a redemption and its outcome");
    let new = foreign_tokens();
    let rotation = rotation(&first).with_tokens(new.clone());
    let outcome = rotate(&cx, &strict(), &rotation).await;
    let refresh = new.refresh_token.as_ref().expect("a pair has one");
    let text = format!("{rotation:?} {outcome:?} {outcome:#?} {new:?}");
    hides(&text, &[&first.refresh, &new.access_token, refresh], "a rotation and its outcome");
    let reused = format!("{:?}", rotate(&cx, &strict(), &rotation).await);
    hides(&reused, &[&first.refresh, &new.access_token, refresh], "a reuse");
}

async fn grants_show_no_secret(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let (pair, redemption) = granted(&cx, &user, &client).await;
    let secrets = [&pair.access, &pair.refresh, &redemption.code];
    let grant = cx.grant(pair.grant_id()).await.expect("stored");
    hides(&shown(&grant), &secrets, "a grant");
    let page = cx.storage.list_grants(subject(&user), None, 10).await.expect("list_grants");
    hides(&format!("{page:?}"), &secrets, "a page of grants");
}

async fn errors_show_no_secret(cx: Context) {
    let (client, client_secret) = cx.client_and_secret().await;
    let new = NewToken::new(&client, scope(), foreign_tokens());
    let pair = cx.pair_of(&request(), new).await;
    let (code, _) = cx.code(&short_lived(), &client).await;
    outlast().await;
    let bad = Secret::new(format!("{}\0", secret().expose()));
    let long = Secret::new(format!("{}{}", secret().expose(), "x".repeat(16 * 1024)));
    let other = foreign_secret();
    let token = |access: &Secret, refresh: &Secret| {
        let tokens = TokenPair::new(access.clone()).with_refresh_token(refresh.clone());
        NewToken::new(&client, scope(), tokens)
    };
    let create = async |new: NewToken, secrets: [&Secret; 2], what: &str| {
        fails_without(cx.storage.create_token(&request(), new).await, &secrets, what);
    };
    let (access, refresh) = (&pair.access, &pair.refresh);
    create(token(access, &other), [access, &other], "a duplicate access token").await;
    create(token(&other, refresh), [refresh, &other], "a duplicate refresh token").await;
    create(token(&bad, &other), [&bad, &other], "an ill-formed access token").await;
    create(token(&other, &bad), [&bad, &other], "an ill-formed refresh token").await;
    create(token(&long, &other), [&long, &other], "an oversized access token").await;
    let mut unknown = token(&other, &bad);
    unknown.client_id = unique();
    create(unknown, [&other, &bad], "an unknown client").await;
    let (named, further) = (secret(), secret());
    create(token(&named, &further), [&named, &further], "tokens of two grants").await;
    let mut joined = joining(&pair.token);
    joined.tokens = TokenPair::new(named.clone()).with_refresh_token(further.clone());
    create(joined, [&named, &further], "tokens of another grant").await;
    let again = NewToken::new(&client, scope(), tokens());
    cx.create(&request(), again.clone()).await;
    let stored = again.tokens.refresh_token.clone().expect("a generated pair has one");
    let secrets = [&again.tokens.access_token.clone(), &stored];
    create(again, secrets, "a grant that exists").await;
    let redemption = authorized(&cx, &request(), &client).await;
    for (access, refresh) in [(access, &other), (&other, refresh), (&bad, &other), (&named, &other)]
    {
        let new = TokenPair::new(access.clone()).with_refresh_token(refresh.clone());
        let secrets = [access, refresh, &redemption.code, &pair.refresh];
        let with = redemption.clone().with_tokens(new.clone());
        let result = cx.storage.redeem_authorization_code(&request(), with).await;
        fails_without(result, &secrets, "a redemption for refused tokens");
        let with = rotation(&pair).with_tokens(new);
        let result = cx.storage.rotate_refresh_token(&strict(), with).await;
        fails_without(result, &secrets, "a rotation for refused tokens");
    }
    let wider = rotation(&pair).with_scope("admin".parse().expect("a scope"));
    let result = cx.storage.rotate_refresh_token(&strict(), wider).await;
    fails_without(result, &[&pair.refresh, &pair.access], "a rotation for a wider scope");
    for (bad_code, client) in [(&code, &client), (&bad, &client), (&other, &unique())] {
        let new = new_code(client, bad_code);
        let result = cx.storage.create_authorization_code(&request(), new).await;
        fails_without(result, &[bad_code], "a code that is refused");
    }
    // A client may put its credentials into other parameters by mistake.
    let mut context = token(&other, &foreign_secret());
    context.context.nonce = Some(bad.expose().to_owned());
    create(context, [&bad, &other], "a context that is refused").await;
    for new in [
        NewClient::new(metadata()).with_client_id(&client),
        NewClient::new(metadata().public())
            .with_client_id(unique())
            .with_client_secret(ClientSecret::Chosen(client_secret.clone())),
        NewClient::new(metadata())
            .with_client_id(unique())
            .with_client_secret(ClientSecret::Chosen(bad.clone())),
    ] {
        let result = cx.storage.register_client(new).await;
        fails_without(result, &[&client_secret, &bad], "a client that is refused");
    }
    let chosen = ClientSecret::Chosen(bad.clone());
    let rotation = ClientSecretRotation::default().with_client_secret(chosen);
    let result = cx.storage.rotate_client_secret(&client, rotation).await;
    fails_without(result, &[&client_secret, &bad], "a rotation that is refused");
    let scope = scope();
    let new = NewIdToken::new(&client, &scope)
        .at_token_endpoint()
        .with_access_token(access)
        .with_code(&code);
    if let Err(error) = cx.storage.get_id_token(&RequestContext::default(), new).await {
        hides(&words(&error), &[access, &code], "get_id_token");
    }
}

async fn users_show_no_password(cx: Context) {
    let mut cases = vec![(unique(), secret()), (unique(), Secret::new("hunter2-\u{7f}"))];
    cases.extend(cx.user.iter().map(|user| (user.username.clone(), user.password.clone())));
    for (username, password) in cases {
        match cx.storage.authenticate(&username, &password).await {
            Ok(Some(user)) => hides(&shown(&user), &[&password], "a user"),
            Ok(None) => {}
            Err(error) => hides(&words(&error), &[&password], "authenticate"),
        }
    }
}
