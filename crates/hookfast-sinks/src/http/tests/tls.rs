//! https: who is believed, and what is not.

use super::*;
use base64::Engine as _;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::IpAddr;
use tokio_rustls::TlsAcceptor;

/// A certificate authority of the test's own.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: pem(certificate.der()), issuer: Issuer::new(params, key) }
    }

    fn acceptor(&self, name: &str, expires_in_year: i32) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(expires_in_year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        acceptor(certificate.der().clone(), &key)
    }
}

fn pem(der: &[u8]) -> String {
    let encoded = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = encoded.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

fn acceptor(certificate: CertificateDer<'static>, key: &KeyPair) -> TlsAcceptor {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// Answers every request by TLS; closes when the handshake fails.
async fn receiver(acceptor: TlsAcceptor) -> Receiver {
    Receiver::start(move |_, peer| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(peer.stream).await else { return };
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            let mut seen = Vec::new();
            while stream.read_buf(&mut seen).await.is_ok_and(|read| read > 0) {
                if seen.ends_with(b"{}") {
                    seen.clear();
                    stream.write_all(OK).await.unwrap();
                }
            }
        }
    })
    .await
}

/// Every name is loopback.
struct Loopback;

impl Resolve for Loopback {
    fn resolve<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, Failure>> {
        Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) })
    }
}

fn trusting(authority: Option<&Authority>) -> HttpSink {
    let config = HttpSinkConfig { extra_ca_pem: authority.map(|authority| authority.pem.clone()), ..config() };
    HttpSink::with_resolver(config, Arc::new(StillClock), Arc::new(Loopback)).unwrap()
}

async fn send_to(sink: &HttpSink, host: &str, receiver: &Receiver) -> TryOutcome {
    send(sink, &endpoint(&format!("https://{host}:{}/", receiver.address.port()))).await
}

#[tokio::test]
async fn a_trusted_receiver_gets_its_deliveries_on_one_connection() {
    let authority = Authority::new();
    let sink = trusting(Some(&authority));
    for host in ["receiver.example", "127.0.0.1", "localhost"] {
        let receiver = receiver(authority.acceptor(host, 4000)).await;
        for _ in 0..3 {
            let outcome = send_to(&sink, host, &receiver).await;
            assert_eq!((outcome.cause, outcome.excerpt.as_str()), (Cause::Ok, "ok"), "{host}");
        }
        assert_eq!(receiver.accepted(), 1);
    }
}

#[tokio::test]
async fn a_dot_at_the_end_of_the_name_changes_nothing() {
    let authority = Authority::new();
    let receiver = receiver(authority.acceptor("receiver.example", 4000)).await;
    assert_eq!(send_to(&trusting(Some(&authority)), "receiver.example.", &receiver).await.cause, Cause::Ok);
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap();
    let self_signed = CertificateParams::new(vec!["receiver.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let own = trusting(Some(&authority));
    for (what, sink, acceptor) in [
        ("unknown authority", &trusting(None), authority.acceptor("receiver.example", 4000)),
        ("other authority", &own, Authority::new().acceptor("receiver.example", 4000)),
        ("self-signed", &own, acceptor(self_signed.der().clone(), &key)),
        ("wrong name", &own, authority.acceptor("other.example", 4000)),
        ("expired", &own, authority.acceptor("receiver.example", 2001)),
    ] {
        let receiver = receiver(acceptor).await;
        let outcome = send_to(sink, "receiver.example", &receiver).await;
        assert_eq!((outcome.cause, outcome.status), (Cause::Tls, 0), "{what}: {outcome:?}");
        assert_eq!(receiver.accepted(), 1, "{what}");
    }
    assert_eq!(own.metrics().dials_failed_tls, 4);
}

#[tokio::test]
async fn there_is_no_falling_back_to_plain_text() {
    let receiver = Receiver::start(|_, mut peer| async move {
        let mut first = [0u8; 1];
        peer.stream.read_exact(&mut first).await.unwrap();
        assert_eq!(first[0], 0x16, "a TLS handshake");
        peer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    let outcome = send_to(&trusting(None), "receiver.example", &receiver).await;
    assert_eq!((outcome.cause, outcome.status), (Cause::Tls, 0));
    assert_eq!(receiver.accepted(), 1);
}

#[tokio::test]
async fn a_handshake_that_stalls_ends_with_the_connect_budget_or_the_deadline() {
    let receiver = Receiver::start(|_, mut peer| async move { peer.closed().await }).await;
    for (connect_timeout_ms, timeout_ms) in [(50, 30_000), (30_000, 50)] {
        let config = HttpSinkConfig { connect_timeout_ms, timeout_ms, ..config() };
        let sink = HttpSink::with_resolver(config, Arc::new(StillClock), Arc::new(Loopback)).unwrap();
        assert_eq!(send_to(&sink, "receiver.example", &receiver).await.cause, Cause::Tls);
    }
}

#[test]
fn authorities_that_cannot_be_read_are_refused_at_start() {
    for pem in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let config = HttpSinkConfig { extra_ca_pem: Some(pem.to_owned()), ..config() };
        assert!(HttpSink::new(config, Arc::new(StillClock)).is_err(), "{pem:?}");
    }
    let config = HttpSinkConfig { user_agent: "a\r\nb".to_owned(), ..config() };
    assert!(HttpSink::new(config, Arc::new(StillClock)).is_err());
}
