//! The caller and what the path names, as handlers take them. A handler that takes one of these has checked its
//! caller; whatever belongs to others reads as 404.

use super::Caller;
use crate::error::ApiError;
use crate::extract::PathParams;
use crate::router::Shared;
use axum::extract::FromRequestParts;
use hookfast_core::AppId;
use hookfast_core::model::{Application, Endpoint, Origin, Principal, Scope};
use http::request::Parts;
use std::sync::Arc;

/// Anybody with a good token.
#[derive(Debug)]
pub(crate) struct AnyCaller(pub(crate) Principal);

/// The organisation; tokens of one application get 403.
#[derive(Debug)]
pub(crate) struct OrgCaller(pub(crate) Principal);

/// The application of the path, for its organisation or its own token.
#[derive(Debug)]
pub(crate) struct AppCaller(pub(crate) Arc<Application>);

/// The application of the path, for its organisation only.
#[derive(Debug)]
pub(crate) struct AppByOrg(pub(crate) Arc<Application>);

/// The endpoint of the path, for its organisation or its application's token.
#[derive(Debug)]
pub(crate) struct EndpointCaller {
    pub(crate) app: Arc<Application>,
    pub(crate) endpoint: Arc<Endpoint>,
}

/// The endpoint of the path, for its organisation only.
#[derive(Debug)]
pub(crate) struct EndpointByOrg {
    pub(crate) app: Arc<Application>,
    pub(crate) endpoint: Arc<Endpoint>,
}

/// Where what the caller hands over comes in. To be named after one of the others, which knows the caller.
#[derive(Debug)]
pub(crate) struct CallerOrigin(pub(crate) Origin);

async fn any(parts: &mut Parts, shared: &Shared) -> Result<Principal, ApiError> {
    let caller = shared.gate.caller(&shared.api, &parts.headers).await?;
    let principal = caller.principal.clone();
    // The idempotency key's scope and the origin of events are read from here.
    parts.extensions.insert(caller);
    Ok(principal)
}

async fn org(parts: &mut Parts, shared: &Shared) -> Result<Principal, ApiError> {
    let principal = any(parts, shared).await?;
    match principal.scope {
        Scope::Org => Ok(principal),
        Scope::App(_) => Err(ApiError::forbidden()),
    }
}

async fn application(
    params: &PathParams,
    shared: &Shared,
    principal: &Principal,
) -> Result<Arc<Application>, ApiError> {
    visible_application(shared, principal, params.get("app_id")).await
}

/// An application by id or uid, if this caller may see it.
///
/// # Errors
/// 404 when there is none, or it is another's.
pub(crate) async fn visible_application(
    shared: &Shared,
    principal: &Principal,
    reference: &str,
) -> Result<Arc<Application>, ApiError> {
    let applications = &shared.api.ports.applications;
    let app = match applications.application_cached(&principal.org, reference) {
        Some(app) => app,
        None => applications.application(&principal.org, reference).await?,
    };
    match &principal.scope {
        Scope::Org => Ok(app),
        Scope::App(own) if is_named(&app, own) => Ok(app),
        Scope::App(_) => Err(ApiError::not_found("application")),
    }
}

fn is_named(app: &Application, reference: &str) -> bool {
    reference.parse::<AppId>().map_or(app.uid.as_deref() == Some(reference), |id| id == app.id)
}

async fn endpoint(params: &PathParams, shared: &Shared, app: &Application) -> Result<Arc<Endpoint>, ApiError> {
    let reference = params.get("endpoint_id");
    Ok(shared.api.ports.endpoints.endpoint(app.id, reference).await?)
}

impl FromRequestParts<Arc<Shared>> for AnyCaller {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        any(parts, shared).await.map(Self)
    }
}

impl FromRequestParts<Arc<Shared>> for CallerOrigin {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Shared>) -> Result<Self, ApiError> {
        Caller::of(parts).map(|caller| Self(caller.origin.clone()))
    }
}

impl FromRequestParts<Arc<Shared>> for OrgCaller {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        org(parts, shared).await.map(Self)
    }
}

impl FromRequestParts<Arc<Shared>> for AppCaller {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        let principal = any(parts, shared).await?;
        application(&PathParams::from_request_parts(parts, shared).await?, shared, &principal).await.map(Self)
    }
}

impl FromRequestParts<Arc<Shared>> for AppByOrg {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        let principal = org(parts, shared).await?;
        application(&PathParams::from_request_parts(parts, shared).await?, shared, &principal).await.map(Self)
    }
}

impl FromRequestParts<Arc<Shared>> for EndpointCaller {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        let principal = any(parts, shared).await?;
        let params = PathParams::from_request_parts(parts, shared).await?;
        let app = application(&params, shared, &principal).await?;
        let endpoint = endpoint(&params, shared, &app).await?;
        Ok(Self { app, endpoint })
    }
}

impl FromRequestParts<Arc<Shared>> for EndpointByOrg {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        let principal = org(parts, shared).await?;
        let params = PathParams::from_request_parts(parts, shared).await?;
        let app = application(&params, shared, &principal).await?;
        let endpoint = endpoint(&params, shared, &app).await?;
        Ok(Self { app, endpoint })
    }
}
