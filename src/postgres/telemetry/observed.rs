//! The span and the meters of a call.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tracing::Span;
use tracing::instrument::{Instrument as _, Instrumented};

use super::{Method, Timer};
use crate::error::{Error, Result};

/// Observes a call of a storage method: the span has the main table and the given identifiers.
///
/// `observe!(self, get_token on token, client_id).run(future)`
macro_rules! observe {
    ($storage:expr, $method:ident on $table:ident $(, $id:ident $(= $value:expr)?)* $(,)?) => {
        crate::postgres::telemetry::Observed::new(
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
            &$storage.meters().methods().$method,
        )
    };
}

pub(in crate::postgres) use observe;

pub(in crate::postgres) struct Observed<'a> {
    span: Span,
    method: &'a Method,
}

impl<'a> Observed<'a> {
    pub(in crate::postgres) const fn new(span: Span, method: &'a Method) -> Self {
        Self { span, method }
    }

    /// Runs the call inside the span and records its result.
    pub(in crate::postgres) fn run<F: Future>(self, call: F) -> Running<'a, F> {
        Running { timer: self.method.begin(), call: call.instrument(self.span) }
    }
}

pin_project! {
    /// Written by hand, because an `async fn` would contain the inner future twice.
    pub(in crate::postgres) struct Running<'a, F> {
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
