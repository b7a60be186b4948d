//! `hookfast payments`: a payment API to try webhooks from Redis with. The lab does the work; knows nothing of servers.

use super::token::parse_duration;
use crate::exit::{Exit, Failure};
use hookfast_lab::payments::{BookConfig, PaymentsConfig};
use std::net::SocketAddr;
use std::process::ExitCode;

/// Run an API that makes payments and announces them in Redis
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
GET /payment makes a random payment, publishes {\"url\", \"webhookId\", \"data\"} on the channel, adds it to the stream, and
answers with the data. GET /payment/ID says how a payment stands: accepted, processing, then completed or failed. A
server with the role `sources` and redis.addresses sends the webhooks: see docs/guides/second-system.md.

Examples:
  hookfast payments --redis 127.0.0.1:6379 --webhook http://127.0.0.1:3000/webhook
  REDIS_PASSWORD=secret hookfast payments --redis redis-1:6379,redis-2:6379 --listen 0.0.0.0:8000")]
pub(crate) struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Where Redis is, without TLS; of several, the master is used
    #[arg(long, value_name = "ADDR,…", env = "REDIS_ADDRESS", value_delimiter = ',', default_value = "127.0.0.1:6379")]
    #[arg(hide_env_values = true)]
    redis: Vec<String>,
    /// User to log in to Redis as
    #[arg(long, value_name = "NAME", env = "REDIS_USERNAME")]
    redis_username: Option<String>,
    /// Password for Redis; better in the environment, where other users of the machine cannot see it
    #[arg(long, value_name = "PASSWORD", env = "REDIS_PASSWORD", hide_env_values = true)]
    redis_password: Option<String>,
    /// The channel to publish on
    #[arg(long, value_name = "NAME", default_value = "payments")]
    channel: String,
    /// The stream to add to
    #[arg(long, value_name = "NAME", default_value = "payments")]
    stream: String,
    /// Where webhooks go; a request may name another: /payment?url=…
    #[arg(long, value_name = "URL", env = "WEBHOOK_ADDRESS")]
    webhook: Option<String>,
    /// How often one client may ask how one payment stands, in a second; more is answered 429
    #[arg(long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u32).range(1..=1000))]
    polls_per_second: u32,
    /// After so long a payment is completed or has failed
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = parse_duration)]
    settle: u64,
}

/// Runs `hookfast payments` until it is interrupted.
///
/// # Errors
/// When the address cannot be bound or an argument is wrong.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let set = |text: Option<String>| text.filter(|text| !text.is_empty());
    let config = PaymentsConfig {
        listen: args.listen,
        book: BookConfig {
            addresses: args.redis,
            username: set(args.redis_username),
            password: set(args.redis_password),
            channel: args.channel,
            stream: args.stream,
        },
        webhook_url: set(args.webhook),
        polls_per_second_max: args.polls_per_second,
        settle_ms: args.settle,
    };
    let mut signals = crate::signals::Signals::catch()?;
    let api = hookfast_lab::payments::start(config).await.map_err(|error| match error {
        hookfast_lab::Error::Invalid { field, reason } => Failure::new(Exit::Usage, format!("--{field}: {reason}")),
        error => Failure::new(Exit::Failed, format!("{error}; choose another address with --listen")),
    })?;
    eprintln!("payments: GET {} makes one", api.url("/payment"));
    signals.next().await;
    api.stop().await;
    Ok(ExitCode::SUCCESS)
}
