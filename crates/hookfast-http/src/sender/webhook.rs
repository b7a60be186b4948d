//! Registered webhooks: how they are named, found, counted, listed and shown. A customer is an application, a webhook one
//! of its endpoints.

use super::{Caller, Sender};
use crate::api::json;
use crate::error::ApiError;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hookfast_core::OrgId;
use hookfast_core::limits::PAGE_ROWS_MAX;
use hookfast_core::model::{Application, Endpoint};
use hookfast_core::ports::{Order, Page};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What the uid of every customer's application begins with.
const CUSTOMER: &str = "sender.";
/// In an application's metadata: the customer as it was named.
pub(super) const CUSTOMER_ID: &str = "customer_id";
/// A secret that is not shown.
const MASKED: &str = "********";
/// Of an organisation so many pages of applications are looked through.
const PAGES_MAX: usize = 400;
/// So long a count of all webhooks is good for, with what was added here since.
const COUNT_KEPT: Duration = Duration::from_secs(60);

/// The uid of a customer's application. Customers may be called anything, uids may not.
pub(super) fn customer_uid(customer_id: &str) -> String {
    let mut uid = CUSTOMER.to_owned();
    for byte in Sha256::digest(customer_id).iter().take(16) {
        // A string takes everything.
        let _ = write!(uid, "{byte:02x}");
    }
    uid
}

/// The id of a customer's webhook for a URL: the same for the same pair. A UUID of version 8.
pub(super) fn webhook_id(customer_id: &str, url: &str) -> String {
    let mut hash = Sha256::new();
    hash.update((customer_id.len() as u64).to_be_bytes());
    hash.update(customer_id);
    hash.update(url);
    let bits = hash.finalize().iter().take(16).fold(0u128, |bits, byte| bits << 8 | u128::from(*byte));
    let bits = (bits & !(0xF << 76) & !(0b11 << 62)) | (0x8 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// A webhook as answers show it.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    webhook_id: &'a str,
    webhook_url: &'a str,
    secret_token: &'a str,
    webhook_status: &'static str,
}

impl<'a> Shown<'a> {
    /// Its secret is masked.
    pub(super) fn masked(endpoint: &'a Endpoint) -> Self {
        Self {
            webhook_id: endpoint.uid.as_deref().unwrap_or_default(),
            webhook_url: &endpoint.url,
            secret_token: MASKED,
            webhook_status: if endpoint.disabled.is_none() { "ACTIVE" } else { "DISABLED" },
        }
    }

    /// With the secret, to whom it was made for.
    pub(super) fn with_secret(endpoint: &'a Endpoint) -> Self {
        Self { secret_token: endpoint.secrets.current.reveal(), ..Self::masked(endpoint) }
    }
}

impl Sender {
    /// A customer's webhook.
    ///
    /// # Errors
    /// 404 when the customer has none of this id, whoever else may have it.
    pub(super) async fn find(
        &self,
        org: &OrgId,
        customer_id: &str,
        webhook_id: &str,
    ) -> Result<Arc<Endpoint>, ApiError> {
        let ports = &self.state.api.ports;
        let found = match ports.applications.application(org, &customer_uid(customer_id)).await {
            Ok(app) => ports.endpoints.endpoint(app.id, webhook_id).await,
            Err(error) => Err(error),
        };
        found.map_err(|error| match error {
            hookfast_core::Error::NotFound { .. } => {
                let detail = "this customer_id has no webhook of this webhook_id: POST /register makes one and answers \
                              its webhook_id, GET / lists them all";
                ApiError::new(StatusCode::NOT_FOUND, "not_found", detail)
            }
            other => other.into(),
        })
    }

    /// Every webhook, by customer; at most as many as may be registered. The flag says that there are more.
    async fn webhooks(&self, org: &OrgId) -> Result<(Vec<Arc<Endpoint>>, bool), ApiError> {
        let most = self.state.config.webhooks_max;
        let applications = &self.state.api.ports.applications;
        let mut found = Vec::new();
        let mut page = first_page();
        for _ in 0..PAGES_MAX {
            let apps = applications.applications(org.clone(), page.clone()).await?;
            for app in apps.items.iter().filter(|app| is_customer(app)) {
                if self.add_webhooks(app, &mut found, most).await? {
                    return Ok((found, true));
                }
            }
            match apps.items.last() {
                Some(last) if !apps.done => page.after = Some(last.id),
                _ => return Ok((found, false)),
            }
        }
        Ok((found, true))
    }

    /// Adds those of one customer; answers whether there are more than may be.
    async fn add_webhooks(
        &self,
        app: &Application,
        found: &mut Vec<Arc<Endpoint>>,
        most: usize,
    ) -> Result<bool, ApiError> {
        let mut page = first_page();
        loop {
            let endpoints = self.state.api.ports.endpoints.endpoints(app.id, page.clone()).await?;
            let last = endpoints.items.last().map(|endpoint| endpoint.id);
            for endpoint in endpoints.items.into_iter().filter(|endpoint| endpoint.uid.is_some()) {
                if found.len() >= most {
                    return Ok(true);
                }
                found.push(endpoint);
            }
            match last {
                Some(last) if !endpoints.done => page.after = Some(last),
                _ => return Ok(false),
            }
        }
    }

    /// May one more be registered?
    ///
    /// # Errors
    /// 429 when there are too many.
    pub(super) async fn check_room(&self, org: &OrgId) -> Result<(), ApiError> {
        let most = self.state.config.webhooks_max;
        let count = match self.counted.get() {
            Some(count) => count,
            None => self.counted.set(self.webhooks(org).await?.0.len()),
        };
        if count < most {
            return Ok(());
        }
        let detail = format!("{most} webhooks are registered already; delete some, or raise sender.webhooks_max");
        Err(ApiError::too_many(detail, 60_000))
    }
}

fn is_customer(app: &Application) -> bool {
    app.uid.as_deref().is_some_and(|uid| uid.starts_with(CUSTOMER))
}

fn first_page<K>() -> Page<K> {
    Page { limit: PAGE_ROWS_MAX, after: None, backwards: false, order: Order::Ascending }
}

/// How many webhooks there are. Counting reads them all, so a count is kept for a while.
#[derive(Default)]
pub(super) struct Counted(Mutex<Option<(Instant, usize)>>);

impl Counted {
    fn get(&self) -> Option<usize> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.filter(|(at, _)| at.elapsed() < COUNT_KEPT).map(|(_, count)| count)
    }

    fn set(&self, count: usize) -> usize {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), count));
        count
    }

    /// One was added.
    pub(super) fn add(&self) {
        if let Some((_, count)) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            *count += 1;
        }
    }
}

/// `GET /`: every webhook, with masked secrets.
pub(super) async fn list(State(sender): State<Arc<Sender>>, Caller(org): Caller) -> Result<Response, ApiError> {
    let (webhooks, has_more) = sender.webhooks(&org).await?;
    let shown: Vec<Shown<'_>> = webhooks.iter().map(|endpoint| Shown::masked(endpoint)).collect();
    let mut response = json(StatusCode::OK, &shown).into_response();
    if has_more {
        response.headers_mut().insert("x-truncated", HeaderValue::from_static("true"));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_of_any_name_has_a_uid_of_its_own() {
        let (one, other) = (customer_uid("zoë@example.com"), customer_uid("zoe@example.com"));
        assert!(one != other && one.len() == CUSTOMER.len() + 32);
        assert!(one.chars().all(|c| c.is_ascii_alphanumeric() || c == '.'));
    }

    #[test]
    fn a_webhook_id_is_a_uuid_of_customer_and_url() {
        let id = webhook_id("a", "http://b/");
        assert_eq!(id, webhook_id("a", "http://b/"));
        assert_ne!(id, webhook_id("a", "http://b/c"));
        assert_ne!(
            webhook_id("ah", "ttp://b/"),
            webhook_id("a", "http://b/"),
            "where one ends and the other begins counts"
        );
        let parts: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!((parts, &id[14..15]), (vec![8, 4, 4, 4, 12], "8"));
        assert!("89ab".contains(&id[19..20]));
    }
}
