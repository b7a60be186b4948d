//! What leaves the machine: names, trust, and one delivery through the real sink.

use super::finding::Finding;
use super::{Args, Report};
use crate::build;
use crate::clock::SystemClock;
use crate::config::Config;
use anyhow::Context as _;
use bytes::Bytes;
use hookfast_core::address::{AddressRules, Host, parse_url, vet_url};
use hookfast_core::delivery::Cause;
use hookfast_core::model::{AppThrottle, Endpoint, EndpointSecrets, SecretText, Signing};
use hookfast_core::ports::{Outgoing, Sink, Try, TryOutcome};
use hookfast_core::{AppId, Clock, EndpointId, EventId, IdGenerator};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the one event is called.
const EVENT_TYPE: &str = "hookfast.doctor";

/// Looks at TLS, then at names, then delivers, as far as that was asked for.
pub(super) async fn look(config: &Config, args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let (sink, rules) = match build::sink(config, Arc::clone(&clock)) {
        Ok(made) => made,
        Err(error) => {
            let advice = "mend delivery.extra_ca_file, or the system's resolver configuration";
            return report.add(Finding::fail("tls", format!("{error:#}"), advice));
        }
    };
    let extra = config.delivery.extra_ca_file.as_ref().map(|file| format!(" and those of {}", file.display()));
    let found = format!("{} public authorities{}", webpki_roots::TLS_SERVER_ROOTS.len(), extra.unwrap_or_default());
    report.add(Finding::ok("tls", found))?;
    let url_host = args.url.as_deref().and_then(|url| match parse_url(url, false).ok()?.host {
        Host::Name(name) => Some(name),
        Host::Ip(_) | Host::Localhost => None,
    });
    match args.dns_name.clone().or(url_host) {
        Some(name) => report.add(dns(&name, sink.look_up(&name).await, &rules))?,
        None => report.add(Finding::ok("dns", "not asked; --dns-name NAME resolves one as deliveries do"))?,
    }
    if let Some(url) = &args.url {
        report.add(deliver(config, url, args.secret.clone(), &sink, &rules, clock.as_ref()).await?)?;
    }
    Ok(())
}

fn dns(name: &str, found: Result<Vec<std::net::IpAddr>, String>, rules: &AddressRules) -> Finding {
    match found {
        Err(why) => {
            let advice = "check the name, /etc/resolv.conf, and that the name servers can be reached";
            Finding::fail("dns", format!("{name}: {why}"), advice)
        }
        Ok(addresses) => {
            let list: Vec<String> = addresses.iter().take(8).map(ToString::to_string).collect();
            let found = format!("{name} is {}", list.join(", "));
            match rules.vet_all(&addresses, 443) {
                Ok(()) => Finding::ok("dns", found),
                Err(refused) => {
                    let advice = "deliveries there are refused; open it with delivery.allow_networks if it is meant";
                    Finding::warn("dns", format!("{found}: {refused}"), advice)
                }
            }
        }
    }
}

async fn deliver(
    config: &Config,
    url: &str,
    secret: Option<SecretText>,
    sink: &dyn Sink,
    rules: &AddressRules,
    clock: &dyn Clock,
) -> anyhow::Result<Finding> {
    let url = match vet_url(url, config.delivery.https_only, rules) {
        Ok(url) => url,
        Err(refused) => {
            let advice = "use another URL, or open it with delivery.allow_networks";
            return Ok(Finding::fail("delivery", format!("{url}: {refused}"), advice));
        }
    };
    let ids = IdGenerator::new();
    let event = Outgoing {
        id: EventId::from_u128(ids.next(clock.wall())),
        event_type: EVENT_TYPE.into(),
        content_type: None,
        body: Some(Bytes::from(format!("{{\"type\":\"{EVENT_TYPE}\"}}"))),
    };
    let secret = secret.filter(|secret| !secret.reveal().is_empty()).map_or_else(new_secret, Ok)?;
    let endpoint = endpoint(url, secret, &ids, clock);
    let outcome = sink.send(Try { endpoint: &endpoint, event: &event }).await;
    Ok(judged(&endpoint.url, event.id, &outcome))
}

fn new_secret() -> anyhow::Result<SecretText> {
    let mut random = [0u8; 32];
    aws_lc_rs::rand::fill(&mut random).context("no randomness")?;
    Ok(SecretText::new(hookfast_signing::Secret::new_symmetric(random).to_text().as_str()))
}

fn endpoint(url: String, current: SecretText, ids: &IdGenerator, clock: &dyn Clock) -> Endpoint {
    let now = clock.wall();
    Endpoint {
        id: EndpointId::from_u128(ids.next(now)),
        app: AppId::from_u128(ids.next(now)),
        uid: None,
        url,
        description: String::new(),
        version: 1,
        disabled: None,
        event_types: None,
        channels: None,
        throttle_rate: None,
        app_throttle: AppThrottle::default(),
        ordering: None,
        metadata: BTreeMap::new(),
        headers: BTreeMap::new(),
        secrets: EndpointSecrets { current, old: Vec::new() },
        signing: Signing::Standard,
        retry: None,
        timeout_ms: None,
        failing_since: None,
        created_at: now,
        updated_at: now,
    }
}

fn judged(url: &str, id: EventId, outcome: &TryOutcome) -> Finding {
    let TryOutcome { cause, status, duration_ms, excerpt, .. } = outcome;
    let said = if excerpt.is_empty() { String::new() } else { format!(": {excerpt:?}") };
    let answer = if *status == 0 { cause.as_str().to_owned() } else { format!("answered {status}") };
    let found = format!("{url} {answer} after {duration_ms} ms{said} (webhook-id {id})");
    if *cause == Cause::Ok {
        return Finding::ok("delivery", found);
    }
    Finding::fail("delivery", found, advice(*cause, *status))
}

/// What to do about the ways in which one try fails.
fn advice(cause: Cause, status: u16) -> &'static str {
    match cause {
        Cause::Status if matches!(status, 401 | 403) => {
            "the receiver refuses it: does it know the secret? give it with HOOKFAST_SECRET"
        }
        Cause::Status if status == 404 => "the receiver has nothing at this path: check the URL",
        Cause::Status => "look into the receiver's log at this time",
        Cause::Redirect => "redirects are not followed: use the URL that it leads to",
        Cause::Gone => "the receiver wants nothing more; such an endpoint is disabled",
        Cause::Throttled => "the receiver is overloaded; deliveries are tried again later",
        Cause::Dns => "check the name and the name servers",
        Cause::Connect => "is the receiver running, and is the way to it open?",
        Cause::Tls => "check the receiver's certificate; delivery.extra_ca_file adds authorities",
        Cause::Timeout => "the receiver must answer within delivery.timeout_ms",
        Cause::Reset | Cause::Protocol => "is this a web server, and is http or https right?",
        Cause::BlockedAddress => "open the network with delivery.allow_networks if it is meant",
        _ => "check the URL and the secret",
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_name_inside_warns_because_deliveries_there_are_refused() {
        let rules = AddressRules::default();
        let found = |ip: &str| dns("hooks.example.com", Ok(vec![ip.parse().unwrap()]), &rules);
        assert_eq!(found("93.184.216.34").level, Level::Ok);
        let inside = found("10.0.0.7");
        assert_eq!(inside.level, Level::Warn);
        assert!(inside.found.starts_with("hooks.example.com is 10.0.0.7: the address is not a public one"));
    }

    #[test]
    fn what_came_back_decides_and_cannot_steer_the_terminal() {
        let outcome = |cause, status| TryOutcome {
            cause,
            status,
            retry_after_ms: None,
            duration_ms: 12,
            excerpt: "\u{1b}[2J".into(),
        };
        let judged = |cause, status| judged("https://example.com/", EventId::from_u128(0), &outcome(cause, status));
        assert_eq!(judged(Cause::Ok, 204).level, Level::Ok);
        let refused = judged(Cause::Status, 401);
        assert_eq!(refused.level, Level::Fail);
        assert!(refused.found.contains("answered 401 after 12 ms: \"\\u{1b}[2J\""), "{}", refused.found);
        assert!(refused.advice.contains("HOOKFAST_SECRET"));
        for cause in Cause::ALL.iter().filter(|cause| **cause != Cause::Ok) {
            assert!(!judged(*cause, 0).advice.is_empty(), "{cause:?}");
        }
    }
}
