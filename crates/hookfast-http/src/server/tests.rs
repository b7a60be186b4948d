//! The accept loop over real sockets.

use super::*;
use axum::routing::{get, post};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

struct Rig {
    address: SocketAddr,
    shutdown: CancellationToken,
    entered: Arc<Notify>,
    release: Arc<Notify>,
    serving: JoinHandle<ServeReport>,
    metrics: ApiMetrics,
}

async fn start(config: ServerConfig) -> Rig {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (enter, wait) = (Arc::clone(&entered), Arc::clone(&release));
    let slow = move || {
        let (enter, wait) = (Arc::clone(&enter), Arc::clone(&wait));
        async move {
            enter.notify_one();
            wait.notified().await;
            "slow"
        }
    };
    let router = Router::new()
        .route("/ok", get(|| async { "ok" }))
        .route("/echo", post(|body: bytes::Bytes| async { body }))
        .route("/slow", get(slow));
    let (shutdown, metrics) = (CancellationToken::new(), ApiMetrics::default());
    let serving = tokio::spawn(serve(listener.into(), router, config, metrics.clone(), shutdown.clone()));
    Rig { address, shutdown, entered, release, serving, metrics }
}

impl Rig {
    async fn send(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }
}

async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after the answer is an end, too.
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8(bytes).unwrap()
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 1024];
    while !text.contains("\r\n\r\n") || !text.ends_with("ok") {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the connection ended after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    text
}

fn quick() -> ServerConfig {
    ServerConfig { header_timeout_ms: 40, idle_timeout_ms: 80, ..ServerConfig::default() }
}

#[tokio::test]
async fn a_slow_head_a_silent_and_an_idle_connection_are_closed() {
    let rig = start(quick()).await;
    assert_eq!(rest(rig.send("GET /ok HT").await).await, "");
    assert_eq!(rest(rig.send("").await).await, "");
    let mut stream = rig.send("GET /ok HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
    assert_eq!(rest(stream).await, "");
}

#[tokio::test]
async fn a_slow_handler_is_waited_for() {
    let rig = start(quick()).await;
    let stream = rig.send("GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    rig.entered.notified().await;
    // Longer than both time-outs together: another connection lives through them first.
    assert_eq!(rest(rig.send("GET /ok HT").await).await, "");
    assert_eq!(rest(rig.send("").await).await, "");
    assert_eq!(rest(rig.send("").await).await, "");
    rig.release.notify_one();
    assert!(rest(stream).await.ends_with("slow"));
}

#[tokio::test]
async fn connections_are_kept_alive_and_expectations_met() {
    let rig = start(ServerConfig::default()).await;
    let mut stream = rig.send("GET /ok HTTP/1.1\r\nhost: x\r\n\r\n").await;
    answer(&mut stream).await;
    stream.write_all(b"GET /ok HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    answer(&mut stream).await;
    let head =
        "POST /echo HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\nconnection: close\r\n\r\n";
    let mut stream = rig.send(head).await;
    let mut first = [0; 25];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").await.unwrap();
    assert!(rest(stream).await.ends_with("hello"));
}

#[tokio::test]
async fn a_connection_too_many_is_told_so() {
    let rig = start(ServerConfig { connections_max: 1, ..ServerConfig::default() }).await;
    let mut held = rig.send("GET /ok HTTP/1.1\r\nhost: x\r\n\r\n").await;
    answer(&mut held).await;
    let refused = rest(rig.send("GET /ok HTTP/1.1\r\nhost: x\r\n\r\n").await).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: 1"), "{refused}");
    assert!(refused.contains(r#""code":"overloaded""#), "{refused}");
    assert_eq!((rig.metrics.refused.get(), rig.metrics.connections.get()), (1, 1));
}

#[tokio::test]
async fn a_head_with_too_many_or_too_long_headers_is_refused() {
    let rig = start(ServerConfig::default()).await;
    let many: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    let answer = rest(rig.send(&format!("GET /ok HTTP/1.1\r\nconnection: close\r\n{many}\r\n")).await).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let long = "x".repeat(70 << 10);
    let answer = rest(rig.send(&format!("GET /ok HTTP/1.1\r\nconnection: close\r\nx: {long}\r\n\r\n")).await).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight_and_accepts_nothing_more() {
    let rig = start(ServerConfig::default()).await;
    let mut idle = rig.send("GET /ok HTTP/1.1\r\nhost: x\r\n\r\n").await;
    answer(&mut idle).await;
    let stream = rig.send("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    rig.entered.notified().await;
    rig.shutdown.cancel();
    assert_eq!(rest(idle).await, "", "idle connections are closed at once");
    rig.release.notify_one();
    assert!(rest(stream).await.ends_with("slow"));
    assert_eq!(rig.serving.await.unwrap(), ServeReport { cut: 0 });
    assert!(TcpStream::connect(rig.address).await.is_err());
    assert_eq!(rig.metrics.connections.get(), 0);
}

#[tokio::test]
async fn a_drain_ends_at_its_deadline() {
    let rig = start(ServerConfig { drain_ms: 30, ..ServerConfig::default() }).await;
    let stream = rig.send("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    rig.entered.notified().await;
    rig.shutdown.cancel();
    assert_eq!(rig.serving.await.unwrap(), ServeReport { cut: 1 });
    assert_eq!(rest(stream).await, "");
}

#[tokio::test]
async fn a_unix_socket_serves_too() {
    let directory = std::env::temp_dir().join(format!("hookfast-http-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("control.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let router = Router::new().route("/ok", get(|| async { "ok" }));
    let shutdown = CancellationToken::new();
    let config = ServerConfig::default();
    let serving = tokio::spawn(serve(listener.into(), router, config, ApiMetrics::default(), shutdown.clone()));
    let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"GET /ok HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.ends_with("ok"), "{text}");
    shutdown.cancel();
    serving.await.unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
}
