//! `hookfast dlq`: what is dead, deliveries and records of a topic, and sending it again. What each kind is, its own file
//! knows.

mod deliveries;
mod topic;

use super::listing::{Paging, parse_time};
use super::scope::Scope;
use clap::ArgGroup;
use hookfast_core::ports::LogPosition;
use std::process::ExitCode;

/// Look at what is dead, and send it again
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Two kinds: deliveries that were given up after their last try, and, with --topic, records of a Kafka topic
that a consumer could not process, which lie in the topic of that name with `.dlq` behind it.

Examples:
  hookfast dlq list --app shop --since 1d
  hookfast dlq replay ep_0vUNeJg0HgVB4gWI42p3kK --since 1d
  hookfast dlq list --topic golang.webhook.system
  hookfast dlq replay --topic golang.webhook.system --cause conflict --dry-run")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List what is dead: deliveries to an endpoint or to all, or records of a Kafka topic
    #[command(after_long_help = "\
Deliveries are listed endpoint by endpoint, the newest end first: of the endpoint that is named, else of
every endpoint of the application, else of all applications.

With --topic the configuration says where Kafka is: kafka.brokers, or KAFKA_ADDR. Exit code 2 when it
does not, or when this hookfast was built without Kafka. Causes there: `undecodable` (no such event,
never tried again), `conflict` (the id came before with another body), `invalid`, `not_found` (no such
application), `injected` (a failure rate is configured).

Examples:
  hookfast dlq list
  hookfast dlq list billing --app shop --since 1d --cause status
  hookfast dlq list --topic golang.webhook.system --cause conflict --all --json")]
    List(List),
    /// Show one dead letter: a delivery with its attempts and payload, or a record with its headers
    #[command(after_long_help = "\
Examples:
  hookfast dlq show invoice-17 --endpoint billing --app shop
  hookfast dlq show 0:15 --topic golang.webhook.system --json")]
    Show(Show),
    /// Send again what ended as dead
    #[command(after_long_help = "\
Deliveries: the server does it as a task that goes on by itself, also after a restart; interrupting this
command only ends the watching. What was replayed is no longer dead, so a second replay does not send it
twice.

With --topic: records are appended to their topic again as if they had never been tried, and what was
replayed is remembered in the dead-letter topic, so that a second replay passes it over. Should this
command be killed between the two, a record comes twice, which changes nothing: an event is known again
by its id. Letters that come meanwhile are left for the next time.

Examples:
  hookfast dlq replay ep_0vUNeJg0HgVB4gWI42p3kK --since 1d
  hookfast dlq replay billing --app shop --since 3d --until 2h --yes
  hookfast dlq replay --topic golang.webhook.system 0:15
  hookfast dlq replay --topic golang.webhook.system --all --dry-run")]
    Replay(Box<Replay>),
}

#[derive(Debug, clap::Args)]
struct List {
    /// The endpoint: its id or uid, or the start of either; without, all of them
    #[arg(value_name = "ENDPOINT", conflicts_with = "topic")]
    target: Option<String>,
    /// Of events accepted at or after: a time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "topic")]
    since: Option<String>,
    /// Of events accepted before: a time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "topic")]
    until: Option<String>,
    /// Records that a consumer of this Kafka topic could not process
    #[arg(long, value_name = "NAME", conflicts_with_all = ["url", "app"])]
    topic: Option<String>,
    /// Only those with this cause
    #[arg(long, value_name = "WORD")]
    cause: Option<String>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    scope: Scope,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// The event: its id or your own id for it; with --topic where it lies: PARTITION:OFFSET
    #[arg(value_name = "EVENT|AT")]
    target: String,
    /// The endpoint that it could not be delivered to: its id or uid, or the start of either
    #[arg(long, required_unless_present = "topic", conflicts_with = "topic")]
    endpoint: Option<String>,
    /// A record that a consumer of this Kafka topic could not process
    #[arg(long, value_name = "NAME", conflicts_with_all = ["url", "app"])]
    topic: Option<String>,
    #[command(flatten)]
    scope: Scope,
}

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("which").args(["target", "all", "cause"]).required(true))]
struct Replay {
    /// The endpoint: its id or uid, or the start of either; with --topic one record: PARTITION:OFFSET
    #[arg(value_name = "TARGET")]
    target: Option<String>,
    /// Of events accepted at or after: a time, or how long ago; at most 14 days
    #[arg(long, value_name = "TIME", value_parser = parse_time, required_unless_present = "topic")]
    since: Option<String>,
    /// Of events accepted before: a time, or how long ago; without, until now
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "since")]
    until: Option<String>,
    /// Records that a consumer of this Kafka topic could not process
    #[arg(long, value_name = "NAME", conflicts_with_all = ["since", "url", "app"])]
    topic: Option<String>,
    /// Every dead letter of the topic
    #[arg(long, requires = "topic", conflicts_with = "since")]
    all: bool,
    /// Those of the topic with this cause
    #[arg(long, value_name = "WORD", requires = "topic", conflicts_with = "since")]
    cause: Option<String>,
    /// Only say what would be done, deliveries by cause
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    scope: Scope,
}

/// A position on the command line.
fn position(text: &str) -> Result<LogPosition, String> {
    let (partition, offset) = text.split_once(':').unwrap_or_default();
    match (partition.parse(), offset.parse()) {
        (Ok(partition @ 0..), Ok(offset @ 0..)) => Ok(LogPosition { partition, offset }),
        _ => Err("expected PARTITION:OFFSET, such as 0:15".to_owned()),
    }
}

/// Runs `hookfast dlq …`.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::List(wanted) => match &wanted.topic {
            Some(name) => topic::list(name, &wanted).await,
            None => deliveries::list(&wanted).await,
        },
        Action::Show(wanted) => match &wanted.topic {
            Some(name) => topic::show(name, &wanted).await,
            None => deliveries::show(&wanted).await,
        },
        Action::Replay(wanted) => match &wanted.topic {
            Some(name) => topic::replay(name, &wanted).await,
            None => deliveries::replay(&wanted).await,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(subcommand)]
        action: Action,
    }

    #[test]
    fn a_position_has_two_numbers() {
        assert_eq!(position("3:17"), Ok(LogPosition { partition: 3, offset: 17 }));
        for wrong in ["", "3", "3:", ":1", "-1:2", "1:-2", "a:b", "1:2:3"] {
            assert!(position(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_asked_is_of_deliveries_or_of_a_topic() {
        let parses = |line: &str| Line::try_parse_from(line.split_whitespace()).is_ok();
        for right in [
            "x replay ep --since 1d",
            "x replay ep --since 1d --dry-run",
            "x list",
            "x list ep --since 1d",
            "x show e --endpoint ep",
            "x show 0:1 --topic t",
            "x replay 0:1 --topic t",
            "x replay --all --topic t",
            "x replay --cause c --topic t",
        ] {
            assert!(parses(right), "{right}");
        }
        for wrong in [
            "x replay ep",
            "x replay --since 1d",
            "x replay --all --since 1d",
            "x replay --topic t",
            "x replay 0:1 --all --topic t",
            "x replay --all --topic t --since 1d",
            "x list ep --topic t",
            "x show e",
            "x show e --endpoint ep --topic t",
        ] {
            assert!(!parses(wrong), "{wrong}");
        }
    }
}
