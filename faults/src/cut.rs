//! Futures that are dropped before they end.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The moment at which a future is dropped: after so many polls, if it is still pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) polls: u32,
    pub(crate) when: When,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// At once, before the event that it waits for.
    AtOnce,
    /// When it is woken, after the event that it waits for.
    WhenWoken,
}

/// Runs a future up to a cut. `None` if it was dropped there.
pub(crate) fn cut<F: Future>(future: F, at: Cut) -> CutShort<F> {
    CutShort { future: Some(Box::pin(future)), left: at.polls, when: at.when }
}

pub(crate) struct CutShort<F> {
    future: Option<Pin<Box<F>>>,
    left: u32,
    when: When,
}

impl<F: Future> Future for CutShort<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(future) = &mut this.future
            && this.left > 0
        {
            this.left -= 1;
            match future.as_mut().poll(context) {
                Poll::Ready(output) => {
                    this.future = None;
                    return Poll::Ready(Some(output));
                }
                Poll::Pending if this.left > 0 || this.when == When::WhenWoken => {
                    return Poll::Pending;
                }
                Poll::Pending => {}
            }
        }
        this.future = None;
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn three_steps(reached: &std::cell::Cell<u32>) {
        for step in 1..=3 {
            reached.set(step);
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_future_is_dropped_at_its_cut() {
        for when in [When::AtOnce, When::WhenWoken] {
            for polls in 0..=3 {
                let reached = std::cell::Cell::new(0);
                let cut = cut(three_steps(&reached), Cut { polls, when }).await;
                assert_eq!((cut, reached.get()), (None, polls));
            }
            let reached = std::cell::Cell::new(0);
            assert_eq!(cut(three_steps(&reached), Cut { polls: 4, when }).await, Some(()));
        }
    }
}
