//! A running server: its runtimes, its listeners (TCP and the control socket), its start and its stop. Knows the parts
//! only through the graph that `build` makes.

use crate::build::{Ground, Node};
use crate::client::{control_socket_path, dialable, owner};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::observe::Observer;
use anyhow::Context as _;
use hookfast_core::ports::Intake;
use hookfast_core::{Clock, OrgId};
use hookfast_http::{Access, ServeReport, ServerConfig, router, serve};
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
    /// Takes the data directory, opens the store, listens, and starts to deliver. Ready when this returns.
    pub(crate) async fn start(
        config: &Config,
        delivery: &Handle,
        clock: Arc<dyn Clock>,
        observer: Option<Arc<dyn Observer>>,
    ) -> anyhow::Result<Self> {
        let ground = take(config, &clock, observer.as_ref()).await?;
        let listener = bind(config.server.listen)?;
        let addr = listener.local_addr()?;
        let control = control_socket_path(&config.server.data_dir);
        let (control_listener, control_dir) = bind_control(&control)?;
        let node = ground.serve(config, addr, delivery)?;
        // Before it answers: who sees it ready finds the address.
        let address_file = config.server.data_dir.join("listen.addr");
        replace_file(&address_file, &format!("{addr}\n"))?;
        let stop = CancellationToken::new();
        let open = router(node.state().clone(), Access::Tokens);
        let trusted = router(node.state().clone(), Access::Trusted(owner()));
        let limits = limits(config);
        let metrics = &node.state().metrics;
        let listeners = vec![
            tokio::spawn(serve(listener.into(), open, limits.clone(), metrics.clone(), stop.clone())),
            tokio::spawn(serve(control_listener.into(), trusted, limits, metrics.clone(), stop.clone())),
        ];
        drop(control_dir);
        tracing::info!("listening on http://{addr}");
        if node.state().ports.tokens.tokens(OrgId::default_org()).await.is_ok_and(|tokens| tokens.is_empty()) {
            let dir = config.server.data_dir.display();
            tracing::info!("there is no access token yet; make one: hookfast token create --data-dir {dir}");
        }
        Ok(Self { addr, node, stop, listeners, files: vec![control, address_file], drain_ms: config.server.drain_ms })
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The one road in, for sources within the process.
    pub(crate) fn intake(&self) -> Arc<dyn Intake> {
        self.node.intake()
    }

    /// Stops accepting, lets requests and deliveries in flight end within `drain_ms`, closes the store.
    pub(crate) async fn stop(self) {
        let deadline = Instant::now() + Duration::from_millis(self.drain_ms);
        self.node.state().draining.cancel();
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

fn limits(config: &Config) -> ServerConfig {
    ServerConfig {
        connections_max: config.server.connections_max,
        header_timeout_ms: config.server.header_timeout_ms,
        idle_timeout_ms: config.server.idle_timeout_ms,
        drain_ms: config.server.drain_ms,
        ..ServerConfig::default()
    }
}

/// Takes the data directory. A command may have it for a moment; a server has it for good.
async fn take(config: &Config, clock: &Arc<dyn Clock>, observer: Option<&Arc<dyn Observer>>) -> anyhow::Result<Ground> {
    let control = control_socket_path(&config.server.data_dir);
    let deadline = Instant::now() + Duration::from_millis(BUSY_MS_MAX);
    loop {
        match Ground::open(config, Arc::clone(clock), observer.cloned()) {
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

/// What a store that does not open means for a command: one sentence that says what to do.
pub(crate) fn store_failure(error: hookfast_store::Error) -> anyhow::Error {
    use hookfast_store::Error;
    let advice = match &error {
        Error::DataDir { .. } => "; name a directory that this user can write with --data-dir",
        Error::Locked { .. } => "; stop it, or name another directory with --data-dir",
        Error::Seal { .. } => "; set store.secret_key to the key that this store was used with",
        _ => "",
    };
    Failure::new(Exit::Failed, format!("{error}{advice}"))
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
