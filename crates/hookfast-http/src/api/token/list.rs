//! `GET /hookfast/token`.

use super::wire::TokenOut;
use crate::api::json;
use crate::auth::OrgCaller;
use crate::error::ApiError;
use crate::extract::{FromQuery, Query, QueryReader};
use crate::page::{FixedPageParams, ListResponse, PageQuery};
use crate::router::Shared;
use axum::extract::State;
use axum::response::Response;
use hookfast_core::TokenId;
use hookfast_core::model::Token;
use hookfast_core::ports::{Order, PageOf};
use http::StatusCode;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct ListQuery(PageQuery<TokenId>);

impl FromQuery for ListQuery {
    fn read(query: &mut QueryReader) -> Self {
        Self(PageQuery::read(query, Order::Ascending, false, |key| key.parse().ok()))
    }
}

/// Lists the access tokens of the organisation, oldest first, without the tokens themselves.
#[utoipa::path(
    get, path = "/api/v1/hookfast/token", operation_id = "v1.hookfast.token.list", tag = "Token",
    params(FixedPageParams), responses((status = 200, body = ListResponse<TokenOut>)),
)]
pub(super) async fn list_tokens(
    State(shared): State<Arc<Shared>>,
    OrgCaller(principal): OrgCaller,
    Query(ListQuery(query)): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let mut all = shared.api.ports.tokens.tokens(principal.org).await?;
    all.sort_unstable_by_key(|token| token.id);
    let PageOf { items, done } = query.cut(all, |token: &Token| token.id);
    let found = PageOf { items: items.iter().collect(), done };
    Ok(json(StatusCode::OK, &query.answer(found, |token| token.id.to_string(), |token| TokenOut::of(token, None))))
}
