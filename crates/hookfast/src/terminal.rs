//! Giving the terminal back, wherever the process ends. Knows nothing of what was shown.

use crossterm::{cursor, execute, terminal};

/// Leaves raw mode and the alternate screen, if the terminal is in them.
pub(crate) fn give_back() {
    if terminal::is_raw_mode_enabled().unwrap_or(false) {
        // Nothing better can be done about a terminal that is gone.
        let _ = execute!(std::io::stdout(), cursor::Show, terminal::LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}
