//! What the demo sets up around the server: three receivers (healthy, flaky, down), an application with an endpoint
//! for each, made through the API as anybody would. Draws nothing.

use super::view::Receiver as Shown;
use crate::client::Api;
use anyhow::Context as _;
use hookfast_core::{AppId, EndpointId};
use hookfast_lab::journal::{Journal, Signature};
use hookfast_lab::receiver::{Behaviour, Observer, Receiver, ReceiverConfig, Seen};
use http::Method;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpSocket;

/// The application's uid.
pub(super) const APP: &str = "demo";
/// The endpoints' uids, in the order of the rows.
pub(super) const NAMES: [&str; 3] = ["healthy", "flaky", "down"];
/// Of the requests at the flaky one, this share fails.
const FLAKY_SHARE: f64 = 0.3;

/// Signatures that held and that did not, per receiver.
#[derive(Default)]
struct Signatures([(AtomicU64, AtomicU64); 3]);

impl Observer for Signatures {
    fn seen(&self, request: &Seen<'_>) {
        let at = NAMES.iter().position(|name| request.target.strip_prefix('/') == Some(name));
        let Some((good, bad)) = at.and_then(|at| self.0.get(at)) else { return };
        match request.signature {
            Signature::Good => good.fetch_add(1, Ordering::Relaxed),
            Signature::Bad => bad.fetch_add(1, Ordering::Relaxed),
            Signature::Unchecked => 0,
        };
    }
}

/// The receiver that is down: an address that refuses connections, or a receiver there.
enum Down {
    /// Bound and not listening: connections are refused, and nobody else gets the port.
    Refuses(TcpSocket),
    Heals(Receiver),
}

/// The receivers, and the endpoints that point to them.
pub(super) struct World {
    up: Receiver,
    down: Down,
    down_addr: SocketAddr,
    down_secret: String,
    signatures: Arc<Signatures>,
    /// The application.
    pub(super) app: AppId,
    /// Its endpoints, in the order of the rows.
    pub(super) endpoints: Vec<EndpointId>,
}

fn refuse(addr: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // The connections of a receiver that was here may linger.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

impl World {
    /// Starts the receivers and tells the server about them.
    pub(super) async fn set_up(api: &Api) -> anyhow::Result<Self> {
        let signatures = Arc::new(Signatures::default());
        let up = Receiver::start(config(&signatures, SocketAddr::from(([127, 0, 0, 1], 0)))).await?;
        up.behave("/flaky", Behaviour::FailShare(FLAKY_SHARE));
        let socket = refuse(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let down_addr = socket.local_addr()?;
        let new = json!({ "name": "Demo", "uid": APP });
        let made = api.json(Method::POST, "/api/v1/app?get_if_exists=true", Some(&new)).await?;
        let app = id(&made)?;
        let mut endpoints = Vec::new();
        let mut down_secret = String::new();
        for name in NAMES {
            let url = if name == "down" { format!("http://{down_addr}/down") } else { up.url(&format!("/{name}")) };
            let path = format!("/api/v1/app/{APP}/endpoint/{name}");
            let wanted = json!({ "url": url, "uid": name, "description": "made by hookfast demo" });
            endpoints.push(id(&api.json(Method::PUT, &path, Some(&wanted)).await?)?);
            let secret = api.json(Method::GET, &format!("{path}/secret"), None).await?;
            let secret = secret["key"].as_str().context("the answer holds no secret")?;
            if name == "down" {
                secret.clone_into(&mut down_secret);
            } else {
                up.verify(&format!("/{name}"), secret)?;
            }
        }
        Ok(Self { up, down: Down::Refuses(socket), down_addr, down_secret, signatures, app, endpoints })
    }

    /// Brings the receiver that is down up, or down again; answers what it does now.
    pub(super) async fn toggle_down(&mut self) -> anyhow::Result<&'static str> {
        let addr = self.down_addr;
        // While neither is bound the port is free for a moment; a failure is shown and the key can be tried again.
        let before = std::mem::replace(&mut self.down, Down::Refuses(TcpSocket::new_v4()?));
        match before {
            Down::Refuses(socket) => {
                drop(socket);
                let receiver = Receiver::start(config(&self.signatures, addr)).await?;
                receiver.verify("/down", &self.down_secret)?;
                self.down = Down::Heals(receiver);
                Ok("`down` is up: what waits is delivered as its retries come due; r replays what was given up")
            }
            Down::Heals(receiver) => {
                receiver.stop().await;
                self.down = Down::Refuses(refuse(addr)?);
                Ok("`down` is down again")
            }
        }
    }

    /// The receiver that was down is up.
    pub(super) fn is_healed(&self) -> bool {
        matches!(self.down, Down::Heals(_))
    }

    /// The receivers, as they are shown.
    pub(super) fn shown(&self) -> Vec<Shown> {
        let moods = ["answers 200", "fails 30 %", if self.is_healed() { "healed" } else { "refuses" }];
        let one = |(at, name): (usize, &'static str)| {
            let (good, bad) = &self.signatures.0[at];
            Shown {
                name,
                mood: moods[at].into(),
                signatures: (good.load(Ordering::Relaxed), bad.load(Ordering::Relaxed)),
            }
        };
        NAMES.into_iter().enumerate().map(one).collect()
    }

    /// Closes the receivers.
    pub(super) async fn stop(self) {
        self.up.stop().await;
        if let Down::Heals(receiver) = self.down {
            receiver.stop().await;
        }
    }
}

fn config(signatures: &Arc<Signatures>, listen: SocketAddr) -> ReceiverConfig {
    // The demo runs for as long as it is left alone: no journal of every arrival.
    let observer: Arc<dyn Observer> = Arc::clone(signatures) as Arc<dyn Observer>;
    ReceiverConfig { listen, observer: Some(observer), ..ReceiverConfig::loopback(Journal::new(0)) }
}

fn id<T: std::str::FromStr>(made: &Value) -> anyhow::Result<T> {
    made["id"].as_str().and_then(|id| id.parse().ok()).context("the answer holds no id")
}
