//! SIGTERM and SIGINT: the first asks for a clean stop, the second ends the process at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that stop a server.
pub(crate) struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// From now on the process no longer dies of them.
    pub(crate) fn catch() -> std::io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one and names it. Cancel-safe.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }

    /// One more of them ends the process, whatever it waits for.
    pub(crate) fn exit_at_the_next(mut self) {
        tokio::spawn(async move {
            let name = self.next().await;
            tracing::warn!(signal = name, "exiting at once");
            exit_now(130);
        });
    }
}

/// Ends the process without waiting for anything: for a second signal, and for a store that cannot be trusted.
#[expect(clippy::disallowed_methods, reason = "the one place that ends the process from within")]
pub(crate) fn exit_now(code: i32) -> ! {
    crate::terminal::give_back();
    std::process::exit(code)
}
