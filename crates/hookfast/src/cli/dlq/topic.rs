//! The dead letters of a Kafka topic: a list, one of them, a replay. Knows them only as intake reads and writes them.

use super::{List, Replay, Show, position};
use crate::build::log;
use crate::cli::listing::cell;
use crate::cli::print_line;
use crate::cli::scope::{Server, consent};
use crate::cli::table::Table;
use crate::client::config_failure;
use crate::config::{self, ConfigArgs};
use crate::exit::{Exit, Failure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookfast_core::ports::LogPosition;
use hookfast_core::{Error, ErrorKind};
use hookfast_intake::{DeadLetter, DeadLetters, Overview, Replayed, Which};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Letters asked for at a time.
const PART: usize = 100;

/// Opens the configured log, and looks through the topic.
async fn open(topic: &str, config: &ConfigArgs) -> anyhow::Result<(DeadLetters, Overview)> {
    let config = config::load(config, &[]).map_err(|faults| config_failure(&faults))?;
    let ports = log::open(&config)?;
    let letters = DeadLetters::new(ports.log, ports.readers, topic);
    match letters.overview().await {
        Ok(overview) => Ok((letters, overview)),
        Err(error) => Err(failure(&letters, error)),
    }
}

/// Lists dead letters.
pub(super) async fn list(name: &str, wanted: &List) -> anyhow::Result<ExitCode> {
    let Server { json, target } = &wanted.scope.server;
    let mut next = wanted.paging.iterator().map(positions).transpose()?.unwrap_or_default();
    let (letters, overview) = open(name, &target.config).await?;
    let (mut data, mut done) = (Vec::new(), false);
    while !done && data.len() < wanted.paging.wanted() {
        let part = (wanted.paging.wanted() - data.len()).min(PART);
        let page = letters.list(&overview, &next, part).await.map_err(|error| failure(&letters, error))?;
        (next, done) = (page.next, page.is_last);
        let is_wanted = |letter: &&DeadLetter| wanted.cause.as_ref().is_none_or(|cause| letter.cause() == *cause);
        data.extend(page.letters.iter().filter(is_wanted).map(outline));
    }
    let iterator: Vec<String> = next.iter().map(|(partition, offset)| format!("{partition}:{offset}")).collect();
    let iterator = iterator.join(",");
    if !done {
        eprintln!("there are more: --all, or --iterator {iterator}");
    }
    if *json {
        print_line(json!({ "data": data, "iterator": iterator, "done": done }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(["AT", "CAUSE", "RETRIES", "SINCE", "KEY", "BYTES", "REPLAYED", "ERROR"]);
    for one in &data {
        let keys = ["at", "cause", "retryCount", "diedAt", "key", "bytes", "replayed", "error"];
        table.row(keys.map(|key| cell(one, key)));
    }
    print_line(table)?;
    Ok(ExitCode::SUCCESS)
}

/// Shows one, whole.
pub(super) async fn show(name: &str, wanted: &Show) -> anyhow::Result<ExitCode> {
    let Server { json, target } = &wanted.scope.server;
    let at = parse(&wanted.target)?;
    let (letters, overview) = open(name, &target.config).await?;
    let letter = letters.get(&overview, at).await.map_err(|error| failure(&letters, error))?;
    let mut shown = outline(&letter);
    let value = letter.entry.value.as_deref().unwrap_or_default();
    if *json {
        let headers = letter.entry.headers.iter().map(|(name, value)| json!({ "name": name, "value": lossy(value) }));
        shown["headers"] = headers.collect();
        match std::str::from_utf8(value) {
            Ok(text) => shown["value"] = json!(text),
            Err(_) => shown["valueBase64"] = json!(STANDARD.encode(value)),
        }
        print_line(shown)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(["HEADER", "VALUE"]);
    for (name, value) in &letter.entry.headers {
        table.row([name.clone(), lossy(value)]);
    }
    print_line(table)?;
    print_line(format_args!("\nkey: {}\n{}", cell(&shown, "key"), printable(value)))?;
    Ok(ExitCode::SUCCESS)
}

/// Appends them to their topic again.
pub(super) async fn replay(topic: &str, wanted: &Replay) -> anyhow::Result<ExitCode> {
    let which = which(wanted)?;
    let server = &wanted.scope.server;
    let (letters, overview) = open(topic, &server.target.config).await?;
    if !wanted.dry_run && !matches!(which, Which::At(_)) {
        consent(&format!("Append what lies in {} to its topic again?", letters.topic()), wanted.yes)?;
    }
    let style = ProgressStyle::with_template("{spinner} {pos} records replayed, {elapsed}")?;
    let bar = ProgressBar::new_spinner().with_style(style);
    let show = |so_far: Replayed| {
        bar.set_position(so_far.replayed);
        bar.tick();
    };
    let outcome = letters.replay(&overview, &which, wanted.dry_run, show).await;
    bar.finish_and_clear();
    let Replayed { replayed, before, without_value } = outcome.map_err(|error| failure(&letters, error))?;
    let answer = json!({
        "replayed": replayed,
        "replayedBefore": before,
        "withoutValue": without_value,
        "dryRun": wanted.dry_run,
    });
    let verb = if wanted.dry_run { "would be replayed" } else { "replayed" };
    let mut text = format!("{replayed} {verb}, {before} were before");
    if without_value > 0 {
        text.push_str(&format!(", {without_value} lie at their origin only (see origin_offset)"));
    }
    server.print(&answer, text)?;
    Ok(ExitCode::SUCCESS)
}

fn which(wanted: &Replay) -> anyhow::Result<Which> {
    match (&wanted.target, &wanted.cause) {
        (Some(at), _) => Ok(Which::At(parse(at)?)),
        (None, Some(cause)) => Ok(Which::Cause(cause.clone())),
        (None, None) => Ok(Which::All),
    }
}

fn parse(text: &str) -> anyhow::Result<LogPosition> {
    position(text).map_err(|expected| Failure::new(Exit::Usage, format!("`{text}`: {expected}")))
}

/// The positions of an iterator.
fn positions(text: &str) -> anyhow::Result<Vec<(i32, i64)>> {
    text.split(',').map(|one| parse(one.trim()).map(|at| (at.partition, at.offset))).collect()
}

/// What a list says of one.
fn outline(letter: &DeadLetter) -> Value {
    let LogPosition { partition, offset } = letter.entry.at;
    let time = |ms: i64| jiff::Timestamp::from_millisecond(ms).ok().map(|time| time.to_string());
    let origin = letter.origin().map(|at| format!("{}:{}", at.partition, at.offset));
    json!({
        "at": format!("{partition}:{offset}"),
        "cause": letter.cause(),
        "error": letter.error(),
        "retryCount": letter.retry_count(),
        "diedAt": letter.entry.appended_at.and_then(|at| time(at.0)),
        "originTopic": letter.origin_topic(),
        "origin": origin,
        "originTimestamp": letter.origin_timestamp().and_then(|at| time(at.0)),
        "key": letter.entry.key.as_deref().map(lossy),
        "bytes": letter.entry.value.as_ref().map_or(0, bytes::Bytes::len),
        "replayed": letter.is_replayed,
    })
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A value as a terminal may show it.
fn printable(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// What went wrong with the log, with its exit code.
fn failure(letters: &DeadLetters, error: Error) -> anyhow::Error {
    let exit = match error.kind() {
        ErrorKind::Retryable | ErrorKind::Overloaded => Exit::Unavailable,
        ErrorKind::NotFound => Exit::NotFound,
        ErrorKind::Conflict => Exit::Conflict,
        ErrorKind::Invalid | ErrorKind::Terminal => Exit::Failed,
    };
    Failure::new(exit, format!("{}: {error}", letters.topic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iterator_is_a_list_of_positions() {
        assert_eq!(positions("0:15,3:7").unwrap(), [(0, 15), (3, 7)]);
        for wrong in ["", "0:15,", "x"] {
            assert_eq!(Failure::exit_of(&positions(wrong).unwrap_err()), Exit::Usage, "{wrong}");
        }
    }

    #[test]
    fn a_value_cannot_command_the_terminal() {
        assert_eq!(printable(b"a\x1b[2Jb\tc\nd\xff"), "a\u{fffd}[2Jb\tc\nd\u{fffd}");
    }
}
