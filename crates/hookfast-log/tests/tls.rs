//! Brokers that encrypt and ask who is there: who is let in, and who is believed. Built with `kafka-tls` alone.

#![expect(clippy::unwrap_used, reason = "the lints spare test functions, not what they call")]

use base64::Engine as _;
use bytes::Bytes;
use hookfast_core::model::SecretText;
use hookfast_core::ports::{Log as _, LogReaders as _, LogRecord};
use hookfast_log::kafka::{KafkaConfig, KafkaLog, Metrics, Sasl, SaslMechanism, Tls};
use hookfast_testkit::kafka::KafkaServer;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PASSWORD: &str = "correct horse";

/// Who signed the broker's certificate, as its PEM, and the broker's key with that certificate.
fn identity(name: &str) -> (String, String) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Two certificates of one name would be taken for one that signed itself.
    authority.distinguished_name.push(DnType::CommonName, "authority");
    let authority_pem = pem("CERTIFICATE", authority.self_signed(&authority_key).unwrap().der());
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
    let own = pem("PRIVATE KEY", &key.serialize_der()) + &pem("CERTIFICATE", certificate.der());
    (authority_pem, own)
}

fn pem(what: &str, der: &[u8]) -> String {
    let encoded = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = encoded.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", lines.join("\n"))
}

fn open(address: &str, dir: &TempDir, authority: &str, mechanism: SaslMechanism, password: &str) -> KafkaLog {
    let file = dir.path().join(format!("{:016x}.pem", fastrand::u64(..)));
    std::fs::write(&file, authority).unwrap();
    let mut config = KafkaConfig::new(address);
    config.tls = Some(Tls { ca_file: Some(file) });
    config.sasl = Some(Sasl { mechanism, username: "hookfast".to_owned(), password: SecretText::new(password) });
    KafkaLog::open(config, Metrics::default()).unwrap()
}

async fn append(log: &KafkaLog, topic: &str) -> hookfast_core::Result<i64> {
    let record = LogRecord { topic: topic.into(), key: None, value: Bytes::from_static(b"x"), headers: Vec::new() };
    Ok(log.append(record).await?.offset)
}

async fn appended(log: &KafkaLog, topic: &str) -> i64 {
    let started = Instant::now();
    loop {
        match append(log, topic).await {
            Ok(offset) => return offset,
            Err(error) => assert!(started.elapsed() < Duration::from_secs(30), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until it is refused for a reason that says so.
async fn refused_because(log: &KafkaLog, topic: &str, why: &str) {
    let started = Instant::now();
    loop {
        let reason = append(log, topic).await.unwrap_err().to_string();
        if reason.contains(why) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "expected `{why}` in `{reason}`");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn whoever_has_the_password_is_let_in_over_tls_and_nobody_else() {
    let (authority, own) = identity("127.0.0.1");
    let Some((server, address)) = KafkaServer::start_secured(&own, "hookfast", PASSWORD) else { return };
    let (topic, dir) = (server.topic(1), tempfile::tempdir().unwrap());
    hookfast_testkit::run(async {
        let mechanisms = [SaslMechanism::ScramSha256, SaslMechanism::ScramSha512, SaslMechanism::Plain];
        for (count, mechanism) in (0..).zip(mechanisms) {
            let log = open(&address, &dir, &authority, mechanism, PASSWORD);
            assert_eq!(appended(&log, &topic).await, count, "{mechanism:?}");
            assert_eq!(log.peek(&topic, Vec::new(), 10).await.unwrap().len() as i64, count + 1);
        }
        let wrong = open(&address, &dir, &authority, SaslMechanism::ScramSha512, "battery staple");
        refused_because(&wrong, &topic, "uthentication").await;
    });
}

#[test]
fn a_broker_is_believed_by_its_authority_and_its_name() {
    let (_, own) = identity("127.0.0.1");
    let (another, _) = identity("127.0.0.1");
    let Some((server, address)) = KafkaServer::start_secured(&own, "hookfast", PASSWORD) else { return };
    let (topic, dir) = (server.topic(1), tempfile::tempdir().unwrap());
    hookfast_testkit::run(async {
        let log = open(&address, &dir, &another, SaslMechanism::ScramSha512, PASSWORD);
        refused_because(&log, &topic, "certificate verify failed").await;
    });
    let (authority, elsewhere) = identity("kafka.example");
    let (server, address) = KafkaServer::start_secured(&elsewhere, "hookfast", PASSWORD).unwrap();
    let topic = server.topic(1);
    hookfast_testkit::run(async {
        let log = open(&address, &dir, &authority, SaslMechanism::ScramSha512, PASSWORD);
        refused_because(&log, &topic, "certificate verify failed").await;
    });
}
