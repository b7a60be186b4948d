//! Who is calling: opaque tokens, signed tokens, or a listener that trusts its callers. Knows no route.

mod caller;
pub(crate) mod jwt;
pub(crate) mod opaque;

pub(crate) use caller::{
    AnyCaller, AppByOrg, AppCaller, CallerOrigin, EndpointByOrg, EndpointCaller, OrgCaller, visible_application,
};

use crate::error::ApiError;
use crate::state::ApiState;
use hookfast_core::model::{Name, Origin, Principal, Scope, Token};
use hookfast_core::{Error, UnixMs};
use http::request::Parts;
use http::{HeaderMap, header};
use jwt::JwtChecker;
use std::sync::Arc;

/// How a listener learns who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// From the bearer token of each request.
    Tokens,
    /// Everybody who can reach it is this one: for the control socket and calls within the process.
    Trusted(Principal),
}

/// Who is calling, and where what they hand over is said to come in.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    pub(crate) origin: Origin,
}

impl Caller {
    /// Of a request whose caller was checked before.
    ///
    /// # Errors
    /// 500 when it was not, which is a fault of the route.
    pub(crate) fn of(parts: &Parts) -> Result<&Self, ApiError> {
        parts.extensions.get().ok_or_else(|| {
            tracing::error!(path = parts.uri.path(), "a route asks who called before it knows its caller");
            ApiError::internal()
        })
    }
}

/// Checks the caller of each request.
#[derive(Debug)]
pub(crate) struct Gate {
    access: Access,
    jwt: Option<JwtChecker>,
    /// The source of callers with a token, and of those who need none.
    api: Name,
    cli: Name,
}

impl Gate {
    pub(crate) fn new(access: Access, state: &ApiState) -> Self {
        let jwt = state.config.jwt_secret.as_ref().map(JwtChecker::new);
        Self { access, jwt, api: Name::new("api"), cli: Name::new("cli") }
    }

    /// Who is calling.
    ///
    /// # Errors
    /// 401 without a token or with one that proves nothing; 503 when the store cannot be asked.
    pub(crate) async fn caller(&self, state: &ApiState, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let text = match &self.access {
            Access::Trusted(principal) => {
                let origin = Origin { source: self.cli.clone(), by: None };
                return Ok(Caller { principal: principal.clone(), origin });
            }
            Access::Tokens => bearer(headers)?,
        };
        if !text.starts_with(opaque::PREFIX) {
            let principal = self.by_jwt(state, text)?;
            let by = Name::new(&format!("jwt:{}", subject(&principal)));
            return Ok(self.known(principal, by));
        }
        let hash = opaque::hash(text);
        let token = match state.ports.tokens.token_cached(&hash) {
            Some(token) => token,
            // The checksum spares the store the look-up of mistyped and made-up tokens.
            None if opaque::is_well_formed(text) => stored(state, hash).await?,
            None => return Err(ApiError::unauthenticated("the token is damaged: its checksum does not match")),
        };
        if token.expires_at.is_some_and(|expires_at| expires_at <= state.clock.now()) {
            return Err(ApiError::unauthenticated("the token has expired"));
        }
        Ok(self.known(token.principal.clone(), token.caller.clone()))
    }

    fn known(&self, principal: Principal, by: Name) -> Caller {
        Caller { principal, origin: Origin { source: self.api.clone(), by: Some(by) } }
    }

    fn by_jwt(&self, state: &ApiState, text: &str) -> Result<Principal, ApiError> {
        match &self.jwt {
            Some(jwt) => jwt.check(text, UnixMs(state.clock.wall().0)).map_err(ApiError::unauthenticated),
            None => Err(ApiError::unauthenticated(
                "the token is not one of this server's (hf_…), and the server has no jwt_secret to check others",
            )),
        }
    }
}

/// What a signed token was made out to.
fn subject(principal: &Principal) -> &str {
    match &principal.scope {
        Scope::Org => principal.org.as_str(),
        Scope::App(app) => app,
    }
}

async fn stored(state: &ApiState, hash: [u8; 32]) -> Result<Arc<Token>, ApiError> {
    state.ports.tokens.token(hash).await.map_err(|error| match error {
        Error::NotFound { .. } => ApiError::unauthenticated("the token is unknown, revoked or expired"),
        other => other.into(),
    })
}

/// The token of the header `authorization`.
///
/// # Errors
/// 401 when there is none.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let expected = "expected the header `authorization: Bearer <token>`";
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(ApiError::unauthenticated(format!("{expected}, got none")));
    };
    let text = value.to_str().ok().map(str::trim);
    let token = text.and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    token
        .filter(|token| !token.is_empty())
        .ok_or_else(|| ApiError::unauthenticated(format!("{expected}, got another form")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn bearer_tokens_are_found_and_other_schemes_named() {
        let read = |value: &'static [u8]| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap())]);
            bearer(&headers).map(str::to_owned).ok()
        };
        assert_eq!(read(b"Bearer hf_x").as_deref(), Some("hf_x"));
        assert_eq!(read(b"bearer  hf_x ").as_deref(), Some("hf_x"));
        for wrong in [&b"Basic abc"[..], b"Bearer", b"Bearer ", b"hf_x", b"", b"Bearer \xff"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
        assert!(bearer(&HeaderMap::new()).is_err());
    }
}
