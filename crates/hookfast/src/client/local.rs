//! A store as a transport: the server on a data directory, through its control socket; or, while none runs, and on a
//! store that nodes share, the router called in this process. One code path for commands either way: HTTP requests.

use super::socket::{Socket, control_socket_path};
use super::{Answer, Api, Transport};
use crate::build::{Ground, Node, node_name, store_failure};
use crate::clock::SystemClock;
use crate::config::{Config, Roles};
use crate::exit::{Exit, Failure};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use hookfast_core::OrgId;
use hookfast_core::model::{Principal, Scope};
use hookfast_http::Access;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tower::ServiceExt as _;

/// So long a directory may be held by somebody who does not answer: a server that starts or stops, another command.
const BUSY_MS_MAX: u64 = 10_000;
const BUSY_POLL_MS: u64 = 20;

/// The one who owns the data directory.
pub(crate) fn owner() -> Principal {
    Principal { org: OrgId::default_org(), scope: Scope::Org }
}

/// The router in this process, over the opened store.
pub(super) struct Here {
    node: Node,
    router: Router,
    /// What this process calls itself on the store.
    name: String,
}

/// Opens the shared store; else connects to the server that holds the directory, or takes the directory.
pub(super) async fn connect(config: &Config) -> anyhow::Result<Api> {
    if config.store.url.is_some() {
        let ground = Ground::open(config, Roles::NONE, Arc::new(SystemClock::start()), None).await;
        let here = Here::over(ground.map_err(store_failure)?, config).await?;
        return Ok(Api { transport: Transport::Here(Box::new(here)) });
    }
    let path = control_socket_path(&config.server.data_dir);
    let deadline = Instant::now() + Duration::from_millis(BUSY_MS_MAX);
    loop {
        match Ground::open(config, Roles::NONE, Arc::new(SystemClock::start()), None).await {
            Ok(ground) => {
                let here = Here::over(ground, config).await?;
                return Ok(Api { transport: Transport::Here(Box::new(here)) });
            }
            Err(hookfast_store::Error::Locked { .. }) if path.exists() => {
                let socket = Socket::to_control_socket(path.clone());
                if socket.connect().await.is_ok() {
                    return Ok(Api { transport: Transport::Socket(socket) });
                }
            }
            Err(hookfast_store::Error::Locked { .. }) => {}
            Err(error) => return Err(store_failure(error)),
        }
        if Instant::now() >= deadline {
            let dir = config.server.data_dir.display();
            let why = format!("data directory {dir} is held by a process that does not answer at its control.sock");
            return Err(Failure::new(Exit::Unavailable, why));
        }
        tokio::time::sleep(Duration::from_millis(BUSY_POLL_MS)).await;
    }
}

impl Here {
    async fn over(ground: Ground, config: &Config) -> anyhow::Result<Self> {
        let node = ground.command(config).await?;
        let name = node_name(config, Roles::NONE);
        let router = node.routes(Access::Trusted(owner()));
        Ok(Self { node, router, name })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn call(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let response = self.router.clone().oneshot(request.map(Body::new)).await?;
        let status = response.status();
        Ok(Answer { status, body: response.into_body().collect().await?.to_bytes() })
    }

    pub(super) async fn close(self) {
        drop(self.router);
        self.node.close(0).await;
    }
}
