//! Takes only what hookfast signed.  cargo add standardwebhooks axum tokio --features tokio/full

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::{Router, routing::post};
use standardwebhooks::Webhook;
use std::sync::Arc;

/// Serves on `listener`; `secret` is the endpoint's.
pub async fn serve(listener: tokio::net::TcpListener, secret: &str) -> Result<(), Box<dyn std::error::Error>> {
    let webhook = Arc::new(Webhook::new(secret)?);
    let take = move |headers: HeaderMap, body: Bytes| {
        let webhook = Arc::clone(&webhook);
        // The bytes as they came: JSON that was parsed and written again has another signature.
        async move {
            match webhook.verify(&body, &headers) {
                Ok(()) => StatusCode::NO_CONTENT,
                Err(_) => StatusCode::UNAUTHORIZED,
            }
        }
    };
    Ok(axum::serve(listener, Router::new().route("/", post(take))).await?)
}
