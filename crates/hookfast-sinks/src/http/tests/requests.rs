//! What goes over the wire.

use super::*;
use hookfast_core::model::OldSecret;
use hookfast_signing::{BodyHexKey, PublicKey, Secret, SignatureHeaders, Verifier, VerifyingKey};
use tokio::sync::mpsc;

const OLD: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const EXPIRED: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const PAIR: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";

/// A receiver that hands every request to the test.
async fn recording() -> (Receiver, mpsc::Receiver<Received>) {
    let (requests, received) = mpsc::channel(16);
    let receiver = Receiver::start(move |_, mut peer| {
        let requests = requests.clone();
        async move {
            while let Some(request) = peer.request().await {
                peer.write(OK).await;
                requests.send(request).await.unwrap();
            }
        }
    })
    .await;
    (receiver, received)
}

fn verify(key: VerifyingKey, request: &Received, family: &str) -> Result<(), hookfast_signing::Error> {
    let own: Vec<_> = request.headers().into_iter().filter(|(name, _)| name.starts_with(family)).collect();
    let headers = SignatureHeaders::find(own.iter().map(|(name, value)| (*name, value.as_bytes())))?;
    Verifier::new([key]).verify(&headers, &request.body, NOW.secs())
}

fn key(text: &str) -> VerifyingKey {
    Secret::parse(text).unwrap().verifying_key()
}

#[tokio::test]
async fn the_request_is_the_documented_one() {
    let (receiver, mut received) = recording().await;
    let sink = sink(config());
    let endpoint = endpoint(&receiver.url("/hooks/a%20b;c?x=1&y=%2F"));
    let outcome = send(&sink, &endpoint).await;
    assert_eq!((outcome.cause, outcome.status, outcome.excerpt.as_str()), (Cause::Ok, 200, "ok"));
    let request = received.recv().await.unwrap();
    assert_eq!(request.line(), "POST /hooks/a%20b;c?x=1&y=%2F HTTP/1.1");
    let host = receiver.address.to_string();
    let agent = format!("hookfast/{}", env!("CARGO_PKG_VERSION"));
    let headers = request.headers();
    assert_eq!(
        headers[..6],
        [
            ("host", host.as_str()),
            ("user-agent", &agent),
            ("accept", "*/*"),
            ("content-type", "application/json"),
            ("content-length", "2"),
            ("webhook-id", &event("").id.to_string()),
        ]
    );
    assert_eq!(headers[6], ("webhook-timestamp", "1614265330"));
    assert_eq!(headers[7].0, "webhook-signature");
    assert_eq!(headers.len(), 8);
    assert_eq!(verify(key(SECRET), &request, "webhook-"), Ok(()));
}

#[tokio::test]
async fn bodies_arrive_byte_for_byte() {
    let (receiver, mut received) = recording().await;
    let sink = sink(config());
    let endpoint = endpoint(&receiver.url("/"));
    let large: Vec<u8> = (0..1_048_576u32).map(|n| (n % 251) as u8).collect();
    for body in [&b""[..], b" {\"b\" : 1e400,\n\"a\":2}\r\n\r\n", b"\x00\xff\xfe\n\r", &large] {
        let outcome = sink.send(Try { endpoint: &endpoint, event: &event(body.to_vec()) }).await;
        assert_eq!(outcome.cause, Cause::Ok);
        let request = received.recv().await.unwrap();
        assert!(request.body == body, "{} bytes", body.len());
        assert_eq!(verify(key(SECRET), &request, "webhook-"), Ok(()));
    }
    assert_eq!(receiver.accepted(), 1);
}

#[tokio::test]
async fn signature_headers_go_out_under_the_chosen_names() {
    for (header_family, webhook, svix) in
        [(HeaderFamily::Standard, true, false), (HeaderFamily::Svix, false, true), (HeaderFamily::Both, true, true)]
    {
        let (receiver, mut received) = recording().await;
        let sink = sink(HttpSinkConfig { header_family, ..config() });
        assert_eq!(send(&sink, &endpoint(&receiver.url("/"))).await.cause, Cause::Ok);
        let request = received.recv().await.unwrap();
        assert_eq!(verify(key(SECRET), &request, "webhook-").is_ok(), webhook, "{header_family:?}");
        assert_eq!(verify(key(SECRET), &request, "svix-").is_ok(), svix, "{header_family:?}");
        let names = request.headers().iter().filter(|(name, _)| name.starts_with("webhook-")).count();
        assert_eq!(names, if webhook { 3 } else { 0 });
    }
}

#[tokio::test]
async fn every_live_secret_signs_and_no_expired_one() {
    let (receiver, mut received) = recording().await;
    let sink = sink(config());
    let mut endpoint = endpoint(&receiver.url("/"));
    let old = |text, expires_at| OldSecret { secret: SecretText::new(text), expires_at };
    endpoint.secrets = EndpointSecrets {
        current: SecretText::new(PAIR),
        old: vec![old(OLD, NOW.plus_ms(1)), old(EXPIRED, NOW), old(SECRET, NOW.plus_ms(60_000))],
    };
    assert_eq!(send(&sink, &endpoint).await.cause, Cause::Ok);
    let request = received.recv().await.unwrap();
    let versions: Vec<_> =
        request.header("webhook-signature").unwrap().split(' ').map(|item| item.split_once(',').unwrap().0).collect();
    assert_eq!(versions, ["v1a", "v1", "v1"]);
    let public = PublicKey::parse(PUBLIC).unwrap().verifying_key();
    for live in [public, key(OLD), key(SECRET)] {
        assert_eq!(verify(live, &request, "webhook-"), Ok(()));
    }
    assert!(verify(key(EXPIRED), &request, "webhook-").is_err());
}

#[tokio::test]
async fn a_changed_endpoint_is_in_force_at_the_next_try() {
    let (receiver, mut received) = recording().await;
    let (other_receiver, mut other_received) = recording().await;
    let sink = sink(config());
    let mut endpoint = endpoint(&receiver.url("/a"));
    send(&sink, &endpoint).await;
    received.recv().await.unwrap();

    endpoint.secrets.current = SecretText::new(OLD);
    endpoint.headers.insert("x-tenant".to_owned(), "blue".to_owned());
    send(&sink, &endpoint).await;
    let request = received.recv().await.unwrap();
    assert_eq!(verify(key(OLD), &request, "webhook-"), Ok(()));
    assert_eq!(request.header("x-tenant"), Some("blue"));

    endpoint.url = other_receiver.url("/b");
    send(&sink, &endpoint).await;
    assert_eq!(other_received.recv().await.unwrap().line(), "POST /b HTTP/1.1");
}

#[tokio::test]
async fn the_endpoints_own_headers_are_sent_and_the_events_content_type() {
    let (receiver, mut received) = recording().await;
    let sink = sink(config());
    let mut endpoint = endpoint(&receiver.url("/"));
    endpoint.headers.insert("authorization".to_owned(), "Bearer a b".to_owned());
    endpoint.headers.insert("accept".to_owned(), "text/plain".to_owned());
    let mut event = event(&b"<a/>"[..]);
    event.content_type = Some("application/xml; charset=utf-8".to_owned());
    sink.send(Try { endpoint: &endpoint, event: &event }).await;
    let request = received.recv().await.unwrap();
    assert_eq!(request.header("authorization"), Some("Bearer a b"));
    assert_eq!(request.headers().iter().filter(|(name, _)| *name == "accept").count(), 1);
    assert_eq!(request.header("accept"), Some("text/plain"));
    assert_eq!(request.header("content-type"), Some("application/xml; charset=utf-8"));
}

#[tokio::test]
async fn endpoints_of_the_first_system_get_the_plain_signature_too() {
    let (receiver, mut received) = recording().await;
    let sink = sink(config());
    for secret in ["shared secret token", SECRET] {
        let mut endpoint = endpoint(&receiver.url("/"));
        endpoint.signing = Signing::WithBodyHex;
        endpoint.secrets.current = SecretText::new(secret);
        assert_eq!(send(&sink, &endpoint).await.cause, Cause::Ok);
        let request = received.recv().await.unwrap();
        let plain = request.header("x-webhook-signature").unwrap();
        assert_eq!(BodyHexKey::new(secret).unwrap().verify(plain, &request.body), Ok(()));
        let standard = Secret::parse(secret).or_else(|_| Secret::from_bytes(secret.as_bytes())).unwrap();
        assert_eq!(verify(standard.verifying_key(), &request, "webhook-"), Ok(()));
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_said_without_dialling() {
    let receiver = Receiver::answering(OK).await;
    let sink = sink(config());
    let good = endpoint(&receiver.url("/"));
    let mut bad_secret = good.clone();
    bad_secret.secrets.current = SecretText::new("not a secret");
    let mut bad_header = good.clone();
    bad_header.headers.insert("x-a".to_owned(), "a\r\nevil: 1".to_owned());
    let mut reserved_header = good.clone();
    reserved_header.headers.insert("host".to_owned(), "evil".to_owned());
    let mut credentials = good.clone();
    credentials.url = format!("http://user:pass@{}/", receiver.address);
    for endpoint in [bad_secret, bad_header, reserved_header, credentials] {
        let outcome = send(&sink, &endpoint).await;
        assert_eq!((outcome.cause, outcome.status), (Cause::Request, 0), "{outcome:?}");
        assert!(!outcome.excerpt.is_empty() && !outcome.excerpt.contains("pass"), "{outcome:?}");
    }
    let mut bad_event = event("{}");
    bad_event.content_type = Some("a\r\nb: c".to_owned());
    assert_eq!(sink.send(Try { endpoint: &good, event: &bad_event }).await.cause, Cause::Request);
    assert!(receiver.accepted() <= 1);
    let mut deleted = event("{}");
    deleted.body = None;
    assert_eq!(sink.send(Try { endpoint: &good, event: &deleted }).await.cause, Cause::PayloadDeleted);
}
