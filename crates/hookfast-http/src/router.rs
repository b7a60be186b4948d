//! The router: every route with its state, JSON for what is not there, and the guard around it all. Works without a
//! socket.

use crate::auth::{Access, Gate};
use crate::error::ApiError;
use crate::extract::BodyBudget;
use crate::guard::GuardLayer;
use crate::metrics::ApiMetrics;
use crate::openapi;
use crate::state::ApiState;
use crate::{api, health, metrics};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::{StatusCode, Uri, header};
use std::sync::Arc;
use tower::ServiceExt;

/// What every handler shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) api: ApiState,
    pub(crate) gate: Gate,
    pub(crate) budget: Arc<BodyBudget>,
    openapi: Bytes,
}

/// The whole API as a service: give it to [`crate::serve`], or call it in process.
///
/// `access` says how callers are known. Routers of several listeners are built from clones of one state; each has a
/// body budget of its own.
pub fn router(state: ApiState, access: Access) -> Router {
    router_with(state, access, root_route())
}

/// `GET /`, where nothing else answers it: where to look further.
pub fn root_route() -> Router {
    Router::new().route("/", get(root))
}

/// The same with further routes beside the API's own; they bring their own state and must not take its paths. Without
/// [`root_route`] or another one there is no `GET /`.
pub fn router_with(state: ApiState, access: Access, more: Router) -> Router {
    let (routes, document) = api::routes().split_for_parts();
    let routes = routes.route(openapi::PATH, get(serve_openapi));
    guarded(routes, openapi::to_json(document), state, access, more)
}

/// What a node serves that has no API: health and metrics, for which no token is asked.
pub fn health_router(state: ApiState) -> Router {
    health_router_with(state, Router::new())
}

/// The same with further routes, as [`router_with`].
pub fn health_router_with(state: ApiState, more: Router) -> Router {
    let (routes, _) = api::health_routes().split_for_parts();
    guarded(routes, String::new(), state, Access::Tokens, more)
}

fn guarded(routes: Router<Arc<Shared>>, openapi: String, state: ApiState, access: Access, more: Router) -> Router {
    let metrics = state.metrics.clone();
    let shared = Arc::new(Shared {
        gate: Gate::new(access, &state),
        budget: BodyBudget::new(state.config.body_bytes_in_flight_max),
        openapi: openapi.into(),
        api: state,
    });
    let known = routes
        .route("/metrics", get(metrics::scrape))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .with_state(shared)
        .merge(more);
    finished(known, metrics)
}

/// Puts around routes what every listener has: JSON for what is not there, slashes at the end, the guard.
pub(crate) fn finished(routes: Router, metrics: ApiMetrics) -> Router {
    let known = routes.method_not_allowed_fallback(method_not_allowed);
    let with_slash = known.clone().fallback(not_found);
    known.fallback(move |request| without_slash(with_slash, request)).layer(GuardLayer::new(metrics))
}

async fn root() -> Response {
    let links = serde_json::json!({ "service": "hookfast", "openapi": openapi::PATH, "health": "/api/v1/health" });
    api::json(StatusCode::OK, &links)
}

async fn serve_openapi(State(shared): State<Arc<Shared>>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], shared.openapi.clone()).into_response()
}

/// A path that ends in a slash is tried once more without it.
async fn without_slash(routes: Router, mut request: Request) -> Response {
    let Some(uri) = trimmed(request.uri()) else { return not_found(request).await };
    *request.uri_mut() = uri;
    match routes.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn trimmed(uri: &Uri) -> Option<Uri> {
    let path = uri.path().strip_suffix('/').filter(|path| !path.is_empty())?;
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    target.parse().ok()
}

async fn not_found(request: Request) -> Response {
    let detail = format!("no such route: {} {}", request.method(), request.uri().path());
    ApiError::new(StatusCode::NOT_FOUND, "not_found", detail).into_response()
}

async fn method_not_allowed(request: Request) -> Response {
    let detail = format!("this route has no {}; the header `allow` lists what it has", request.method());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail).into_response()
}
