//! The span of each call, by OpenTelemetry's conventions for database clients, with ids and no
//! secrets, and its metrics.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tracing::Span;
use tracing::instrument::{Instrument as _, Instrumented};

use crate::error::{Error, Result};
use crate::postgres::meter::{Method, Timer};

/// A call of a method of the storage, on its main table, with the ids that it names.
///
/// `observe!(self, get_token on token, client_id).run(future)`
macro_rules! observe {
    ($storage:expr, $method:ident on $table:ident $(, $id:ident $(= $value:expr)?)* $(,)?) => {
        crate::postgres::observe::Observed::new(
            tracing::info_span!(
                concat!(stringify!($method), " oauth_storage.", stringify!($table)),
                "otel.kind" = "client",
                "db.system.name" = "postgresql",
                "db.operation.name" = stringify!($method),
                "db.collection.name" = concat!("oauth_storage.", stringify!($table)),
                $($id $(= tracing::field::display(&$value))?,)*
                "error.type" = tracing::field::Empty,
                "db.response.status_code" = tracing::field::Empty,
                "otel.status_code" = tracing::field::Empty,
            ),
            &crate::postgres::executor::Connections::meters(&$storage.connections).methods().$method,
        )
    };
}

pub(super) use observe;

pub(super) struct Observed<'a> {
    span: Span,
    method: &'a Method,
}

impl<'a> Observed<'a> {
    pub(super) const fn new(span: Span, method: &'a Method) -> Self {
        Self { span, method }
    }

    /// Runs it inside the span, and records how it ended.
    pub(super) fn run<F: Future>(self, call: F) -> Running<'a, F> {
        Running { timer: self.method.begin(), call: call.instrument(self.span) }
    }
}

pin_project! {
    /// By hand, for an `async fn` would keep the inner future twice.
    pub(super) struct Running<'a, F> {
        timer: Timer<'a>,
        #[pin]
        call: Instrumented<F>,
    }
}

impl<T, F: Future<Output = Result<T>>> Future for Running<'_, F> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let mut this = self.project();
        let result = ready!(this.call.as_mut().poll(context));
        let error = result.as_ref().err();
        this.timer.end(error.map(Error::kind));
        if let Some(error) = error {
            failed(this.call.span(), error);
        }
        Poll::Ready(result)
    }
}

fn failed(span: &Span, error: &Error) {
    span.record("error.type", error.kind());
    span.record("otel.status_code", "ERROR");
    if let Error::Backend { code: Some(code), .. } = error {
        span.record("db.response.status_code", code);
    }
}
