//! The API client over both of its transports, against a server that shows what it was asked.

use hookfast_lab::client::{ApplicationIn, Client};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

/// Pages of a list, a refusal, and for the rest an application named after the request.
async fn answer(request: Request<hyper::body::Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let token = request.headers().get("authorization").map_or("none", |value| value.to_str().unwrap()).to_owned();
    let target = request.uri().to_string();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let (status, text) = match target.as_str() {
        "/api/v1/health/ping" => (204, String::new()),
        "/api/v1/app/a/msg/m/endpoint?limit=250" => {
            (200, r#"{"data":[{"id":"ep_1","status":0}],"iterator":"ep_1","done":false}"#.into())
        }
        "/api/v1/app/a/msg/m/endpoint?limit=250&iterator=ep_1" => (
            200,
            r#"{"data":[{"id":"ep_2","status":2,"state":"dead","tries":3,"run":0}],"iterator":null,"done":true}"#
                .into(),
        ),
        "/api/v1/app/gone/msg/m/endpoint?limit=250" => (404, r#"{"code":"not_found"}"#.into()),
        _ => (201, serde_json::json!({ "id": token, "name": String::from_utf8_lossy(&body) }).to_string()),
    };
    Ok(Response::builder().status(status).body(Full::from(text)).unwrap())
}

fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) {
    tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
}

async fn check(client: &Client, token: &str) {
    assert!(client.ping().await);
    let application = ApplicationIn { name: "shop".into(), uid: None };
    let made = client.create_application(&application).await.unwrap();
    assert_eq!((made.id.as_str(), made.name.as_str()), (token, r#"{"name":"shop"}"#));
    let destinations = client.destinations("a", "m").await.unwrap();
    assert_eq!(destinations.iter().map(|to| to.id.as_str()).collect::<Vec<_>>(), ["ep_1", "ep_2"]);
    assert_eq!((destinations[1].state.as_deref(), destinations[1].tries), (Some("dead"), Some(3)));
    let missing = client.destinations("gone", "m").await.unwrap_err();
    assert_eq!(missing.kind(), hookfast_core::ErrorKind::NotFound);
}

#[tokio::test]
async fn it_calls_by_tcp_over_one_kept_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicU32::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            serve(stream);
        }
    });
    check(&Client::tcp(&url, Some("secret".into())).unwrap(), "Bearer secret").await;
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn it_calls_by_unix_socket_without_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            serve(stream);
        }
    });
    check(&Client::unix(path, None), "none").await;
}

#[tokio::test]
async fn what_cannot_be_called_is_said() {
    assert!(Client::tcp("https://example.com", None).unwrap_err().to_string().contains("no TLS"));
    assert!(Client::tcp("nonsense", None).is_err());
    let url = format!("http://127.0.0.1:{}", hookfast_lab::process::free_port().unwrap());
    let client = Client::tcp(&url, None).unwrap();
    assert!(!client.ping().await);
    assert_eq!(client.health().await.unwrap_err().kind(), hookfast_core::ErrorKind::Retryable);
}
