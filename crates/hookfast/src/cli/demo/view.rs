//! What the demo shows, as lines of styled text. Pure: it writes to no terminal and asks nobody.

use super::stats::{Line as Told, News, Quantiles, Snapshot};
use crossterm::style::{Color, ContentStyle, StyledContent, Stylize as _};
use std::fmt::Write as _;

/// Most and, while there are commands to leave out, fewest lines about what happened.
const NEWS_MAX: usize = 12;
const NEWS_MIN: usize = 2;
/// A table of all columns needs a screen so wide.
const WIDE: usize = 102;

/// A piece of a line.
#[derive(Clone, Debug)]
pub(super) struct Span(String, ContentStyle);

/// A line on the screen.
pub(super) type Line = Vec<Span>;

/// What does not change from frame to frame, and what the keys have set.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    /// The URL of the API.
    pub(super) api: String,
    /// The data directory.
    pub(super) data_dir: String,
    /// The receivers, in the order of the rows.
    pub(super) receivers: Vec<Receiver>,
    /// Commands to try, each with a word about it.
    pub(super) commands: Vec<(&'static str, String)>,
    /// Events per second that the emitter makes.
    pub(super) rate: f64,
    /// The emitter stands still.
    pub(super) is_paused: bool,
    /// All commands are wanted, even if no room is left for the news.
    pub(super) is_about_commands: bool,
    /// How this binary is called.
    pub(super) exe: String,
    /// The receiver that is down has been brought up.
    pub(super) is_healed: bool,
    /// What the last key did.
    pub(super) said: String,
}

/// A receiver, as it is shown.
#[derive(Clone, Debug)]
pub(super) struct Receiver {
    /// The endpoint's uid.
    pub(super) name: &'static str,
    /// What it does at present.
    pub(super) mood: String,
    /// Requests whose signature held, and whose did not.
    pub(super) signatures: (u64, u64),
}

fn plain(text: impl Into<String>) -> Span {
    Span(text.into(), ContentStyle::new())
}

fn dim(text: impl Into<String>) -> Span {
    Span(text.into(), ContentStyle::new().dark_grey())
}

fn bold(text: impl Into<String>) -> Span {
    Span(text.into(), ContentStyle::new().bold())
}

fn colored(text: impl Into<String>, color: Color) -> Span {
    Span(text.into(), ContentStyle::new().with(color))
}

/// A duration as a stop-watch shows it.
fn clock(ms: u64) -> String {
    let s = ms / 1000;
    if s < 3600 {
        format!("{}:{:02}", s / 60, s % 60)
    } else {
        format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    }
}

fn latency(quantiles: Quantiles) -> (String, String) {
    match quantiles {
        Some((p50, p99)) => (format!("{p50} ms"), format!("{p99} ms")),
        None => ("–".into(), "–".into()),
    }
}

/// Time of day in UTC, to the millisecond.
fn time_of_day(at: hookfast_core::UnixMs) -> String {
    let time = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    format!("{time:.3}").chars().skip(11).take(12).collect()
}

/// The whole frame: exactly what fits on a screen of this size.
pub(super) fn frame(now: &Snapshot, scene: &Scene, width: u16, height: u16) -> Vec<Line> {
    let (width, height) = (usize::from(width), usize::from(height));
    let mut lines = head(now, scene);
    lines.extend(rows(now, scene, width));
    // On a small screen some commands give way, so that one sees what happens.
    let room_beside = |foot: &[Line]| height.saturating_sub(lines.len() + foot.len() + 2).min(NEWS_MAX);
    let news_min = if scene.is_about_commands { 0 } else { NEWS_MIN };
    let feet = (1..=scene.commands.len()).rev().map(|count| foot(scene, count, width));
    let mut foot = foot(scene, 0, width);
    for candidate in feet {
        if room_beside(&candidate) >= news_min {
            foot = candidate;
            break;
        }
    }
    let room = room_beside(&foot);
    if room > 0 {
        lines.push(vec![bold(" What happened last")]);
        let first = now.lines.len().saturating_sub(room);
        let names: Vec<&str> = scene.receivers.iter().map(|receiver| receiver.name).collect();
        lines.extend(now.lines[first..].iter().map(|told| happening(told, &names)));
        lines.extend(std::iter::repeat_n(Vec::new(), room - (now.lines.len() - first)));
        lines.push(Vec::new());
    }
    lines.extend(foot);
    lines.truncate(height);
    lines.into_iter().map(|line| clip(line, width)).collect()
}

fn head(now: &Snapshot, scene: &Scene) -> Vec<Line> {
    let (p50, p99) = latency(now.latency);
    let pace = if scene.is_paused { "paused".to_owned() } else { format!("{} events/s", scene.rate) };
    let cell = |text: String| format!("{text:<15}");
    let rate = |rate: f64| cell(format!("{rate:.1}/s"));
    let number = |count: u64, color: Color| Span(cell(grouped(count)), ContentStyle::new().with(color).bold());
    vec![
        vec![
            colored(" hookfast demo", Color::Cyan),
            plain(format!("   running {}   {pace}   ", clock(now.running_ms))),
            dim("signed, stored, delivered, retried"),
        ],
        vec![dim(" API "), plain(scene.api.clone()), dim("   data "), plain(scene.data_dir.clone())],
        Vec::new(),
        vec![dim(format!(
            " {}{}{}{}{}",
            cell("accepted".into()),
            cell("delivered".into()),
            cell("retrying".into()),
            cell("dead".into()),
            "accept → delivered"
        ))],
        vec![
            plain(" "),
            number(now.accepted.0, Color::White),
            number(now.delivered.0, Color::Green),
            number(now.retrying as u64, Color::Yellow),
            number(now.dead.0, Color::Red),
            bold(format!("p50 {p50}   p99 {p99}")),
        ],
        vec![dim(format!(
            " {}{}{}{}{}",
            rate(now.accepted.1),
            rate(now.delivered.1),
            cell("now".into()),
            rate(now.dead.1),
            "first tries, last 5 s"
        ))],
        Vec::new(),
    ]
}

/// A number with spaces between groups of three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

fn rows(now: &Snapshot, scene: &Scene, width: usize) -> Vec<Line> {
    let is_wide = width >= WIDE;
    let wide = |text: String| if is_wide { text } else { String::new() };
    let mut lines = vec![vec![
        dim(format!(" {:<11}{}", "ENDPOINT", wide(format!("{:<16}", "RECEIVER")))),
        dim(format!("{:>10}{:>10}{:>8}{}", "DELIVERED", "RETRYING", "DEAD", wide(format!("{:>9}", "TRIES/S")))),
        dim(format!("{:>8}{:>8}{:>8}  SIGNATURES", "FAILED", "P50", "P99")),
    ]];
    for (receiver, row) in scene.receivers.iter().zip(&now.rows) {
        let color = match row.failed_share {
            share if share > 0.9 => Color::Red,
            share if share > 0.05 => Color::Yellow,
            _ => Color::Green,
        };
        let (p50, p99) = latency(row.latency);
        let signatures = match receiver.signatures {
            (0, 0) => dim("  –"),
            (good, 0) => colored(format!("  ✓ {}", grouped(good)), Color::Green),
            (_, bad) => colored(format!("  ✗ {}", grouped(bad)), Color::Red),
        };
        lines.push(vec![
            colored(" ● ", color),
            bold(format!("{:<9}", receiver.name)),
            plain(wide(format!("{:<16}", receiver.mood))),
            plain(format!("{:>10}{:>10}{:>8}", grouped(row.delivered), grouped(row.retrying), grouped(row.dead))),
            plain(wide(format!("{:>9.1}", row.tries_per_s))),
            plain(format!("{:>7.0}%{p50:>8}{p99:>8}", row.failed_share * 100.0)),
            signatures,
        ]);
    }
    lines.push(Vec::new());
    lines
}

fn happening(told: &Told, names: &[&str]) -> Line {
    let (mark, word, color) = match told.news {
        News::Delivered => ("✓", "delivered", Color::Green),
        News::Recovered => ("✓", "delivered", Color::Cyan),
        News::Retry => ("↻", "retrying", Color::Yellow),
        News::Dead => ("✗", "dead", Color::Red),
    };
    let id: String = told.event.to_string();
    vec![
        dim(format!("  {} ", time_of_day(told.at))),
        colored(format!("{mark} {word:<10}"), color),
        plain(format!("{:<9}", names.get(told.endpoint).copied().unwrap_or("?"))),
        plain(format!("{:<17}", told.event_type.as_deref().unwrap_or(""))),
        plain(format!("{:<38}", told.detail)),
        dim(id),
    ]
}

fn foot(scene: &Scene, commands: usize, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    if commands > 0 {
        lines.push(vec![bold(" Try next, in a second terminal")]);
    }
    for (what, command) in scene.commands.iter().take(commands) {
        lines.push(vec![dim(format!("  {what}"))]);
        lines.extend(broken(command, width).into_iter().map(|part| vec![colored(part, Color::Cyan)]));
    }
    lines.push(Vec::new());
    let mut keys: Line = vec![plain(" ")];
    let pause = if scene.is_paused { "go on" } else { "pause" };
    let heal = if scene.is_healed { "break `down`" } else { "heal `down`" };
    for (key, what) in [("h", heal), ("r", "replay"), ("+ -", "pace"), ("p", pause), ("c", "commands"), ("q", "quit")] {
        keys.push(Span(format!(" {key} "), ContentStyle::new().reverse()));
        keys.push(plain(format!(" {what}  ")));
    }
    lines.push(keys);
    lines.push(vec![colored(format!(" {}", scene.said), Color::Yellow)]);
    lines
}

/// A command over as many lines as it needs, so that copying them is copying the command.
fn broken(command: &str, width: usize) -> Vec<String> {
    const INDENT: usize = 4;
    let mut parts: Vec<String> = vec![String::new()];
    for word in words(command) {
        let last = parts.last_mut().map_or(0, |part| part.chars().count());
        // Two more for the backslash.
        if last > 0 && INDENT + last + 1 + word.chars().count() + 2 > width {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            if !part.is_empty() {
                part.push(' ');
            }
            part.push_str(word);
        }
    }
    let count = parts.len();
    let line = |(at, part): (usize, String)| {
        let more = if at + 1 < count { " \\" } else { "" };
        format!("{:INDENT$}{part}{more}", "")
    };
    parts.into_iter().enumerate().map(line).collect()
}

/// The words of a command; what is quoted is one.
fn words(command: &str) -> Vec<&str> {
    let (mut words, mut start, mut is_quoted) = (Vec::new(), 0, false);
    for (at, c) in command.char_indices() {
        match c {
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => {
                words.push(&command[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    words.push(&command[start..]);
    words
}

/// Cuts a line to a width, so that nothing wraps.
fn clip(line: Line, width: usize) -> Line {
    let mut left = width;
    let mut out = Vec::with_capacity(line.len());
    for Span(text, style) in line {
        let chars = text.chars().count();
        if chars <= left {
            left -= chars;
            out.push(Span(text, style));
        } else {
            out.push(Span(text.chars().take(left).collect(), style));
            break;
        }
    }
    out
}

impl Span {
    /// For printing.
    pub(super) fn styled(&self) -> StyledContent<&str> {
        StyledContent::new(self.1, self.0.as_str())
    }
}

/// One plain line about how it stands, for where there is no terminal.
pub(super) fn one_line(now: &Snapshot) -> String {
    let (p50, p99) = latency(now.latency);
    format!(
        "t={} accepted={} ({:.1}/s) delivered={} ({:.1}/s) retrying={} dead={} p50={p50} p99={p99}",
        clock(now.running_ms),
        now.accepted.0,
        now.accepted.1,
        now.delivered.0,
        now.delivered.1,
        now.retrying,
        now.dead.0,
    )
}

/// What is left to say at the end.
pub(super) fn summary(now: &Snapshot, scene: &Scene) -> String {
    let mut text = format!(
        "{} events accepted in {}, {} deliveries made, {} given up, {} to be retried\n",
        grouped(now.accepted.0),
        clock(now.running_ms),
        grouped(now.delivered.0),
        grouped(now.dead.0),
        now.retrying,
    );
    for (receiver, row) in scene.receivers.iter().zip(&now.rows) {
        let (good, bad) = receiver.signatures;
        let _ = writeln!(
            text,
            "  {:<9}delivered {:<8}retrying {:<6}dead {:<6}signatures {good} good, {bad} bad",
            receiver.name,
            grouped(row.delivered),
            grouped(row.retrying),
            grouped(row.dead),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::stats::Row;
    use super::*;
    use hookfast_core::{EventId, UnixMs};

    fn scene() -> Scene {
        let receiver = |name, mood: &str, signatures| Receiver { name, mood: mood.into(), signatures };
        Scene {
            api: "http://127.0.0.1:8071".into(),
            data_dir: "/tmp/hookfast-demo".into(),
            receivers: vec![
                receiver("healthy", "answers 200", (840, 0)),
                receiver("flaky", "fails 30 %", (1100, 0)),
                receiver("down", "refuses", (0, 0)),
            ],
            commands: vec![("Send one more:", "hookfast send --data-dir /tmp/hookfast-demo --app demo".into())],
            rate: 20.0,
            is_paused: false,
            is_about_commands: false,
            exe: "hookfast".into(),
            is_healed: false,
            said: String::new(),
        }
    }

    fn snapshot() -> Snapshot {
        let row = |delivered, retrying, dead, tries_per_s, failed_share, latency| Row {
            delivered,
            retrying,
            dead,
            tries_per_s,
            failed_share,
            latency,
        };
        let told = Told {
            at: UnixMs(1_700_000_000_123),
            news: News::Retry,
            event: EventId::from_u128(1 << 80),
            event_type: Some("invoice.paid".into()),
            endpoint: 1,
            detail: "500, try 1, next in 0.5 s".into(),
        };
        Snapshot {
            running_ms: 42_000,
            accepted: (1840, 20.0),
            delivered: (1702, 38.8),
            dead: (38, 19.8),
            retrying: 71,
            latency: Some((2, 14)),
            rows: vec![
                row(840, 0, 0, 20.0, 0.0, Some((2, 9))),
                row(838, 9, 1, 26.0, 0.3, Some((2, 14))),
                row(0, 62, 37, 80.0, 1.0, None),
            ],
            lines: vec![told; 3],
        }
    }

    fn text(lines: &[Line]) -> String {
        let line = |line: &Line| line.iter().map(|span| span.0.as_str()).collect::<String>().trim_end().to_owned();
        lines.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_frame_shows_totals_rows_news_commands_and_keys() {
        let shown = text(&frame(&snapshot(), &scene(), 120, 30));
        insta::assert_snapshot!(shown);
        let small = text(&frame(&snapshot(), &scene(), 80, 24));
        insta::assert_snapshot!("on_a_small_screen", small);
    }

    #[test]
    fn a_long_command_is_broken_where_a_shell_joins_it_again() {
        let command = r#"hookfast send --app demo --data '{"a b": 12}' --wait"#;
        let lines = broken(command, 30);
        assert_eq!(lines, ["    hookfast send --app demo \\", "    --data '{\"a b\": 12}' \\", "    --wait"]);
        assert_eq!(broken(command, 200), [format!("    {command}")]);
    }

    #[test]
    fn a_frame_never_exceeds_its_screen() {
        for (width, height) in [(1, 1), (20, 5), (80, 24), (120, 40), (300, 100)] {
            let lines = frame(&snapshot(), &scene(), width, height);
            assert!(lines.len() <= usize::from(height));
            let widest = lines.iter().map(|line| line.iter().map(|span| span.0.chars().count()).sum::<usize>()).max();
            assert!(widest.unwrap_or(0) <= usize::from(width), "{width}x{height}");
        }
    }

    #[test]
    fn without_a_terminal_a_line_tells_how_it_stands() {
        assert_eq!(
            one_line(&snapshot()),
            "t=0:42 accepted=1840 (20.0/s) delivered=1702 (38.8/s) retrying=71 dead=38 p50=2 ms p99=14 ms"
        );
    }
}
