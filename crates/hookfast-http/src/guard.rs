//! What stands around every route: a panic becomes a logged 500, answers are counted, and browsers may not guess
//! content types. Knows no route.

use crate::error::ApiError;
use crate::metrics::ApiMetrics;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Request, header};
use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// Puts a [`Guard`] around a service.
#[derive(Clone, Debug)]
pub(crate) struct GuardLayer {
    metrics: Arc<ApiMetrics>,
}

impl GuardLayer {
    pub(crate) fn new(metrics: ApiMetrics) -> Self {
        Self { metrics: Arc::new(metrics) }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;
    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, metrics: Arc::clone(&self.metrics) }
    }
}

/// A service that always answers.
#[derive(Clone, Debug)]
pub(crate) struct Guard<S> {
    inner: S,
    metrics: Arc<ApiMetrics>,
}

impl<S, B> Service<Request<B>> for Guard<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
    S::Future: Unpin,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Guarded<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let future = catch_unwind(AssertUnwindSafe(|| self.inner.call(request))).ok();
        Guarded { future, metrics: Arc::clone(&self.metrics) }
    }
}

/// The answer of a guarded service; after a panic the inner future is dropped.
#[derive(Debug)]
pub(crate) struct Guarded<F> {
    future: Option<F>,
    metrics: Arc<ApiMetrics>,
}

impl<F> Future for Guarded<F>
where
    F: Future<Output = Result<Response, Infallible>> + Unpin,
{
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let polled = match &mut this.future {
            Some(future) => catch_unwind(AssertUnwindSafe(|| Pin::new(future).poll(context))).ok(),
            None => None,
        };
        let mut response = match polled {
            Some(Poll::Pending) => return Poll::Pending,
            Some(Poll::Ready(Ok(response))) => response,
            Some(Poll::Ready(Err(never))) => match never {},
            None => {
                this.future = None;
                this.metrics.count_panic();
                tracing::error!("a handler panicked; the request was answered with 500");
                ApiError::internal().into_response()
            }
        };
        this.metrics.count_answer(response.status());
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Poll::Ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    #[tokio::test]
    async fn a_panic_is_answered_with_json_and_counted() {
        let metrics = ApiMetrics::default();
        let app = Router::new()
            .route(
                "/now",
                get(|| async {
                    if true {
                        panic!("on purpose")
                    }
                }),
            )
            .route(
                "/later",
                get(|| async {
                    tokio::task::yield_now().await;
                    if true {
                        panic!("on purpose")
                    }
                }),
            )
            .route("/fine", get(|| async { "fine" }))
            .layer(GuardLayer::new(metrics.clone()));
        for (path, status) in [("/now", 500), ("/later", 500), ("/fine", 200)] {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            let response = app.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status().as_u16(), status, "{path}");
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).is_ok(), status == 500);
        }
        assert_eq!(metrics.panics(), 2);
    }
}
