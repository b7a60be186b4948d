//! `POST /hookfast/token`.

use super::wire::{TokenIn, TokenOut};
use crate::api::json;
use crate::auth::{OrgCaller, opaque};
use crate::error::ApiError;
use crate::extract::Input;
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use hookfast_core::TokenId;
use hookfast_core::model::{Name, Principal, Scope, Token};
use http::StatusCode;
use std::sync::Arc;

/// Makes an access token. Only its hash is kept, so this answer alone shows it; a repeat of the call makes another.
#[utoipa::path(
    post, path = "/api/v1/hookfast/token", operation_id = "v1.hookfast.token.create", tag = "Token",
    request_body = TokenIn, responses((status = 201, body = TokenOut)),
)]
pub(super) async fn create_token(
    State(shared): State<Arc<Shared>>,
    OrgCaller(principal): OrgCaller,
    input: Input<TokenIn>,
) -> Result<Response, ApiError> {
    let TokenIn { name, app_id, expires_at } = input.value;
    let now = shared.api.clock.now();
    if expires_at.is_some_and(|expires_at| expires_at <= now) {
        return Err(ApiError::field("body", "expiresAt", "value_error", "expected a time in the future"));
    }
    let scope = match app_id {
        None => Scope::Org,
        Some(reference) => {
            let app = shared.api.ports.applications.application(&principal.org, &reference).await?;
            Scope::App(app.id.to_string().into())
        }
    };
    let text = opaque::generate()?;
    let id = TokenId::from_u128(shared.api.ids.next(now));
    let token = Token {
        id,
        caller: Name::of_token(id, &name),
        name,
        hash: opaque::hash(&text),
        principal: Principal { org: principal.org, scope },
        created_at: now,
        expires_at,
    };
    shared.api.ports.tokens.create_token(token.clone()).await?;
    Ok(json(StatusCode::CREATED, &TokenOut::of(&token, Some(&text))))
}
