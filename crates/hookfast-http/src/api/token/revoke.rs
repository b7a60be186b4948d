//! `DELETE /hookfast/token/{token_id}`.

use crate::auth::OrgCaller;
use crate::error::ApiError;
use crate::extract::PathParams;
use crate::router::Shared;
use axum::extract::State;
use http::StatusCode;
use std::sync::Arc;

/// Revokes an access token, at once.
#[utoipa::path(
    delete, path = "/api/v1/hookfast/token/{token_id}", operation_id = "v1.hookfast.token.revoke", tag = "Token",
    responses((status = 204, description = "Revoked")),
)]
pub(super) async fn revoke_token(
    State(shared): State<Arc<Shared>>,
    OrgCaller(principal): OrgCaller,
    params: PathParams,
) -> Result<StatusCode, ApiError> {
    let id = params.get("token_id").parse().map_err(|_| ApiError::not_found("token"))?;
    shared.api.ports.tokens.revoke_token(principal.org, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
