//! The bodies of access tokens.

use crate::api::Text;
use crate::api::texts::DisplayName;
use crate::extract::{Fields, FromFields, name_text};
use crate::time::Time;
use hookfast_core::model::{Scope, Token};
use hookfast_core::{TokenId, UnixMs};
use serde::Serialize;
use utoipa::ToSchema;

/// An access token to be made.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct TokenIn {
    /// What to call it.
    #[schema(value_type = DisplayName)]
    pub(super) name: String,
    /// It may only see this application: its id or uid. Everything of the organisation when not given.
    #[schema(value_type = Option<DisplayName>)]
    pub(super) app_id: Option<String>,
    /// When it stops working; never when not given.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) expires_at: Option<UnixMs>,
}

impl FromFields for TokenIn {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            name: fields.required("name", name_text),
            app_id: fields.text("appId", name_text).value(),
            expires_at: fields.time("expiresAt").value(),
        }
    }
}

/// An access token.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenOut<'a> {
    /// Its id.
    #[schema(value_type = String)]
    id: Text<TokenId>,
    /// The token itself: shown once, when it is made, and not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Password)]
    token: Option<&'a str>,
    /// What its maker called it.
    name: &'a str,
    /// The application it is for; null is the whole organisation.
    app_id: Option<&'a str>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Time,
    /// When it stops working; null is never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Time>,
}

impl<'a> TokenOut<'a> {
    pub(super) fn of(token: &'a Token, text: Option<&'a str>) -> Self {
        Self {
            id: Text(token.id),
            token: text,
            name: &token.name,
            app_id: match &token.principal.scope {
                Scope::Org => None,
                Scope::App(app) => Some(app),
            },
            created_at: Time(token.created_at),
            expires_at: token.expires_at.map(Time),
        }
    }
}
