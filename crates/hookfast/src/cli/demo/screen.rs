//! The terminal of the demo: raw mode, keys, drawing in place. Must leave the terminal as it found it.

use super::view::Line;
use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::style::{Print, PrintStyledContent};
use crossterm::terminal::{BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen};
use crossterm::{cursor, event, execute, queue, terminal};
use std::io::{Write as _, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// How long the thread that reads keys waits before it looks whether it is still wanted.
const KEY_POLL_MS: u64 = 100;
/// Keys that wait to be handled; more are dropped.
const KEYS_MAX: usize = 16;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// Bring the receiver that is down up, or down again.
    Heal,
    /// Replay its dead letters.
    Replay,
    /// More events per second.
    Faster,
    /// Fewer.
    Slower,
    /// Stop or restart the emitter.
    Pause,
    /// Make room for all commands, or for the news again.
    Commands,
    /// End the demo.
    Quit,
    /// The window changed its size.
    Redraw,
}

/// The terminal, taken over. Dropping it gives it back.
pub(super) struct Screen {
    is_wanted: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal over; keys come out of the channel.
    pub(super) fn take() -> anyhow::Result<(Self, mpsc::Receiver<Key>)> {
        terminal::enable_raw_mode()?;
        let screen = Self { is_wanted: Arc::new(AtomicBool::new(true)) };
        execute!(stdout(), EnterAlternateScreen, cursor::Hide)?;
        let (sender, keys) = mpsc::channel(KEYS_MAX);
        let is_wanted = Arc::clone(&screen.is_wanted);
        std::thread::Builder::new().name("keys".into()).spawn(move || read_keys(&is_wanted, &sender))?;
        Ok((screen, keys))
    }

    /// Draws a frame over the last one.
    pub(super) fn draw(&self, frame: impl FnOnce(u16, u16) -> Vec<Line>) -> std::io::Result<()> {
        let (width, height) = terminal::size()?;
        let mut out = std::io::BufWriter::new(stdout().lock());
        queue!(out, BeginSynchronizedUpdate)?;
        for (row, line) in (0u16..).zip(frame(width, height)) {
            queue!(out, cursor::MoveTo(0, row))?;
            for span in &line {
                queue!(out, PrintStyledContent(span.styled()))?;
            }
            queue!(out, Clear(ClearType::UntilNewLine), Print(""))?;
        }
        queue!(out, Clear(ClearType::FromCursorDown), EndSynchronizedUpdate)?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.is_wanted.store(false, Ordering::Relaxed);
        crate::terminal::give_back();
    }
}

fn read_keys(is_wanted: &AtomicBool, keys: &mpsc::Sender<Key>) {
    while is_wanted.load(Ordering::Relaxed) {
        match event::poll(Duration::from_millis(KEY_POLL_MS)) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(_) => return,
        }
        let Ok(event) = event::read() else { return };
        if let Some(key) = meaning(&event) {
            let _ = keys.try_send(key);
        }
    }
}

fn meaning(event: &Event) -> Option<Key> {
    let key = match event {
        Event::Resize(..) => return Some(Key::Redraw),
        Event::Key(key) if key.kind != KeyEventKind::Release => key,
        _ => return None,
    };
    match key {
        KeyEvent { code: KeyCode::Char('c' | 'd'), modifiers, .. } if modifiers.contains(KeyModifiers::CONTROL) => {
            Some(Key::Quit)
        }
        KeyEvent { code, .. } => match code {
            KeyCode::Char('h') => Some(Key::Heal),
            KeyCode::Char('r') => Some(Key::Replay),
            KeyCode::Char('+' | '=') => Some(Key::Faster),
            KeyCode::Char('-') => Some(Key::Slower),
            KeyCode::Char('p' | ' ') => Some(Key::Pause),
            KeyCode::Char('c') => Some(Key::Commands),
            KeyCode::Char('q') | KeyCode::Esc => Some(Key::Quit),
            _ => None,
        },
    }
}
