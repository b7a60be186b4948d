//! Calls the router in process.

use crate::doubles::{FixedClock, Memory};
use axum::Router;
use axum::body::Body;
use hookfast_core::OrgId;
use hookfast_core::address::AddressRules;
use hookfast_core::model::{Principal, Scope, SecretText};
use hookfast_http::{Access, ApiConfig, ApiMetrics, ApiState, Ports, health_router, router};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use prometheus_client::registry::Registry;
use serde_json::Value;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub(crate) const JWT_SECRET: &str = "the secret that signs";

pub(crate) struct Rig {
    pub(crate) memory: Arc<Memory>,
    pub(crate) draining: CancellationToken,
    pub(crate) router: Router,
    /// The same state behind a listener that asks for tokens.
    pub(crate) guarded: Router,
    /// The same state on a node without an API.
    pub(crate) health: Router,
    pub(crate) org: OrgId,
    /// What further routes are built from.
    pub(crate) state: ApiState,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {:?}", self.text))
    }

    /// The body of an answer with this status.
    #[track_caller]
    pub(crate) fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.json()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Rig {
    pub(crate) fn new() -> Self {
        let memory = Arc::new(Memory::default());
        let ports = Ports {
            intake: memory.clone(),
            applications: memory.clone(),
            endpoints: memory.clone(),
            event_types: memory.clone(),
            tokens: memory.clone(),
            reading: memory.clone(),
            replays: memory.clone(),
            maintenance: memory.clone(),
        };
        let mut registry = Registry::default();
        let metrics = ApiMetrics::register(&mut registry);
        let config = ApiConfig {
            body_bytes_max: 64 << 10,
            jwt_secret: Some(SecretText::new(JWT_SECRET)),
            address_rules: AddressRules::default(),
            ..ApiConfig::default()
        };
        let draining = CancellationToken::new();
        let state = ApiState {
            ports,
            clock: Arc::new(FixedClock),
            ids: memory.ids.clone(),
            config,
            metrics,
            log: None,
            registry: Arc::new(registry),
            draining: draining.clone(),
        };
        let org = OrgId::default_org();
        let trusted = Access::Trusted(Principal { org: org.clone(), scope: Scope::Org });
        let health = health_router(state.clone());
        let (guarded, router) = (router(state.clone(), Access::Tokens), router(state.clone(), trusted));
        Self { memory, draining, router, guarded, health, org, state }
    }

    pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
        let response = router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    /// A call by the organisation.
    pub(crate) async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).unwrap();
        Self::send(&self.router, request).await
    }

    /// The same with a JSON body.
    pub(crate) async fn json(&self, method: &str, path: &str, body: Value) -> Answer {
        self.call(method, path, &body.to_string()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.json("POST", path, body).await
    }

    /// A call with a bearer token.
    pub(crate) async fn with_token(&self, method: &str, path: &str, token: &str) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let request =
            if token.is_empty() { request } else { request.header("authorization", format!("Bearer {token}")) };
        Self::send(&self.guarded, request.body(Body::from("{}")).unwrap()).await
    }

    /// A new application; its id.
    pub(crate) async fn app(&self) -> String {
        id(&self.post("/api/v1/app", serde_json::json!({ "name": "A" })).await.ok(201))
    }

    /// A new endpoint; its id.
    pub(crate) async fn endpoint(&self, app: &str) -> String {
        let body = serde_json::json!({ "url": "https://receiver.example/hook" });
        id(&self.post(&format!("/api/v1/app/{app}/endpoint"), body).await.ok(201))
    }

    /// A new message; its id.
    pub(crate) async fn message(&self, app: &str) -> String {
        let body = serde_json::json!({ "eventType": "a.b", "payload": { "n": 1 } });
        id(&self.post(&format!("/api/v1/app/{app}/msg"), body).await.ok(202))
    }
}

pub(crate) fn id(value: &Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}
