//! What is said when a master cannot be had, each against a real Redis; and TLS.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookfast_testkit::redis::{PASSWORD, RedisServer};

fn config(addresses: &[&str], password: Option<&str>) -> RedisConfig {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    RedisConfig { password: password.map(SecretText::new), ..RedisConfig::new(addresses) }
}

async fn fault(config: &RedisConfig) -> String {
    match Connector::new(config).unwrap().master(None).await {
        Ok((address, _)) => panic!("connected to {address}"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_one_say_what_to_set() {
    let Some(server) = RedisServer::start() else { return };
    let address = server.address();
    let wrong = fault(&config(&[&address], Some("guess"))).await;
    assert!(wrong.contains(&address) && wrong.contains("set redis.password, and redis.username"), "{wrong}");
    assert!(!wrong.contains("guess"), "{wrong}");
    let missing = fault(&config(&[&address], None)).await;
    assert!(missing.contains("wants a password: set redis.password"), "{missing}");
    let both = fault(&config(&["127.0.0.1:1", &address], Some("guess"))).await;
    assert!(both.contains("127.0.0.1:1 cannot be reached") && both.contains("refused user"), "{both}");
}

#[tokio::test]
async fn a_user_without_rights_is_told_which_it_needs() {
    let Some(server) = RedisServer::start() else { return };
    server.command(&["acl", "setuser", "reader", "on", ">secret", "+ping", "+hello", "+client"]);
    let mut config = config(&[&server.address()], Some("secret"));
    config.username = Some("reader".into());
    let said = fault(&config).await;
    assert!(said.contains("does not allow it to this user") && said.contains("XREADGROUP"), "{said}");
}

#[tokio::test]
async fn a_replica_alone_is_no_master() {
    let Some(server) = RedisServer::start() else { return };
    let replica = server.replica();
    let said = fault(&config(&[&replica.address()], Some(PASSWORD))).await;
    assert!(said.contains("is no master"), "{said}");
    let connector = Connector::new(&config(&[&replica.address(), &server.address()], Some(PASSWORD))).unwrap();
    let (found, _connection) = connector.master(None).await.unwrap();
    assert_eq!(found.to_string(), server.address());
}

#[tokio::test]
async fn over_tls_only_a_trusted_certificate_is_good() {
    let Some(server) = RedisServer::start() else { return };
    let (port, pem) = tls_in_front_of(server.port()).await;
    let address = format!("rediss://localhost:{port}");
    let mut config = config(&[&address], Some(PASSWORD));
    let said = fault(&config).await;
    assert!(said.contains("TLS") && said.contains("redis.tls_ca_file"), "{said}");
    config.tls_ca_pem = Some(pem);
    let (_, mut connection) = Connector::new(&config).unwrap().master(None).await.unwrap();
    assert!(is_master(&mut connection.redis).await.unwrap());
    config.tls_ca_pem = Some("no certificate".into());
    assert!(matches!(Connector::new(&config), Err(Error::Invalid { field, .. }) if field == "redis.tls_ca_file"));
}

/// TLS in front of a server without; the answer is its port and its certificate.
async fn tls_in_front_of(port: u16) -> (u16, String) {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind(("localhost", 0)).await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut outside) = acceptor.accept(stream).await else { continue };
            let mut inside = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut outside, &mut inside).await });
        }
    });
    let text = STANDARD.encode(certified.cert.der());
    (own, format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"))
}
