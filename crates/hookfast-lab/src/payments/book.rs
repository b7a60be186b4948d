//! Where payments are kept and announced: Redis. Must not know who asks.

use super::payment::Payment;
use super::wrong;
use crate::Result;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo as _, Pipeline, RedisResult};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Deadline of connecting, and of an answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// A payment is remembered for so long.
const KEPT_S: u64 = 24 * 3600;
/// The stream keeps about so many messages.
const STREAM_ENTRIES_MAX: u64 = 100_000;

/// Where Redis is, as whom to log in, and where payments are announced.
#[derive(Clone)]
pub struct BookConfig {
    /// `HOST:PORT` or a `redis://` URL; of several, the one that can be written to is used.
    pub addresses: Vec<String>,
    /// As which user.
    pub username: Option<String>,
    /// With which password.
    pub password: Option<String>,
    /// The channel to publish on.
    pub channel: String,
    /// The stream to add to.
    pub stream: String,
}

impl fmt::Debug for BookConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An address may hold a password.
        f.debug_struct("BookConfig")
            .field("channel", &self.channel)
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

/// Redis is away, and what to do.
pub(super) struct Away(pub(super) String);

/// Payments.
pub(super) struct Book {
    config: BookConfig,
    clients: Vec<Client>,
    /// The open connection, and which client it is of.
    open: Mutex<(usize, Option<MultiplexedConnection>)>,
}

impl Book {
    /// Errors: when an address is none. Nothing is dialled here.
    pub(super) fn new(config: BookConfig) -> Result<Self> {
        if config.addresses.is_empty() {
            return Err(wrong("redis", "expected an address, found none".into()));
        }
        let clients = config.addresses.iter().map(|address| client(address, &config)).collect::<Result<_>>()?;
        Ok(Self { config, clients, open: Mutex::default() })
    }

    /// Keeps a payment and announces it on the channel and the stream: all of it or nothing.
    pub(super) async fn announce(&self, payment: &Payment, url: &str) -> std::result::Result<(), Away> {
        let (key, message) = (key(&payment.id), payment.message(url));
        let mut all = redis::pipe();
        all.atomic();
        all.cmd("HSET").arg(&key).arg("reference").arg(&payment.reference);
        all.arg("webhook_id").arg(&payment.webhook_id).arg("fails").arg(u8::from(payment.fails));
        all.arg("created_ms").arg(payment.created_ms);
        all.cmd("EXPIRE").arg(&key).arg(KEPT_S);
        all.cmd("PUBLISH").arg(&self.config.channel).arg(&message);
        all.cmd("XADD").arg(&self.config.stream).arg("MAXLEN").arg("~").arg(STREAM_ENTRIES_MAX);
        all.arg("*").arg("payload").arg(&message);
        self.ask::<redis::Value>(&all).await.map(|_| ())
    }

    /// The payment with this id, if it is remembered.
    pub(super) async fn find(&self, id: &str) -> std::result::Result<Option<Payment>, Away> {
        let mut one = redis::pipe();
        one.cmd("HGETALL").arg(key(id));
        let (found,): (HashMap<String, String>,) = self.ask(&one).await?;
        let payment = || {
            Some(Payment {
                id: id.to_owned(),
                reference: found.get("reference")?.clone(),
                webhook_id: found.get("webhook_id")?.clone(),
                fails: found.get("fails")? == "1",
                created_ms: found.get("created_ms")?.parse().ok()?,
            })
        };
        Ok(payment())
    }

    /// Asks the server that was asked last, then the others: one of them may be the master now. Asking twice does no
    /// harm: a message has the same id both times.
    async fn ask<T: redis::FromRedisValue>(&self, what: &Pipeline) -> std::result::Result<T, Away> {
        let mut fault = String::new();
        for _ in 0..=self.clients.len() {
            let (at, kept) = self.open.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let asked = async {
                let mut connection = match kept {
                    Some(connection) => connection,
                    None => connect(&self.clients[at]).await?,
                };
                let answer = what.query_async::<T>(&mut connection).await?;
                RedisResult::Ok((connection, answer))
            };
            let (next, answer) = match asked.await {
                Ok((connection, answer)) => ((at, Some(connection)), Some(answer)),
                Err(error) => {
                    fault = error.to_string();
                    (((at + 1) % self.clients.len(), None), None)
                }
            };
            *self.open.lock().unwrap_or_else(PoisonError::into_inner) = next;
            if let Some(answer) = answer {
                return Ok(answer);
            }
        }
        Err(Away(format!("Redis cannot be used: {fault}; see --redis and --redis-password")))
    }
}

fn key(id: &str) -> String {
    format!("payment:{id}")
}

async fn connect(client: &Client) -> RedisResult<MultiplexedConnection> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(ANSWER_MAX)).set_response_timeout(Some(ANSWER_MAX));
    client.get_multiplexed_async_connection_with_config(&config).await
}

fn client(address: &str, config: &BookConfig) -> Result<Client> {
    let url = if address.contains("://") { address.to_owned() } else { format!("redis://{address}") };
    // The text is not repeated: it may hold a password.
    let no_address = |_| wrong("redis", "expected HOST:PORT or redis://HOST:PORT/DB (no TLS here)".into());
    let info = url.as_str().into_connection_info().map_err(no_address)?;
    let mut login = info.redis_settings().clone();
    if let Some(username) = &config.username {
        login = login.set_username(username);
    }
    if let Some(password) = &config.password {
        login = login.set_password(password);
    }
    Client::open(info.set_redis_settings(login)).map_err(no_address)
}
