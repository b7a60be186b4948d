//! `hookfast sign` and `hookfast verify`: signatures by hand, for who builds or mends a receiver. What both need is
//! here: the body, the secrets, the schemes. Knows no server and no store.

mod checks;
mod items;
pub(super) mod sign;
pub(super) mod verify;

use crate::exit::{Exit, Failure};
use hookfast_core::model::SecretText;
use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;

/// Longest body that is read: as much as a server can be told to take.
const BODY_BYTES_MAX: u64 = 64 << 20;

/// What is signed, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Scheme {
    /// Standard Webhooks: id, time and body, in the headers webhook-* or svix-*
    Standard,
    /// The body alone: x-webhook-signature, HMAC-SHA256 in hexadecimal
    BodyHex,
}

/// The body and the secrets.
#[derive(Debug, clap::Args)]
struct Material {
    /// whsec_… (v1, HMAC), whsk_… (v1a, ed25519), to verify also whpk_…; may be repeated; better in HOOKFAST_SECRET,
    /// where other users of the machine cannot see it
    #[arg(long = "secret", value_name = "SECRET", env = "HOOKFAST_SECRET", hide_env_values = true)]
    #[arg(value_parser = crate::config::hidden)]
    secrets: Vec<SecretText>,
    /// Take the body, byte for byte, from this file instead of standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Material {
    /// The body, with every byte as it came.
    fn body(&self) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        let (name, read) = match &self.file {
            Some(file) => {
                let opened = std::fs::File::open(file);
                let read = opened.and_then(|file| file.take(BODY_BYTES_MAX + 1).read_to_end(&mut body));
                (file.display().to_string(), read)
            }
            None => {
                let input = std::io::stdin().lock();
                if std::io::stdin().is_terminal() {
                    eprintln!("reading the body from this terminal; Ctrl-D ends it");
                }
                ("standard input".into(), input.take(BODY_BYTES_MAX + 1).read_to_end(&mut body))
            }
        };
        read.map_err(|error| Failure::new(Exit::Usage, format!("the body, {name}: {error}")))?;
        if body.len() as u64 > BODY_BYTES_MAX {
            let why = format!("the body, {name}: expected at most {} MiB", BODY_BYTES_MAX >> 20);
            return Err(Failure::new(Exit::Usage, why));
        }
        Ok(body)
    }

    /// Each secret as this reads it. Says which one is wrong, and never what it is.
    fn each<T>(&self, read: impl Fn(&str) -> Result<T, hookfast_signing::Error>) -> anyhow::Result<Vec<T>> {
        if self.secrets.iter().all(|secret| secret.reveal().is_empty()) {
            return Err(Failure::new(Exit::Usage, "no secret: set HOOKFAST_SECRET, or give --secret"));
        }
        let read_one = |(index, secret): (usize, &SecretText)| {
            let text = secret.reveal();
            let advice = if text.trim() == text { "" } else { "; it has blanks or a line break at its ends" };
            let of_many = if self.secrets.len() > 1 { format!(" {}", index + 1) } else { String::new() };
            read(text).map_err(|error| Failure::new(Exit::Usage, format!("--secret{of_many}: {error}{advice}")))
        };
        self.secrets.iter().enumerate().map(read_one).collect()
    }
}
