//! What is dead, found, looked at and sent again; and replays of many events, which may be cut off.

use crate::cli::{hookfast, text};
use crate::rig::until;
use crate::talk::send;
use crate::things::Shop;
use hookfast_lab::receiver::Behaviour;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

/// Events of a replay: so many that it takes a while.
const EVENTS: usize = 400;

fn rows(answer: &Value) -> Vec<(String, String)> {
    let cell = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    answer["data"].as_array().unwrap().iter().map(|one| (cell(one, "msgId"), cell(one, "endpointId"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_shown_counted_and_replayed() {
    let shop = Shop::start().await;
    shop.receiver.behave("/gone", Behaviour::Status(404));
    let bad = shop.done(&format!("endpoint create {} --uid bad", shop.receiver.url("/bad")));
    let gone = shop.done(&format!("endpoint create {} --uid gone", shop.receiver.url("/gone")));
    let events: Vec<String> =
        (0..3).map(|number| shop.done(&format!("send --app shop --type a.b --id order-{number}"))).collect();
    for event in &events {
        until("both ends", || async {
            shop.json(&format!("delivery list {event} --state dead"))["data"].as_array().unwrap().len() == 2
        })
        .await;
    }
    let all = shop.json("dlq list");
    assert_eq!((rows(&all).len(), &all["done"]), (6, &json!(true)), "{all}");
    let table = shop.done("dlq list bad --since 1h");
    assert!(table.starts_with("EVENT ") && table.contains(&bad) && !table.contains(&gone), "{table}");
    assert!(table.contains("status") && table.contains("a.b"), "{table}");
    // Page by page over both endpoints the same comes as at once.
    let (mut paged, mut from) = (Vec::new(), String::new());
    loop {
        let page = shop.json(&format!("dlq list --app shop --limit 2 {from}"));
        paged.extend(rows(&page));
        match page["iterator"].as_str() {
            Some(next) => from = format!("--iterator {next}"),
            None => break,
        }
    }
    assert_eq!(paged, rows(&all));
    assert!(rows(&shop.json("dlq list --cause timeout")).is_empty());
    assert!(rows(&shop.json("dlq list --until 1h")).is_empty());
    shop.fails("dlq list --iterator ep_0vUNbQ1xYk7mW3dTz9RfHs:x", 3, "is gone");

    let shown = shop.done("dlq show order-1 --endpoint bad");
    assert!(shown.contains(&events[1]) && shown.contains(&bad) && !shown.contains(&gone), "{shown}");
    let shown = shop.json("dlq show order-1 --endpoint bad");
    assert_eq!((shown["attempts"].as_array().unwrap().len(), &shown["delivery"]["cause"]), (2, &json!("status")));
    shop.fails("dlq show order-1", 2, "--endpoint");

    let counted = shop.json("dlq replay bad --since 1h --dry-run");
    assert_eq!((&counted["deliveries"], &counted["causes"]), (&json!(3), &json!({ "status": 3 })), "{counted}");
    shop.receiver.behave("/bad", Behaviour::Ok);
    shop.done("dlq replay bad --since 1h --yes");
    for event in &events {
        shop.until_state(event, "delivered").await;
    }
    assert!(rows(&shop.json("dlq list bad")).is_empty(), "they are dead no more");
    assert!(shop.done("dlq replay bad --since 1h --dry-run").ends_with("0 would be sent again"));
    shop.fails("dlq show order-1 --endpoint bad", 3, "it is delivered there");
    let ended = shop.json("delivery list --endpoint bad --state delivered");
    assert_eq!(ended["data"].as_array().unwrap().len(), 3);
    assert!(shop.done("delivery list --endpoint gone --since 1h").contains("dead"));
    shop.fails("delivery list --endpoint gone --state retrying", 2, &format!("hookfast explain {gone}"));
    shop.fails("delivery list", 2, "EVENT");
    shop.fails("delivery list order-1 --endpoint gone", 2, "cannot be used with");
    shop.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_of_one_cause_come_page_by_page_whatever_lies_between() {
    let shop = Shop::start().await;
    let mixed = shop.done(&format!("endpoint create {} --uid mixed", shop.receiver.url("/mixed")));
    let mut refused = Vec::new();
    for number in 0..9 {
        let is_refused = number % 3 == 0;
        shop.receiver.behave("/mixed", if is_refused { Behaviour::Status(404) } else { Behaviour::Reset });
        let event = shop.done(&format!("send --app shop --type a.b --id mixed-{number}"));
        shop.until_state(&event, "dead").await;
        if is_refused {
            refused.insert(0, (event, mixed.clone()));
        }
    }
    let first = shop.json("dlq list mixed --cause status --limit 2");
    assert_eq!((rows(&first).as_slice(), &first["done"]), (&refused[..2], &json!(false)), "{first}");
    let next = first["iterator"].as_str().unwrap();
    let rest = shop.json(&format!("dlq list mixed --cause status --limit 2 --iterator {next}"));
    assert_eq!((rows(&rest).as_slice(), &rest["done"]), (&refused[2..], &json!(true)), "{rest}");
    assert_eq!(rows(&shop.json("dlq list --cause status")), refused);
    shop.fails("dlq list mixed --cause bad_luck", 2, "cause");
    shop.end().await;
}

/// How often each event arrived.
fn arrivals(shop: &Shop) -> HashMap<String, usize> {
    let mut times = HashMap::new();
    for entry in shop.receiver.journal().entries() {
        *times.entry(format!("{:?}", entry.event)).or_default() += 1;
    }
    times
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_was_cut_off_goes_on_and_sends_nothing_twice() {
    let shop = Shop::start().await;
    shop.done(&format!("endpoint create {} --uid mine", shop.receiver.url("/hook")));
    shop.done(&format!("endpoint create {} --uid other --types never.sent", shop.receiver.url("/other")));
    let client = shop.server.client(&shop.done("token create")).unwrap();
    for number in 0..EVENTS {
        send(&client, "shop", &json!({ "number": number })).await;
    }
    until("the first deliveries", || async { shop.receiver.journal().len() == EVENTS }).await;
    let plan = shop.json("event replay --app shop --since 1h --dry-run");
    assert_eq!((&plan["events"], &plan["deliveries"], &plan["dryRun"]), (&json!(EVENTS), &json!(EVENTS), &json!(true)));
    assert_eq!((plan["first"].as_array().unwrap().len(), plan["endpoints"].as_array().unwrap().len()), (5, 2));
    shop.fails("event replay --app shop --since 1h", 2, "say --yes");
    shop.fails("event replay --app shop --since 1h --yes --resume 199fd3c5a80-0c4e71b2", 5, "began more than 24 h ago");
    shop.fails("event replay order-1 --since 1h", 2, "cannot be used with");

    let data = shop.server.config().data_dir.display().to_string();
    let words = ["event", "replay", "--app", "shop", "--since", "1h", "--yes", "--data-dir", &data];
    let mut cut = hookfast(&words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(cut.stderr.take().unwrap()).read_line(&mut said).unwrap();
    let again = said.trim().strip_prefix("if this is cut off, go on with: hookfast ").unwrap().to_owned();
    until("the first replayed", || async { shop.receiver.journal().len() > EVENTS }).await;
    cut.kill().unwrap();
    cut.wait().unwrap();

    let words: Vec<&str> = again.split_whitespace().chain(["--json"]).collect();
    let resumed = || hookfast(&words).output().unwrap();
    for _ in 0..2 {
        let output = resumed();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&told["replayed"], &told["refused"]), (&json!(EVENTS), &json!({})), "{told}");
    }
    until("every replay", || async { shop.receiver.journal().len() >= 2 * EVENTS }).await;
    // Whatever was queued twice would be sent before this.
    let last = send(&client, "shop", &json!({ "last": true })).await;
    shop.until_state(&last, "delivered").await;
    let times = arrivals(&shop);
    assert_eq!(times.len(), EVENTS + 1);
    assert_eq!(times.values().filter(|times| **times == 2).count(), EVENTS, "{times:?}");
    shop.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_takes_what_fits_and_says_what_was_refused() {
    let shop = Shop::start().await;
    for (kind, channel) in [("a.b", "eu"), ("a.b", "us"), ("c.d", "eu")] {
        shop.done(&format!("send --app shop --type {kind} --channel {channel}"));
    }
    // Made after the events: they were never routed to it.
    let late = shop.done(&format!("endpoint create {} --uid late --types a.b", shop.receiver.url("/late")));
    let planned = |line: &str| shop.json(&format!("event replay --since 1h --dry-run {line}"))["deliveries"].clone();
    assert_eq!(
        ["", "--type c.d", "--channel us", "--to late", "--to late --type c.d"].map(planned),
        [2, 0, 1, 3, 1].map(|n| json!(n))
    );
    let told = shop.json("event replay --since 1h --channel eu --to late --yes");
    assert_eq!(told["replayed"], 2, "a named endpoint gets what its filters leave out");
    until("both arrive", || async { shop.receiver.journal().len() == 2 }).await;
    shop.done("endpoint disable late");
    shop.fails("event replay --since 1h --to late --yes", 5, &format!("hookfast endpoint enable {late}"));
    let nothing = shop.json("event replay --since 1h --yes");
    assert_eq!(nothing["deliveries"], 0, "a disabled endpoint wants nothing");
    shop.end().await;
}
