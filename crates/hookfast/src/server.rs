//! A running server: its runtimes, its listeners (TCP and the control socket), its start and its stop. Knows the parts
//! only through the graph that `build` makes.

use crate::build::{Ground, Node, store_failure};
use crate::client::{control_socket_path, dialable, owner};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::observe::Observer;
use anyhow::Context as _;
use hookfast_core::ports::Intake;
use hookfast_core::{Clock, OrgId};
use hookfast_http::{Access, ApiState, ServeReport, ServerConfig, serve};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixStream};
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Connections that wait to be accepted by us; the system may allow fewer.
const BACKLOG: u32 = 4096;
/// So long a start waits for a command that has the data directory, or for a server that is about to end.
const BUSY_MS_MAX: u64 = 5_000;
const BUSY_POLL_MS: u64 = 20;

/// Two runtimes: one for requests, one for deliveries, so that neither starves the other.
pub(crate) struct Runtimes {
    requests: Runtime,
    deliveries: Runtime,
}

impl Runtimes {
    /// So many threads for each; 0 is as many as there are cores.
    pub(crate) fn start(threads: usize) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = if threads == 0 { cores } else { threads };
        let runtime = |name: &str| {
            tokio::runtime::Builder::new_multi_thread().worker_threads(threads).thread_name(name).enable_all().build()
        };
        Ok(Self { requests: runtime("requests")?, deliveries: runtime("deliveries")? })
    }

    /// Runs a future where requests are served.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.requests.block_on(future)
    }

    /// Where deliveries are made.
    pub(crate) fn delivery(&self) -> &Handle {
        self.deliveries.handle()
    }

    /// Ends both, without waiting for what hangs.
    pub(crate) fn end(self) {
        self.requests.shutdown_background();
        self.deliveries.shutdown_background();
    }
}

/// A server at work.
pub(crate) struct Server {
    addr: SocketAddr,
    node: Node,
    stop: CancellationToken,
    listeners: Vec<JoinHandle<ServeReport>>,
    files: Vec<PathBuf>,
    drain_ms: u64,
}

impl Server {
    /// Opens the store, takes the data directory if there is one, listens, and starts to work. Ready when this returns.
    pub(crate) async fn start(
        config: &Config,
        delivery: &Handle,
        clock: Arc<dyn Clock>,
        observer: Option<Arc<dyn Observer>>,
    ) -> anyhow::Result<Self> {
        let ground = take(config, &clock, observer.as_ref()).await?;
        let store = ground.store().cloned();
        let started = Self::start_on(ground, config, delivery).await;
        if let (Err(_), Some(store)) = (&started, store) {
            // Others that share the store need not wait until they find this node silent.
            store.close().await;
        }
        started
    }

    async fn start_on(ground: Ground, config: &Config, delivery: &Handle) -> anyhow::Result<Self> {
        let listener = bind(config.server.listen)?;
        let addr = listener.local_addr()?;
        let dir = config.own_dir().filter(|_| config.server.roles.needs_store());
        let control = dir.map(control_socket_path);
        let bound = control.as_deref().map(bind_control).transpose()?;
        let node = ground.serve(config, addr, delivery).await?;
        // Before it answers: who sees it ready finds the address.
        let address_file = dir.map(|dir| dir.join("listen.addr"));
        if let Some(file) = &address_file {
            replace_file(file, &format!("{addr}\n"))?;
        }
        let stop = CancellationToken::new();
        let listen = |acceptor, access| {
            tokio::spawn(serve(acceptor, node.routes(access), limits(config), node.metrics().clone(), stop.clone()))
        };
        let mut listeners = vec![listen(listener.into(), Access::Tokens)];
        if let Some((control_listener, _dir)) = bound {
            listeners.push(listen(control_listener.into(), Access::Trusted(owner())));
        }
        tracing::info!("listening on http://{addr}");
        if let Some(state) = node.api().filter(|_| config.server.roles.api) {
            advise_on_tokens(config, state).await;
        }
        let files = control.into_iter().chain(address_file).collect();
        Ok(Self { addr, node, stop, listeners, files, drain_ms: config.server.drain_ms })
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The one road in, for sources within the process.
    pub(crate) fn intake(&self) -> Option<Arc<dyn Intake>> {
        self.node.intake()
    }

    /// Stops accepting, lets requests and deliveries in flight end within `drain_ms`, closes the store.
    pub(crate) async fn stop(self) {
        let deadline = Instant::now() + Duration::from_millis(self.drain_ms);
        self.node.drain();
        self.stop.cancel();
        for listener in self.listeners {
            // Each ends by itself within the drain time; requests it had to cut are in its own log line.
            if listener.await.is_err() {
                tracing::error!("a listener panicked");
            }
        }
        for file in &self.files {
            // It may be gone already; nobody depends on its absence.
            let _ = std::fs::remove_file(file);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        self.node.close(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)).await;
    }
}

/// Says how to make the first token, while there is none.
async fn advise_on_tokens(config: &Config, state: &ApiState) {
    if !state.ports.tokens.tokens(OrgId::default_org()).await.is_ok_and(|tokens| tokens.is_empty()) {
        return;
    }
    let place = match &config.store.url {
        None => format!("--data-dir {}", config.server.data_dir.display()),
        // The URL may hold a password.
        Some(_) => "--store URL".to_owned(),
    };
    tracing::info!("there is no access token yet; make one: hookfast token create {place}");
}

fn limits(config: &Config) -> ServerConfig {
    ServerConfig {
        connections_max: config.server.connections_max,
        header_timeout_ms: config.server.header_timeout_ms,
        idle_timeout_ms: config.server.idle_timeout_ms,
        drain_ms: config.server.drain_ms,
        ..ServerConfig::default()
    }
}

/// Opens the store and takes the data directory. A command may have it for a moment; a server has it for good.
async fn take(config: &Config, clock: &Arc<dyn Clock>, observer: Option<&Arc<dyn Observer>>) -> anyhow::Result<Ground> {
    let control = control_socket_path(&config.server.data_dir);
    let deadline = Instant::now() + Duration::from_millis(BUSY_MS_MAX);
    loop {
        match Ground::open(config, config.server.roles, Arc::clone(clock), observer.cloned()).await {
            Ok(ground) => return Ok(ground),
            Err(error @ hookfast_store::Error::Locked { .. }) => {
                if Instant::now() >= deadline || answers(&control).await {
                    return Err(store_failure(error));
                }
            }
            Err(error) => return Err(store_failure(error)),
        }
        tokio::time::sleep(Duration::from_millis(BUSY_POLL_MS)).await;
    }
}

/// Is there a server behind this socket?
async fn answers(control: &Path) -> bool {
    match dialable(control) {
        Ok((short, _dir)) => UnixStream::connect(short).await.is_ok(),
        Err(_) => false,
    }
}

fn bind(addr: SocketAddr) -> anyhow::Result<TcpListener> {
    let listen = || {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A restart must not wait for the connections of the last life to time out.
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|error| {
        let advice = match error.kind() {
            std::io::ErrorKind::AddrInUse => "; stop what listens there, or name another address with --listen",
            _ => "; name another address with --listen",
        };
        Failure::new(Exit::Failed, format!("cannot listen on {addr}: {error}{advice}"))
    })
}

/// Binds the control socket, for the owner of the data directory only. What lies there is of an earlier life: the
/// directory is ours.
fn bind_control(path: &Path) -> anyhow::Result<(UnixListener, Option<std::fs::File>)> {
    let fault = || format!("cannot make {}", path.display());
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).with_context(fault),
        _ => {}
    }
    let (short, dir) = dialable(path).with_context(fault)?;
    let listener = UnixListener::bind(short).with_context(fault)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).with_context(fault)?;
    Ok((listener, dir))
}

/// Writes a file whole or not at all.
fn replace_file(path: &Path, text: &str) -> anyhow::Result<()> {
    let part = path.with_extension("part");
    let write = || {
        let mut file = std::fs::File::create(&part)?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&part, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
