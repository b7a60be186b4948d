//! A receiver of webhooks that behaves as it is told, path by path, and writes every arrival into a journal before
//! it answers. It must stay cheap, as it shares its two cores with the server it measures.

mod behaviour;
mod connection;
mod signature;

pub use behaviour::{Asked, Behaviour, Request, Responder, Response};

use crate::journal::{Journal, PathId, Signature};
use crate::{Error, LabClock, Result};
use signature::Checker;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Paths that a receiver tells apart; beyond it, new ones share one behaviour.
const ROUTES_MAX: usize = 1 << 16;

/// How to start a receiver.
#[derive(Clone)]
pub struct ReceiverConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What paths do that were told nothing else.
    pub behaviour: Behaviour,
    /// The secret that paths verify with that were given none; `None` does not verify.
    pub secret: Option<String>,
    /// Where arrivals are written down.
    pub journal: Journal,
    /// Greatest request body; beyond it the answer is 413.
    pub body_bytes_max: usize,
    /// Connections at a time; beyond it they wait to be accepted.
    pub connections_max: usize,
    /// Who is shown each request.
    pub observer: Option<Arc<dyn Observer>>,
    /// The time.
    pub clock: LabClock,
}

impl ReceiverConfig {
    /// A free port of 127.0.0.1, every path answering 200, arrivals written to `journal`.
    #[must_use]
    pub fn loopback(journal: Journal) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            behaviour: Behaviour::Ok,
            secret: None,
            journal,
            body_bytes_max: 2 << 20,
            connections_max: 20_000,
            observer: None,
            clock: LabClock::start(),
        }
    }
}

/// A request as it is shown to an [`Observer`].
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// When it had arrived, in µs since the epoch.
    pub at_us: u64,
    /// Who sent it.
    pub peer: SocketAddr,
    /// Its method.
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// `webhook-id` (or `svix-id`), if it has one.
    pub webhook_id: Option<&'a str>,
    /// Which arrival of this id at this path, from 1.
    pub ordinal: u32,
    /// Whether its signature holds.
    pub signature: Signature,
    /// Why it does not.
    pub signature_fault: Option<&'a str>,
    /// Its body.
    pub body: &'a [u8],
    /// The status it gets; 0 when the receiver misbehaves instead.
    pub status: u16,
}

/// Is shown each request, after the journal has it and before it is answered. Must be quick.
pub trait Observer: Send + Sync {
    /// Called once per request.
    fn seen(&self, request: &Seen<'_>);
}

/// One path: how it behaves and what it verifies with.
struct Route {
    path: PathId,
    behaviour: Mutex<Behaviour>,
    checker: Mutex<Option<Arc<Checker>>>,
}

struct Shared {
    routes: RwLock<HashMap<String, Arc<Route>>>,
    config: ReceiverConfig,
    checker: Option<Arc<Checker>>,
    requests: AtomicU64,
    connections: AtomicU64,
}

impl Shared {
    /// The route of a path, made at its first use.
    fn route(&self, path: &str) -> Arc<Route> {
        if let Some(route) = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(path) {
            return route.clone();
        }
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let name = if routes.len() < ROUTES_MAX { path } else { "/*" };
        let make = || Route {
            path: self.config.journal.path_id(name),
            behaviour: Mutex::new(self.config.behaviour.clone()),
            checker: Mutex::new(self.checker.clone()),
        };
        routes.entry(name.to_owned()).or_insert_with(|| Arc::new(make())).clone()
    }
}

/// A running receiver. Dropping it closes its port and its connections.
pub struct Receiver {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// Binds and starts to accept, on the current runtime.
    ///
    /// # Errors
    /// When the address cannot be bound or the secret is not one.
    pub async fn start(config: ReceiverConfig) -> Result<Self> {
        let what = format!("listen on {}", config.listen);
        let listener = TcpListener::bind(config.listen).await.map_err(Error::io(what.clone()))?;
        let addr = listener.local_addr().map_err(Error::io(what))?;
        let checker = config.secret.as_deref().map(Checker::new).transpose()?.map(Arc::new);
        let shared = Arc::new(Shared {
            routes: RwLock::default(),
            config,
            checker,
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self { addr, shared, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL of one of its paths (`path` starts with a slash).
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// From now on requests at `path` are answered so.
    pub fn behave(&self, path: &str, behaviour: Behaviour) {
        *self.shared.route(path).behaviour.lock().unwrap_or_else(PoisonError::into_inner) = behaviour;
    }

    /// From now on requests at `path` are verified with this secret.
    ///
    /// # Errors
    /// When it is not a secret.
    pub fn verify(&self, path: &str, secret: &str) -> Result<()> {
        let checker = Arc::new(Checker::new(secret)?);
        *self.shared.route(path).checker.lock().unwrap_or_else(PoisonError::into_inner) = Some(checker);
        Ok(())
    }

    /// What arrived.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.shared.config.journal
    }

    /// The journal's number of a path.
    #[must_use]
    pub fn path_id(&self, path: &str) -> PathId {
        self.shared.route(path).path
    }

    /// Requests so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Closes the port and every connection; when it returns, a new receiver may take the address.
    pub async fn stop(mut self) {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Accepts until aborted; its connections end with it.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut open = JoinSet::new();
    loop {
        let room = open.len() < shared.config.connections_max;
        tokio::select! {
            accepted = listener.accept(), if room => match accepted {
                Ok((stream, peer)) => start(&mut open, stream, peer, &shared),
                // Out of file descriptors, or a peer that went at once: neither is mended by trying at full speed.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            },
            Some(_) = open.join_next(), if !open.is_empty() => {}
        }
    }
}

fn start(open: &mut JoinSet<()>, stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) {
    shared.connections.fetch_add(1, Ordering::Relaxed);
    // Without it small answers wait for an ACK; a socket that refuses the option is broken anyway.
    let _ = stream.set_nodelay(true);
    open.spawn(connection::Connection::new(stream, peer, shared.clone()).run());
}
