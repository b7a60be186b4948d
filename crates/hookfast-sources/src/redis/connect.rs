//! Connections to the one Redis that is the master: found among addresses, or named by a Sentinel. Says what to do when
//! it cannot be had. Must not know what is read there.

use super::address::Address;
use super::config::{RedisConfig, Sentinel};
use hookfast_core::model::SecretText;
use hookfast_core::{Error, Result};
use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::{AsyncConnectionConfig, ProtocolVersion, RedisConnectionInfo, RedisError, Value};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// Deadline of connecting, TLS and password included.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Deadline of an answer, beside the time a call itself asks Redis to wait.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// Who is told what the server says unasked.
pub(super) type Pushes = Arc<dyn AsyncPushSender>;

/// An open connection; it ends when this is dropped.
pub(super) struct Connection {
    pub(super) redis: MultiplexedConnection,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Knows how to reach the master.
pub(super) struct Connector {
    addresses: Vec<Address>,
    sentinel: Option<Sentinel>,
    username: Option<String>,
    password: Option<SecretText>,
    tls: TlsConnector,
}

impl Connector {
    /// Errors: `Invalid` when there is no address, or the certificates cannot be read.
    pub(super) fn new(config: &RedisConfig) -> Result<Self> {
        if config.addresses.is_empty() {
            return Err(Error::invalid("redis.addresses", "expected at least one address, found none"));
        }
        Ok(Self {
            addresses: config.addresses.clone(),
            sentinel: config.sentinel.clone(),
            username: config.username.clone(),
            password: config.password.clone(),
            tls: tls(config.tls_ca_pem.as_deref())?,
        })
    }

    /// Connects to whoever is the master now. `answer_wait` is how long calls on this connection may ask Redis to wait.
    /// Errors: `Unavailable`, with what every address answered and what to do.
    pub(super) async fn master(&self, pushes: Option<Pushes>) -> Result<(Address, Connection)> {
        let mut faults = Vec::new();
        for address in &self.addresses {
            match self.master_by(address, pushes.clone()).await {
                Ok(found) => return Ok(found),
                Err(fault) => faults.push(fault),
            }
        }
        Err(Error::Unavailable { reason: faults.join("; ") })
    }

    async fn master_by(
        &self,
        address: &Address,
        pushes: Option<Pushes>,
    ) -> std::result::Result<(Address, Connection), String> {
        let found = match &self.sentinel {
            None => address.clone(),
            Some(sentinel) => self.named_by(address, sentinel).await?,
        };
        let mut connection = self.open(&found, pushes, Duration::ZERO).await?;
        let is_master = is_master(&mut connection.redis).await.map_err(|error| explain(&found, &error))?;
        if is_master { Ok((found, connection)) } else { Err(format!("Redis at {found} is no master")) }
    }

    /// Whom a Sentinel calls the master.
    async fn named_by(&self, address: &Address, sentinel: &Sentinel) -> std::result::Result<Address, String> {
        let login = login(None, sentinel.password.as_ref(), 0);
        let mut connection = self.dial(address, login, None, Duration::ZERO).await?;
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("get-master-addr-by-name").arg(&sentinel.master);
        let named: Option<(String, u16)> =
            ask.query_async(&mut connection.redis).await.map_err(|error| explain_sentinel(address, &error))?;
        let unknown =
            || format!("the Sentinel at {address} knows no master `{}`: set redis.sentinel_master", sentinel.master);
        named.map(|(host, port)| address.at(host, port)).ok_or_else(unknown)
    }

    /// One more connection to a server. `wait` is how long calls on it may ask Redis to wait.
    pub(super) async fn open(
        &self,
        address: &Address,
        pushes: Option<Pushes>,
        wait: Duration,
    ) -> std::result::Result<Connection, String> {
        let login = login(self.username.as_deref(), self.password.as_ref(), address.db);
        self.dial(address, login, pushes, wait).await
    }

    async fn dial(
        &self,
        address: &Address,
        login: RedisConnectionInfo,
        pushes: Option<Pushes>,
        wait: Duration,
    ) -> std::result::Result<Connection, String> {
        let connect = async {
            let unreachable = |error: std::io::Error| format!("Redis at {address} cannot be reached: {error}");
            let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(unreachable)?;
            stream.set_nodelay(true).map_err(unreachable)?;
            if !address.tls {
                return start(address, login, pushes, wait, stream).await;
            }
            let name =
                ServerName::try_from(address.host.clone()).map_err(|_| format!("{address} has no name for TLS"))?;
            let stream = self.tls.connect(name, stream).await.map_err(|error| {
                format!(
                    "TLS with Redis at {address} failed: {error}; set redis.tls_ca_file to the authority that signed it"
                )
            })?;
            start(address, login, pushes, wait, stream).await
        };
        let late = |_| format!("Redis at {address} did not answer within {} s", CONNECT_MAX.as_secs());
        tokio::time::timeout(CONNECT_MAX, connect).await.map_err(late)?
    }
}

async fn start<S>(
    address: &Address,
    login: RedisConnectionInfo,
    pushes: Option<Pushes>,
    wait: Duration,
    stream: S,
) -> std::result::Result<Connection, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER_MAX + wait));
    if let Some(pushes) = pushes {
        config = config.set_push_sender(move |push| pushes.send(push));
    }
    let opened = MultiplexedConnection::new_with_config(&login, stream, config).await;
    let (redis, driver) = opened.map_err(|error| explain(address, &error))?;
    Ok(Connection { redis, driver: tokio::spawn(driver) })
}

fn login(username: Option<&str>, password: Option<&SecretText>, db: u16) -> RedisConnectionInfo {
    // What the server says unasked comes on the same connection as answers only in this protocol.
    let mut login = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3).set_db(db.into());
    if let Some(username) = username {
        login = login.set_username(username);
    }
    if let Some(password) = password {
        login = login.set_password(password.reveal());
    }
    login.set_lib_name("hookfast", env!("CARGO_PKG_VERSION"))
}

/// Is the server of this connection a master?
pub(super) async fn is_master(redis: &mut MultiplexedConnection) -> std::result::Result<bool, RedisError> {
    let role: Vec<Value> = redis::cmd("ROLE").query_async(redis).await?;
    Ok(matches!(role.first(), Some(Value::BulkString(word)) if word == b"master"))
}

/// What a server complained of, and what to do about it.
pub(super) fn explain(address: &Address, error: &RedisError) -> String {
    let text = error.to_string();
    let says = |word: &str| error.code() == Some(word) || text.contains(word);
    let advice = if says("WRONGPASS") || error.kind() == redis::ErrorKind::AuthenticationFailed {
        "refused user or password: set redis.password, and redis.username when it has users"
    } else if says("NOAUTH") {
        "wants a password: set redis.password"
    } else if says("NOPERM") {
        "does not allow it to this user: it needs the channel, the stream, and the commands SUBSCRIBE, XREADGROUP, \
         XREAD, XACK, XAUTOCLAIM, XGROUP, XINFO and ROLE"
    } else if says("WRONGTYPE") {
        "has something else than a stream under this name: set redis.stream"
    } else if says("MOVED") {
        "is a cluster, which cannot be read: name a server of its own"
    } else if says("unknown command") || error.kind() == redis::ErrorKind::RESP3NotSupported {
        "is too old: version 6.2 is the oldest that can be read"
    } else {
        "failed"
    };
    format!("Redis at {address} {advice} ({text})")
}

fn explain_sentinel(address: &Address, error: &RedisError) -> String {
    format!("{}; as a Sentinel it has a password of its own, redis.sentinel_password", explain(address, error))
}

/// Trusts the public authorities and those in `extra_ca_pem`.
fn tls(extra_ca_pem: Option<&str>) -> Result<TlsConnector> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let wrong = |reason: String| Error::invalid("redis.tls_ca_file", reason);
    if let Some(pem) = extra_ca_pem {
        let mut found = 0;
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
            found += 1;
        }
        if found == 0 {
            return Err(wrong("expected certificates, found none".into()));
        }
    }
    // Named here, so that another crate's choice of a process-wide provider cannot matter.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = versions.map_err(|error| Error::Terminal { reason: error.to_string() })?;
    Ok(TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
}

#[cfg(test)]
mod tests;
