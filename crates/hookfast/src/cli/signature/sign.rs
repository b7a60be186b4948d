//! `hookfast sign`: the headers that a delivery of this body would carry.

use super::{Material, Scheme};
use crate::cli::print_line;
use crate::clock::SystemClock;
use crate::exit::{Exit, Failure};
use hookfast_core::{Clock as _, EventId, IdGenerator};
use hookfast_signing::{BodyHexKey, PublicKey, Secret, Signer, sign_all_into};
use serde_json::{Map, Value};
use std::process::ExitCode;

/// Sign a body as a delivery is signed, and print the headers
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The body comes from standard input, and every byte of it counts: a line break at its end is signed too.

Examples:
  printf '{\"amount\": 12}' | hookfast sign --secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw
  hookfast sign --file body.json > headers && curl -H @headers --data-binary @body.json \\
    http://127.0.0.1:3000/
  hookfast sign --scheme body-hex --secret my-secret --file body.json --json")]
pub(crate) struct Args {
    #[command(flatten)]
    material: Material,
    /// What is signed
    #[arg(long, value_enum, default_value_t = Scheme::Standard)]
    scheme: Scheme,
    /// The names of the headers
    #[arg(long, value_enum, default_value_t = Family::Standard)]
    header_family: Family,
    /// The id of the event [default: a new one]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// When it is sent, in seconds since 1970 [default: now]
    #[arg(long, value_name = "SECONDS")]
    timestamp: Option<u64>,
    /// Print one JSON object instead of header lines
    #[arg(long)]
    json: bool,
}

/// The names of the signature headers.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Family {
    /// webhook-id, webhook-timestamp, webhook-signature
    Standard,
    /// svix-id, svix-timestamp, svix-signature
    Svix,
    /// Both
    Both,
}

impl Family {
    fn prefixes(self) -> &'static [&'static str] {
        match self {
            Self::Standard => &["webhook"],
            Self::Svix => &["svix"],
            Self::Both => &["webhook", "svix"],
        }
    }
}

/// Runs `hookfast sign`.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let headers = match args.scheme {
        Scheme::Standard => standard(args)?,
        Scheme::BodyHex => body_hex(args)?,
    };
    if args.json {
        let object: Map<String, Value> = headers.into_iter().map(|(name, value)| (name, value.into())).collect();
        print_line(Value::Object(object))?;
    } else {
        for (name, value) in headers {
            print_line(format_args!("{name}: {value}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn standard(args: &Args) -> anyhow::Result<Vec<(String, String)>> {
    if args.material.secrets.iter().any(|secret| PublicKey::parse(secret.reveal()).is_ok()) {
        return Err(Failure::new(Exit::Usage, "--secret: a public key (whpk_…) cannot sign; give the whsk_… key"));
    }
    let signers: Vec<Signer> = args.material.each(|text| Secret::parse(text).map(|secret| secret.signer()))?;
    let body = args.material.body()?;
    let now = SystemClock::start().wall();
    let id = args.id.clone().unwrap_or_else(|| EventId::from_u128(IdGenerator::new().next(now)).to_string());
    let timestamp = args.timestamp.map_or_else(|| now.secs().to_string(), |seconds| seconds.to_string());
    let mut signature = String::new();
    sign_all_into(&signers, &mut signature, &id, &timestamp, &body).map_err(|error| {
        let flag = if error == hookfast_signing::Error::Id { "--id" } else { "--timestamp" };
        Failure::new(Exit::Usage, format!("{flag}: {error}"))
    })?;
    let family = |prefix: &&str| {
        [("id", &id), ("timestamp", &timestamp), ("signature", &signature)]
            .map(|(name, value)| (format!("{prefix}-{name}"), value.clone()))
    };
    Ok(args.header_family.prefixes().iter().flat_map(family).collect())
}

fn body_hex(args: &Args) -> anyhow::Result<Vec<(String, String)>> {
    let keys = args.material.each(BodyHexKey::new)?;
    let [key] = keys.as_slice() else {
        return Err(Failure::new(Exit::Usage, "--secret: x-webhook-signature is made with one secret"));
    };
    let mut signature = String::new();
    key.sign_into(&mut signature, &args.material.body()?);
    Ok(vec![(BodyHexKey::HEADER.into(), signature)])
}
