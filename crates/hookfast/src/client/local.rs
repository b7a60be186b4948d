//! A data directory as a transport: the server on it, through its control socket; or, while none runs, the router
//! called in this process. One code path for commands either way: HTTP requests.

use super::socket::{Socket, control_socket_path};
use super::{Answer, Api, Transport};
use crate::build::{Ground, Node};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::server::store_failure;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use hookfast_core::OrgId;
use hookfast_core::model::{Principal, Scope};
use hookfast_http::{Access, router};
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
}

/// Connects to the server that holds the directory, or takes the directory.
pub(super) async fn connect(config: &Config) -> anyhow::Result<Api> {
    let path = control_socket_path(&config.server.data_dir);
    let deadline = Instant::now() + Duration::from_millis(BUSY_MS_MAX);
    loop {
        match Ground::open(config, Arc::new(SystemClock::start()), None) {
            Ok(ground) => {
                let node = ground.command(config)?;
                let router = router(node.state().clone(), Access::Trusted(owner()));
                return Ok(Api { transport: Transport::Here(Box::new(Here { node, router })) });
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
