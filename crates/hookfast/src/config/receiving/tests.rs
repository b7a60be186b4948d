//! Sources from settings and from a file, and what is said about what is wrong with them.

use super::*;
use crate::config::ConfigArgs;
use crate::config::tests::{env, faults, file, load_from};

fn faults_of(sources: &str, more: &[(&str, &str)]) -> Vec<String> {
    let file = file(sources);
    let path = file.path().display().to_string();
    let variables = [&[("HOOKFAST_RECEIVER__SOURCES_FILE", path.as_str())], more].concat();
    faults("", &variables).into_iter().map(|fault| fault.replace(&path, "SOURCES")).collect()
}

#[test]
fn the_webhook_and_the_sources_of_a_file_are_read() {
    let file = file(
        "[[source]]\nname = 'shop'\nsecrets = ['a', 'b']\nrate_per_client = 7\ntopic = 'orders'\n\
         event_id = '/id'\nevent_type = '/type'\n[[source]]\nname = 'bank'\nsignature = 'none'\n\
         api_key_header = 'x-key'\napi_keys = ['k']\ntolerance_ms = '10s'\n",
    );
    let path = file.path().display().to_string();
    let variables = env(&[
        ("HOOKFAST_RECEIVER__SOURCES_FILE", &path),
        ("WEBHOOK_SECRET_TOKEN", "old, new"),
        ("HOOKFAST_RECEIVER__RATE_PER_CLIENT", "5"),
    ]);
    let config = load_from(&ConfigArgs::default(), &[], variables).unwrap();
    let sources = config.sources();
    let [webhook, shop, bank] = sources.as_slice() else { panic!("{sources:?}") };
    assert_eq!((webhook.name.as_str(), webhook.secrets.len(), webhook.rate_per_client), ("webhook", 2, 5));
    assert_eq!((shop.secrets.len(), shop.rate_per_client, shop.tolerance_ms), (2, 7, 300_000));
    assert_eq!(shop.shape, EventShape::Pointers { event_id: "/id".into(), event_type: "/type".into() });
    assert_eq!((bank.signature, bank.tolerance_ms, bank.rate_per_client), (SignatureRule::None, 10_000, 5));
    let topics = config.source_topics();
    assert_eq!((&*topics["shop"], &*topics["webhook"]), ("orders", config.kafka.topic.as_str()));
    assert_eq!(topics["bank"], topics["webhook"]);
    assert!(!format!("{config:?}").contains("new"), "{config:?}");
}

#[test]
fn everything_wrong_in_the_file_is_told_with_its_line() {
    let sources = "[[source]]\nname = 'A'\nsecrets = ['a']\nrate_per_clien = 7\n[[source]]\nname = 'b'\n\
                   tolerance_ms = 'soon'\n[[source]]\nname = 'c'\nsecrets = 'x'\nevent_id = '/id'\n[[source]]\n\
                   name = 'c'\nsecrets = 7\n[other]\n";
    let found = faults_of(sources, &[]);
    for wrong in [
        "SOURCES:2: source.name: expected 1 to 64 of a-z 0-9 - _ ., found `A`",
        "SOURCES:4: source.rate_per_clien: unknown key, did you mean rate_per_client?",
        "SOURCES:5: source.secrets: expected a secret; callers that do not sign need",
        "SOURCES:7: source.tolerance_ms: expected a duration",
        "SOURCES:8: source.event_id: expected event_id and event_type together",
        "SOURCES:12: source.name: there is another source `c`",
        "SOURCES:15: other: expected nothing but tables `[[source]]`",
    ] {
        assert!(found.iter().any(|fault| fault.starts_with(wrong)), "{wrong} in {found:#?}");
    }
    assert_eq!(found.len(), 7, "{found:#?}");
    let missing = faults("", &[("HOOKFAST_RECEIVER__SOURCES_FILE", "/no/such")]);
    assert!(missing[0].starts_with("/no/such: the file cannot be read"), "{missing:?}");
}

#[test]
fn a_receiver_that_knows_nobody_is_refused() {
    let roles = ("HOOKFAST_SERVER__ROLES", "api,engine,maintenance,sources,receiver");
    let found = faults("", &[roles]);
    assert!(found[0].contains("receiver.secrets: expected a secret for /webhook"), "{found:?}");
    let variables = env(&[roles, ("WEBHOOK_SECRET_TOKEN", "x")]);
    assert!(load_from(&ConfigArgs::default(), &[], variables).is_ok());
    let keys_alone = [roles, ("HOOKFAST_RECEIVER__API_KEYS", "k"), ("HOOKFAST_RECEIVER__SIGNATURE", "none")];
    let found = faults("", &keys_alone);
    assert_eq!(
        found,
        ["HOOKFAST_RECEIVER__API_KEYS: receiver.api_keys: expected with api_key_header, which names their header"]
    );
    let twice = faults_of("[[source]]\nname = 'webhook'\nsecrets = 'x'\n", &[("WEBHOOK_SECRET_TOKEN", "x")]);
    assert!(twice[0].contains("`webhook` is the source of [receiver]"), "{twice:?}");
    let elsewhere = "[[source]]\nname = 'a'\nsecrets = 'x'\nevent_id = '/a'\nevent_type = '/b'\n";
    let unread = faults_of(elsewhere, &[("KAFKA_ADDR", "k:1")]);
    assert!(unread[0].starts_with("SOURCES:4: source.event_id: expected topic too"), "{unread:?}");
}
