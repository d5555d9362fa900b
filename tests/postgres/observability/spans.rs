//! The spans of calls.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use oauth_storage::TokenStorage as _;
use oauth_storage::token::NewToken;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::{Layer, Registry};

use crate::support::{TestStorage, alice, pair, scope};

/// The spans of a test, in their order.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Span>>>);

struct Span {
    id: Id,
    name: &'static str,
    fields: HashMap<String, String>,
}

struct Fields<'a>(&'a mut HashMap<String, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").replace('"', ""));
    }
}

impl Layer<Registry> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, Registry>) {
        let mut fields = HashMap::new();
        attributes.record(&mut Fields(&mut fields));
        let span = Span { id: id.clone(), name: attributes.metadata().name(), fields };
        self.0.lock().unwrap().push(span);
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, _: Context<'_, Registry>) {
        // Ids are reused; the last span with the id is open.
        let mut spans = self.0.lock().unwrap();
        let span = spans.iter_mut().rfind(|span| span.id == *id).unwrap();
        record.record(&mut Fields(&mut span.fields));
    }
}

impl Spans {
    /// The fields of each span of the name.
    fn of(&self, name: &str) -> Vec<HashMap<String, String>> {
        let spans = self.0.lock().unwrap();
        spans.iter().filter(|span| span.name == name).map(|span| span.fields.clone()).collect()
    }
}

#[tokio::test]
async fn spans_keep_to_the_conventions_of_opentelemetry() {
    let spans = Spans::default();
    // With a subscriber of one thread, a call site that another test's thread reaches first stays
    // disabled.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let _local = tracing::subscriber::set_default(Registry::default().with(spans.clone()));
    let test = TestStorage::new("spans").await;
    let (client_id, _) = test.client().await;
    let new = NewToken::new(&client_id, scope(), pair());
    test.storage.create_token(&alice(), new.clone()).await.unwrap();
    test.storage.create_token(&alice(), new.clone()).await.unwrap_err();

    // An error code that the crate does not know.
    test.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'XX000'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON oauth_storage.token
             FOR EACH STATEMENT EXECUTE FUNCTION refuse()",
    )
    .await;
    test.storage.create_token(&alice(), new.clone()).await.unwrap_err();

    let mut expected = HashMap::from(
        [
            ("otel.kind", "client"),
            ("db.system.name", "postgresql"),
            ("db.operation.name", "create_token"),
            ("db.collection.name", "oauth_storage.token"),
            ("client_id", &client_id),
            ("grant_id", &new.new_grant_id().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let spans = spans.of("create_token oauth_storage.token");
    assert_eq!(spans.len(), 3, "{spans:?}");
    assert_eq!(spans[0], expected, "these fields and no others");
    expected.insert("error.type".into(), "invalid".into());
    expected.insert("otel.status_code".into(), "ERROR".into());
    assert_eq!(spans[1], expected);
    expected.insert("error.type".into(), "backend".into());
    expected.insert("db.response.status_code".into(), "XX000".into());
    assert_eq!(spans[2], expected);
}
