//! Every error answer, and the one place where errors of the ports become statuses. Knows no route.

use axum::response::{IntoResponse, Response};
use hookfast_core::Error;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use std::borrow::Cow;
use utoipa::ToSchema;

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldProblem {
    /// Where: `body` or `query`, then the path of the field.
    pub loc: Vec<String>,
    /// What was expected and what came.
    pub msg: String,
    /// The class of the problem.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
}

/// The body of a 422.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HTTPValidationError)]
pub(crate) struct ProblemsOut {
    /// One entry for each wrong field.
    detail: Vec<FieldProblem>,
}

/// The body of every other error.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HttpErrorOut)]
pub(crate) struct ErrorOut {
    /// A stable code for programs.
    code: Cow<'static, str>,
    /// A sentence for people.
    detail: String,
}

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: String,
    problems: Vec<FieldProblem>,
    retry_after_ms: Option<u64>,
}

impl ApiError {
    /// An answer of any status with a code for programs and a sentence for people.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code: code.into(), detail: detail.into(), problems: Vec::new(), retry_after_ms: None }
    }

    /// 422 for these fields.
    #[must_use]
    pub fn fields(problems: Vec<FieldProblem>) -> Self {
        Self { problems, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "validation", "") }
    }

    /// 422 for one field of the body or the query.
    pub fn field(place: &str, name: &str, kind: &'static str, msg: impl Into<String>) -> Self {
        let loc = std::iter::once(place).chain(name.split('.').filter(|part| !part.is_empty())).map(str::to_owned);
        Self::fields(vec![FieldProblem { loc: loc.collect(), msg: msg.into(), kind: kind.into() }])
    }

    /// 400.
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 401: no token, or one that proves nothing.
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "authentication_failed", detail)
    }

    /// 403: a good token that may not do this.
    #[must_use]
    pub fn forbidden() -> Self {
        let detail = "this token is for one application; the route needs a token of the organisation";
        Self::new(StatusCode::FORBIDDEN, "insufficient_access", detail)
    }

    /// 404 for a thing that does not exist, or belongs to somebody else.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("{what} not found"))
    }

    /// 500, with nothing about the inside.
    #[must_use]
    pub fn internal() -> Self {
        let detail = "an internal error; it was logged";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", detail)
    }

    /// 503: try again after a while.
    pub fn overloaded(detail: impl Into<String>, retry_after_ms: u64) -> Self {
        let retry_after_ms = Some(retry_after_ms);
        Self { retry_after_ms, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail) }
    }

    /// 503: a part of the server is away for the moment.
    pub fn unavailable(detail: impl Into<String>, retry_after_ms: u64) -> Self {
        Self { code: "unavailable".into(), ..Self::overloaded(detail, retry_after_ms) }
    }

    /// 429: this caller asks too often.
    pub fn too_many(detail: impl Into<String>, retry_after_ms: u64) -> Self {
        let retry_after_ms = Some(retry_after_ms);
        Self { retry_after_ms, ..Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail) }
    }

    /// The same as a 400 with one sentence: for routes older than this API's 422.
    pub(crate) fn into_bad_request(self) -> Self {
        if self.status != StatusCode::UNPROCESSABLE_ENTITY {
            return self;
        }
        let sentences = self.problems.iter().map(|problem| format!("{}: {}", problem.loc.join("."), problem.msg));
        Self::bad_request("invalid_request", sentences.collect::<Vec<_>>().join("; "))
    }

    /// The status it answers with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The code for programs: one of a fixed set.
    pub(crate) fn code(&self) -> Cow<'static, str> {
        self.code.clone()
    }
}

impl From<Error> for ApiError {
    /// The clients that people have repeat a call on 5xx only: so overload, too, is a 503 and not a 429.
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid { field, reason } => Self::field("body", &field, "value_error", reason),
            Error::NotFound { what } => Self::not_found(what),
            Error::Conflict { code: "missing_payload", reason } => Self::bad_request("missing_payload", reason),
            Error::Conflict { code, reason } => Self::new(StatusCode::CONFLICT, code, reason),
            Error::Overloaded { reason, retry_after_ms } => Self::overloaded(reason, retry_after_ms),
            Error::Unavailable { reason } => {
                tracing::warn!(%reason, "a component is away");
                Self::unavailable("a component is away for the moment; try again", 1_000)
            }
            Error::Terminal { reason } => {
                tracing::error!(%reason, "a request failed");
                Self::internal()
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = if self.status == StatusCode::UNPROCESSABLE_ENTITY {
            serde_json::to_vec(&ProblemsOut { detail: self.problems })
        } else {
            serde_json::to_vec(&ErrorOut { code: self.code, detail: self.detail })
        };
        let mut response = Response::new(axum::body::Body::from(body.unwrap_or_else(|_| b"{}".to_vec())));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(retry_after_ms) = self.retry_after_ms {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after_ms.div_ceil(1000).max(1)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn body_of(error: ApiError) -> (StatusCode, Option<String>, serde_json::Value) {
        let response = error.into_response();
        let status = response.status();
        let retry = response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, retry, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn each_kind_of_port_error_has_its_status_and_shape() {
        let (status, _, body) = body_of(Error::invalid("transformationsParams.rawPayload", "too long").into()).await;
        assert_eq!(status, 422);
        assert_eq!(body["detail"][0]["loc"], serde_json::json!(["body", "transformationsParams", "rawPayload"]));
        assert_eq!(body["detail"][0]["msg"], "too long");

        let (status, _, body) = body_of(Error::NotFound { what: "application" }.into()).await;
        assert_eq!((status.as_u16(), body["code"].as_str()), (404, Some("not_found")));

        let conflict = |code| Error::Conflict { code, reason: "no".to_owned() };
        assert_eq!(body_of(conflict("uid_taken").into()).await.0, 409);
        assert_eq!(body_of(conflict("missing_payload").into()).await.0, 400);

        let overloaded = Error::Overloaded { reason: "the disk is full", retry_after_ms: 4_100 };
        let (status, retry, body) = body_of(overloaded.into()).await;
        assert_eq!((status.as_u16(), retry.as_deref()), (503, Some("5")));
        assert_eq!(body["code"], "overloaded");

        let (status, retry, _) = body_of(Error::Unavailable { reason: "x".to_owned() }.into()).await;
        assert_eq!((status.as_u16(), retry.as_deref()), (503, Some("1")));

        let (status, _, body) = body_of(Error::Terminal { reason: "secret inside".to_owned() }.into()).await;
        assert_eq!(status, 500);
        assert!(!body.to_string().contains("inside"));
    }
}
