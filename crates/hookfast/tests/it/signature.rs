//! `sign` and `verify` as scripts use them: what one makes, the other and a published vector agree with.

use crate::cli::{failure, hookfast, path, text};
use std::io::Write as _;
use std::process::{Output, Stdio};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PAIR: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const BODY: &str = r#"{"test": 2432232314}"#;

fn fed(secret: &str, body: &str, words: &[&str]) -> Output {
    let mut command = hookfast(words);
    command.env("HOOKFAST_SECRET", secret).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may end before it reads.
    let _ = child.stdin.take().unwrap().write_all(body.as_bytes());
    child.wait_with_output().unwrap()
}

fn good(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn a_signature_is_that_of_the_published_vector() {
    let words = ["sign", "--id", "msg_p5jXN8AQM9LWM0D4loKWxJek", "--timestamp", "1614265330"];
    let headers = "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek\nwebhook-timestamp: 1614265330\n\
                   webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\n";
    assert_eq!(good(&fed(SECRET, BODY, &words)), headers);
    let json = good(&fed(SECRET, BODY, &[&words[..], &["--json", "--header-family", "svix"]].concat()));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["svix-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert_eq!(json.as_object().unwrap().len(), 3);
}

#[test]
fn what_is_signed_verifies_in_every_scheme() {
    let dir = tempfile::tempdir().unwrap();
    let (headers, body) = (dir.path().join("headers"), dir.path().join("body"));
    std::fs::write(&body, BODY).unwrap();
    let at = format!("@{}", path(&headers));
    let ways: [(&str, &str, &[&str], &str); 4] = [
        (SECRET, SECRET, &[], "(v1) holds; id msg_"),
        (PAIR, PUBLIC, &["--header-family", "svix"], "(v1a) holds; id msg_"),
        (PAIR, PAIR, &["--header-family", "both"], "(v1a) holds; id msg_"),
        ("any text", "any text", &["--scheme", "body-hex"], "x-webhook-signature holds; 20 bytes of body"),
    ];
    for (signs, verifies, words, found) in ways {
        let made = good(&fed(signs, "", &[&["sign", "--file", path(&body)], words].concat()));
        std::fs::write(&headers, made).unwrap();
        let verdict = good(&fed(verifies, BODY, &["verify", "--header", &at]));
        assert!(verdict.starts_with("ok: ") && verdict.contains(found), "{verdict}");
        let other = fed(verifies, "{}", &["verify", "--header", &at]);
        let (code, stderr) = failure(&other);
        assert_eq!(code, Some(1));
        assert!(stderr.contains("made with another secret, or "), "{stderr}");
    }
}

#[test]
fn rotated_secrets_sign_side_by_side() {
    let made = good(&fed("", BODY, &["sign", "--secret", SECRET, "--secret", PAIR]));
    let signature = made.lines().find(|line| line.starts_with("webhook-signature: ")).unwrap();
    assert!(signature.contains(": v1,") && signature.contains(" v1a,"), "{signature}");
}

#[test]
fn everything_wrong_is_named_at_once_and_no_secret_is_shown() {
    let words = ["verify", "-H", "webhook-timestamp: 1614265330", "-H", "webhook-signature: v1,x v7,abc"];
    let output = fed(SECRET, BODY, &[&words[..], &["--now", "1614269053"]].concat());
    let (code, stderr) = failure(&output);
    assert_eq!(code, Some(1));
    assert_eq!(
        stderr,
        "error: the signature does not hold:\n  webhook-id: missing\n  webhook-timestamp: too old by 57m 3s: 1614265330 \
         is 1h 2m 3s ago, the tolerance is 5m"
    );
    let json = fed(SECRET, BODY, &[&words[..], &["-H", "webhook-id: a", "--now", "1614265330", "--json"]].concat());
    assert_eq!(json.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["verified"], false);
    assert_eq!(json["faults"][0]["part"], "webhook-signature");
    assert!(json["faults"][0]["problem"].as_str().unwrap().contains("malformed base64"), "{json}");
    for words in [&["sign"][..], &["verify", "-H", "webhook-id: a"], &["sign", "--scheme", "no-such"]] {
        let output = fed("whsec_hunter2", BODY, words);
        let (code, stderr) = failure(&output);
        assert_eq!(code, Some(2), "{words:?}");
        assert!(!stderr.contains("hunter2"), "{stderr}");
    }
}

#[test]
fn wrong_arguments_say_what_is_wanted() {
    let wrong = |secret: &str, words: &[&str]| {
        let (code, stderr) = failure(&fed(secret, BODY, words));
        assert_eq!(code, Some(2), "{stderr}");
        stderr
    };
    assert!(wrong(PUBLIC, &["sign"]).contains("a public key (whpk_…) cannot sign; give the whsk_… key"));
    assert!(wrong(SECRET, &["sign", "--id", "a.b"]).contains("--id: an id has 1 to 256 printable ASCII"));
    assert!(wrong(SECRET, &["sign", "--file", "no/such/file"]).contains("the body, no/such/file: No such file"));
    assert!(wrong(&format!("{SECRET}\n"), &["sign"]).contains("blanks or a line break at its ends"));
    assert!(wrong(SECRET, &["verify", "-H", "webhook-id"]).contains("expected `name: value`, found \"webhook-id\""));
    let none = hookfast(&["sign"]).output().unwrap();
    assert_eq!(none.status.code(), Some(2), "a secret is wanted");
}
