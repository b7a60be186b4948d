//! Each way in which a signature can fail, and that exactly that part is named.

use super::*;
use crate::cli::signature::checks;
use proptest::prelude::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const PAIR: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const NOW: i64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;

fn signature(secret: &str, body: &[u8]) -> String {
    let mut out = String::new();
    Secret::parse(secret).unwrap().signer().sign_into(&mut out, "msg_1", "1614265330", body).unwrap();
    out
}

fn headers(signature: &str) -> Vec<(String, String)> {
    [("Webhook-Id", "msg_1"), ("webhook-timestamp", "1614265330"), ("webhook-signature", signature)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

fn check(secrets: &[&str], headers: &[(String, String)], body: &[u8], now_s: i64) -> Outcome {
    let keys: Vec<Key> = secrets.iter().map(|text| Key::parse(text).unwrap()).collect();
    checks::standard(&keys, &Request { headers, body, now_s, tolerance_s: 300 })
}

fn faults(secrets: &[&str], headers: &[(String, String)], body: &[u8], now_s: i64) -> Vec<String> {
    let faults = check(secrets, headers, body, now_s).unwrap_err();
    let lines: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.part, fault.text)).collect();
    assert!(lines.iter().all(|line| secrets.iter().all(|secret| !line.contains(&secret[6..]))), "{lines:?}");
    lines
}

fn fault_of_signature(secret: &str, signature: &str) -> String {
    let [fault] = faults(&[secret], &headers(signature), BODY, NOW).try_into().unwrap();
    fault
}

#[test]
fn it_says_which_signature_holds() {
    let both = format!("v1,AAAA {} {}", signature(OTHER, BODY), signature(PAIR, BODY));
    for (secret, position, version) in [(OTHER, 2, "v1"), (PUBLIC, 3, "v1a"), (PAIR, 3, "v1a")] {
        let held = check(&[secret], &headers(&both), BODY, NOW + 300).unwrap();
        assert_eq!((held.position, held.of, held.version), (position, 3, version));
        let stamp = held.stamp.unwrap();
        assert_eq!((stamp.id.as_str(), stamp.age_s), ("msg_1", 300));
    }
}

#[test]
fn missing_empty_and_repeated_headers_are_named() {
    let mut all = headers(&signature(SECRET, BODY));
    let missing = faults(&[SECRET], &all[..1], BODY, NOW);
    assert_eq!(missing, ["webhook-timestamp: missing", "webhook-signature: missing"]);
    all[0].1.clear();
    all.push(all[2].clone());
    assert_eq!(
        faults(&[SECRET], &all, BODY, NOW),
        ["webhook-id: empty", "webhook-signature: came 2 times, expected once"]
    );
    let svix = [("svix-id".to_owned(), "x.y".to_owned())];
    let found = faults(&[SECRET], &svix, BODY, NOW);
    assert_eq!(found[..2], ["svix-timestamp: missing", "svix-signature: missing"]);
    assert!(found[2].starts_with("svix-id: an id has 1 to 256") && found[2].ends_with("found \"x.y\""), "{found:?}");
}

#[test]
fn a_timestamp_is_too_old_or_too_new_by_so_much() {
    let good = headers(&signature(SECRET, BODY));
    assert_eq!(
        faults(&[SECRET], &good, BODY, NOW + 3723),
        ["webhook-timestamp: too old by 57m 3s: 1614265330 is 1h 2m 3s ago, the tolerance is 5m"]
    );
    assert_eq!(
        faults(&[SECRET], &good, BODY, NOW - 301),
        ["webhook-timestamp: too new by 1s: 1614265330 is 5m 1s from now, the tolerance is 5m; is a clock wrong?"]
    );
    let mut wrong = good;
    wrong[1].1 = "1614265330000".into();
    assert!(faults(&[SECRET], &wrong, BODY, NOW)[0].ends_with("it looks like milliseconds, seconds are wanted"));
    for text in ["soon", "-5", "+5", "1.5", "99999999999999999999"] {
        wrong[1].1 = text.into();
        let found = faults(&[SECRET], &wrong, BODY, NOW);
        assert!(found[0].starts_with("webhook-timestamp: expected seconds since 1970"), "{found:?}");
    }
}

#[test]
fn a_malformed_signature_is_described() {
    assert!(fault_of_signature(SECRET, "v1,!!!!").contains("malformed base64 after `v1,`: "));
    assert!(fault_of_signature(SECRET, "v1,AAAA").ends_with("expected 32 bytes after `v1,`, found 3 bytes"));
    assert!(fault_of_signature(SECRET, "v2,AAAA").ends_with("\"v2\" is no known version, expected v1 or v1a"));
    assert!(fault_of_signature(SECRET, "AAAA").contains("expected `v1,` or `v1a,` and base64, found \"AAAA\""));
    assert!(fault_of_signature(SECRET, &signature(PAIR, BODY)).ends_with("a whsec_ secret was given"));
    assert!(fault_of_signature(PUBLIC, &signature(SECRET, BODY)).ends_with("an ed25519 key was given"));
    let two = fault_of_signature(SECRET, "v1,AAAA v9,x");
    assert!(two.contains("signature 1: expected 32 bytes") && two.contains("signature 2: \"v9\""), "{two}");
    assert!(fault_of_signature(SECRET, &"v9,x ".repeat(17)).ends_with("only the first 16 are looked at"));
}

#[test]
fn another_secret_or_body_is_said_with_what_was_checked() {
    let other = fault_of_signature(SECRET, &signature(OTHER, BODY));
    assert!(other.contains("made with another secret, or id, timestamp or body are not those"), "{other}");
    assert!(other.ends_with("5 + 1 + 10 + 1 + 20 = 37 bytes: \"msg_1.1614265330.\""), "{other}");
}

#[test]
fn common_slips_are_proved_and_named() {
    let broken = [BODY, b"\r\n"].concat();
    let found = faults(&[SECRET], &headers(&signature(SECRET, BODY)), &broken, NOW);
    assert!(found[0].contains("it holds for the body without the line break at its end"), "{found:?}");
    let found = faults(&[SECRET], &headers(&signature(SECRET, b"{}\n")), b"{}", NOW);
    assert!(found[0].contains("it holds for the body with a line break at its end"), "{found:?}");
    for text in [SECRET, &SECRET[6..]] {
        let mut by_text = String::new();
        let signer = Secret::from_bytes(text.as_bytes()).unwrap().signer();
        signer.sign_into(&mut by_text, "msg_1", "1614265330", BODY).unwrap();
        assert!(fault_of_signature(SECRET, &by_text).ends_with("the sender must decode the base64 after whsec_"));
    }
}

#[test]
fn the_signature_of_the_body_alone_is_checked_too() {
    let key = || [BodyHexKey::new("my-secret").unwrap()];
    let mut hex = String::new();
    key()[0].sign_into(&mut hex, BODY);
    let judge = |value: &str, body: &[u8]| {
        let headers = [("X-Webhook-Signature".to_owned(), value.to_owned())];
        let outcome = body_hex(&key(), &Request { headers: &headers, body, now_s: NOW, tolerance_s: 0 });
        outcome.map_err(|faults| faults[0].text.clone())
    };
    assert!(judge(&hex, BODY).unwrap().stamp.is_none());
    assert!(judge(&format!("sha256={hex}"), BODY).unwrap_err().starts_with("expected 64 hexadecimal digits"));
    assert!(judge(&hex, b"{}").unwrap_err().ends_with("of another body than these 2 bytes"));
    assert!(judge(&hex, &[BODY, b"\n"].concat()).unwrap_err().contains("without the line break"));
    assert_eq!(judge("", BODY).unwrap_err(), "empty");
}

proptest! {
    #[test]
    fn whatever_comes_the_finding_is_that_of_the_verifier(
        id in "[a-z.]{0,4}", timestamp in "[0-9]{0,11}|\\PC{0,5}", junk in "(v1|v1a|v2|),?\\PC{0,50}", good: bool,
        body: Vec<u8>,
    ) {
        let mut signature = junk;
        if good {
            let mut made = String::new();
            if Secret::parse(SECRET).unwrap().signer().sign_into(&mut made, &id, &timestamp, &body).is_ok() {
                signature = format!("{signature} {made}");
            }
        }
        let headers = [("webhook-id", &id), ("webhook-timestamp", &timestamp), ("webhook-signature", &signature)]
            .map(|(name, value)| (name.to_owned(), value.clone()));
        let now_s = timestamp.parse().unwrap_or(NOW);
        let found = check(&[SECRET], &headers, &body, now_s);
        let key = Secret::parse(SECRET).unwrap().verifying_key();
        let whole = SignatureHeaders::find(headers.iter().map(|(name, value)| (name, value.as_bytes())));
        let verdict = whole.and_then(|headers| Verifier::new([key]).verify(&headers, &body, now_s));
        prop_assert_eq!(found.is_ok(), verdict.is_ok());
        if let Err(faults) = found {
            prop_assert!(!faults.is_empty());
        }
    }
}
