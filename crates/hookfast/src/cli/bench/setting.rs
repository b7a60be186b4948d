//! What is measured, as the arguments say; contradictions are refused here. Measures nothing.

use super::Args;
use crate::exit::{Exit, Failure};
use hookfast_core::model::SecretText;
use hookfast_lab::load::Pace;
use hookfast_lab::receiver::Behaviour;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What a slow endpoint waits before it answers.
const SLOW_MS: u64 = 1000;

/// Which server is measured.
#[derive(Clone, Debug)]
pub(super) enum Which {
    /// A child of this process, on a temporary directory under `dir`.
    Own { dir: PathBuf, history: u64, store: Option<SecretText> },
    /// One that runs already.
    Running { url: String, token: String, pids: Vec<u32> },
}

/// Everything a run needs to know.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) which: Which,
    pub(super) pace: Pace,
    pub(super) concurrency: usize,
    pub(super) payload_bytes: usize,
    pub(super) fan_out: usize,
    /// How each endpoint behaves.
    pub(super) endpoints: Vec<Kind>,
    pub(super) idempotency_key: bool,
    shares: [f64; 3],
}

/// How an endpoint behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Kind {
    Healthy,
    Hanging,
    Failing,
    Slow,
}

impl Kind {
    pub(super) fn behaviour(self) -> Behaviour {
        match self {
            Self::Healthy => Behaviour::Ok,
            Self::Hanging => Behaviour::Hang,
            Self::Failing => Behaviour::Status(500),
            Self::Slow => Behaviour::Delay(SLOW_MS),
        }
    }
}

impl Setting {
    pub(super) fn of(args: &Args) -> anyhow::Result<Self> {
        let wrong = |why: String| Err(Failure::new(Exit::Usage, why));
        let fan_out = args.fan_out as usize;
        let endpoints = args.endpoints.unwrap_or(args.fan_out) as usize;
        if !endpoints.is_multiple_of(fan_out) {
            return wrong(format!("--endpoints: expected a multiple of --fan-out {fan_out}, found {endpoints}"));
        }
        let shares = [args.hanging, args.failing, args.slow];
        let sane = shares.iter().all(|share| (0.0..=1.0).contains(share)) && shares.iter().sum::<f64>() <= 1.0;
        if !sane {
            return wrong(format!("--hanging, --failing, --slow: expected shares of 1 in all, found {shares:?}"));
        }
        let pace = match args.rate {
            None => Pace::Closed { events: args.events },
            Some(per_second)
                if (0.01..=1_000_000.0).contains(&per_second) && (0.01..=86_400.0).contains(&args.seconds) =>
            {
                Pace::Open { per_second, seconds: args.seconds }
            }
            Some(rate) => {
                let found = format!("found {rate}/s for {} s", args.seconds);
                return wrong(format!("--rate, --seconds: expected 0.01 to 1000000/s for up to a day, {found}"));
            }
        };
        if pace.events() == 0 {
            return wrong("--rate, --seconds: that is not a single event".into());
        }
        let which = match (&args.url, &args.token) {
            (None, _) => Which::Own {
                dir: args.dir.clone().unwrap_or_else(std::env::temp_dir),
                history: args.history,
                store: args.store.clone().map(SecretText::new),
            },
            (Some(url), Some(token)) => {
                Which::Running { url: url.clone(), token: token.clone(), pids: args.pids.clone() }
            }
            (Some(_), None) => return wrong("--url needs --token (or HOOKFAST_TOKEN)".into()),
        };
        Ok(Self {
            which,
            pace,
            concurrency: usize::from(args.concurrency),
            payload_bytes: args.payload_bytes as usize,
            fan_out,
            endpoints: kinds(endpoints, shares),
            idempotency_key: !args.no_idempotency_key,
            shares,
        })
    }

    pub(super) fn to_json(&self) -> Value {
        let (server, history) = match &self.which {
            Which::Own { history, store: None, .. } => ("own child".to_owned(), *history),
            Which::Own { history, .. } => ("own child on PostgreSQL".to_owned(), *history),
            Which::Running { url, .. } => (url.clone(), 0),
        };
        let (events, rate, seconds) = match self.pace {
            Pace::Closed { events } => (Some(events), None, None),
            Pace::Open { per_second, seconds } => (None, Some(per_second), Some(seconds)),
        };
        let [hanging, failing, slow] = self.shares;
        json!({
            "server": server, "events": events, "rate": rate, "seconds": seconds, "concurrency": self.concurrency,
            "payload_bytes": self.payload_bytes, "fan_out": self.fan_out, "endpoints": self.endpoints.len(),
            "hanging": hanging, "failing": failing, "slow": slow, "history": history,
            "idempotency_key": self.idempotency_key,
        })
    }
}

/// Gives each kind its share, spread over the endpoints, so that every application has some of each.
fn kinds(endpoints: usize, [hanging, failing, slow]: [f64; 3]) -> Vec<Kind> {
    let count = |share: f64| (share * endpoints as f64).round() as usize;
    let sick = [(Kind::Hanging, count(hanging)), (Kind::Failing, count(failing)), (Kind::Slow, count(slow))];
    let sick = sick.iter().flat_map(|(kind, count)| std::iter::repeat_n(*kind, *count)).take(endpoints);
    let sick: Vec<Kind> = sick.collect();
    let mut kinds = vec![Kind::Healthy; endpoints];
    for (n, kind) in sick.iter().enumerate() {
        kinds[n * endpoints / sick.len()] = *kind;
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn setting(line: &str) -> anyhow::Result<Setting> {
        let words = std::iter::once("bench").chain(line.split_whitespace());
        Setting::of(&Line::try_parse_from(words).unwrap().args)
    }

    #[test]
    fn shares_are_spread_and_exact() {
        let half = kinds(20, [0.5, 0.0, 0.0]);
        assert_eq!(half.iter().filter(|kind| **kind == Kind::Hanging).count(), 10);
        assert!(half.chunks(2).all(|pair| pair.contains(&Kind::Healthy)));
        let mixed = kinds(10, [0.1, 0.2, 0.3]);
        assert_eq!(mixed.iter().filter(|kind| **kind == Kind::Healthy).count(), 4);
        assert_eq!(kinds(3, [1.0, 0.0, 0.0]), [Kind::Hanging; 3]);
        assert_eq!(kinds(1, [0.0; 3]), [Kind::Healthy]);
    }

    #[test]
    fn contradictions_are_refused() {
        for line in ["--endpoints 5 --fan-out 2", "--hanging 0.7 --slow 0.7", "--failing -1", "--rate 0", "--rate NaN"]
        {
            let refused = line.replace(' ', "=").replace("=--", " --");
            assert!(setting(&refused).is_err(), "{line}");
        }
        assert_eq!(setting("--rate 100 --seconds 2").unwrap().pace.events(), 200);
        assert_eq!(setting("--fan-out 20").unwrap().endpoints.len(), 20);
    }
}
