//! From a URL to a server that may be trusted with events: parsing, TLS, what the server must be, and errors as sentences
//! that say what to do. Must not know any table.

use super::db::{Run, Session};
use crate::{Error, Result};
use deadpool_postgres::{PoolError, TimeoutType};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Oldest version that is supported, as the server counts.
const VERSION_MIN: i32 = 150_000;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// What was sent and is not confirmed for so long ends the connection.
const UNANSWERED_MAX: Duration = Duration::from_secs(8);

/// Where and how to connect.
pub(crate) struct Target {
    pub(crate) config: tokio_postgres::Config,
    pub(crate) tls: MakeRustlsConnect,
}

impl Target {
    /// From `postgres://…`. Besides what the driver knows: `sslmode=verify-full` (and `verify-ca`, which checks as
    /// much), with `sslrootcert=FILE` instead of the public authorities. As with libpq, other modes encrypt without
    /// checking the certificate.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let (plain, ssl) = split_ssl(url);
        let wrong = |reason: String| Error::Connect { reason: format!("store.url: {reason}") };
        let mut config: tokio_postgres::Config = plain.parse().map_err(|error: tokio_postgres::Error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            wrong(format!("{error}{cause}; expected postgres://USER:PASSWORD@HOST:PORT/DATABASE"))
        })?;
        if config.get_hosts().is_empty() {
            return Err(wrong("it names no host; expected postgres://USER:PASSWORD@HOST:PORT/DATABASE".to_owned()));
        }
        if ssl.verify {
            config.ssl_mode(SslMode::Require);
        }
        config.connect_timeout(CONNECT_TIMEOUT).tcp_user_timeout(UNANSWERED_MAX).keepalives_idle(UNANSWERED_MAX);
        if config.get_application_name().is_none() {
            config.application_name("hookfast");
        }
        Ok(Self { config, tls: MakeRustlsConnect::new(tls_config(&ssl)?) })
    }
}

#[derive(Default)]
struct Ssl {
    verify: bool,
    root_file: Option<PathBuf>,
}

/// Takes out of the URL what the driver does not know.
fn split_ssl(url: &str) -> (String, Ssl) {
    let mut ssl = Ssl::default();
    let Some((base, query)) = url.split_once('?') else { return (url.to_owned(), ssl) };
    let mut rest: Vec<&str> = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslmode", "verify-full" | "verify-ca")) => ssl.verify = true,
            Some(("sslrootcert", file)) => ssl.root_file = Some(file.into()),
            _ => rest.push(pair),
        }
    }
    (if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) }, ssl)
}

fn tls_config(ssl: &Ssl) -> Result<ClientConfig> {
    let failed = |reason: String| Error::Connect { reason: format!("store.url: {reason}") };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?;
    if !ssl.verify {
        let verifier = Arc::new(EncryptOnly { provider });
        return Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    match &ssl.root_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(file) => {
            let unreadable = |error: String| failed(format!("sslrootcert {}: {error}", file.display()));
            let found = CertificateDer::pem_file_iter(file).map_err(|error| unreadable(error.to_string()))?;
            for one in found {
                let one = one.map_err(|error| unreadable(error.to_string()))?;
                roots.add(one).map_err(|error| unreadable(error.to_string()))?;
            }
        }
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Encrypts, but takes any certificate: what `sslmode=prefer` and `require` mean to every PostgreSQL client.
#[derive(Debug)]
struct EncryptOnly {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for EncryptOnly {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Refuses a server on which the promises could not be kept.
pub(crate) async fn check_server(session: &Session) -> Result<()> {
    let row = session
        .one(
            "SELECT current_setting('server_version_num')::int, current_setting('server_version'),
               pg_is_in_recovery(), current_setting('default_transaction_read_only'),
               current_setting('synchronous_commit'), current_setting('fsync')",
            &[],
        )
        .await?;
    let refuse = |reason: String| Err(Error::Connect { reason });
    let version: &str = row.try_get(1)?;
    if row.try_get::<_, i32>(0)? < VERSION_MIN {
        return refuse(format!("the server runs PostgreSQL {version}, at least 15 is needed"));
    }
    if row.try_get::<_, bool>(2)? {
        return refuse("the server is a read-only standby: name the primary in store.url".to_owned());
    }
    if row.try_get::<_, &str>(3)? == "on" {
        return refuse("transactions are read-only (default_transaction_read_only): turn that off".to_owned());
    }
    if row.try_get::<_, &str>(4)? == "off" {
        let mend = "ALTER ROLE … SET synchronous_commit = on";
        return refuse(format!("synchronous_commit is off, so an accepted event could be lost: {mend}"));
    }
    if row.try_get::<_, &str>(5)? == "off" {
        tracing::warn!("fsync is off on the PostgreSQL server: a power cut may lose accepted events");
    }
    Ok(())
}

/// A pool's error: of the server, or of waiting too long.
pub(crate) fn pool_error(error: PoolError) -> Error {
    match error {
        PoolError::Backend(error) => error.into(),
        PoolError::Timeout(TimeoutType::Wait) => Error::Busy,
        PoolError::Timeout(_) => Error::Silent,
        PoolError::Closed => hookfast_core::Error::Unavailable { reason: "the store is closing".to_owned() }.into(),
        other => Error::Connect { reason: other.to_string() },
    }
}

/// What an error of the server means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The connection is gone, or the server is: what was under way may or may not have happened.
    Lost,
    /// The transaction was undone and may be tried again as it is.
    Again,
    /// The values cannot be stored.
    Data,
    /// No space is left.
    Full,
    /// Everything else: the server said no.
    Refused,
}

/// The kind of any failure of a commit.
pub(crate) fn class_of(error: &Error) -> Class {
    match error {
        Error::Postgres(error) => classify(error),
        Error::Connect { .. } | Error::Busy | Error::Silent => Class::Lost,
        _ => Class::Refused,
    }
}

/// Sorts an error of the driver.
pub(crate) fn classify(error: &tokio_postgres::Error) -> Class {
    let Some(state) = error.code() else { return Class::Lost };
    let code = state.code();
    match () {
        () if [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(state)
            || *state == SqlState::LOCK_NOT_AVAILABLE =>
        {
            Class::Again
        }
        () if *state == SqlState::DISK_FULL => Class::Full,
        // Shutdown, crash, too many connections, connection exceptions; a primary that has become a standby.
        () if code.starts_with("08")
            || code.starts_with("57P")
            || code.starts_with("53")
            || *state == SqlState::READ_ONLY_SQL_TRANSACTION =>
        {
            Class::Lost
        }
        () if *state == SqlState::QUERY_CANCELED => Class::Again,
        () if code.starts_with("22") || code.starts_with("23") => Class::Data,
        () => Class::Refused,
    }
}

/// One sentence about an error, with what the server said.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        let hint = match *db.code() {
            SqlState::INVALID_PASSWORD => ": check user and password in store.url",
            SqlState::INVALID_CATALOG_NAME => ": create it, or check its name in store.url",
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                ": the server does not let this user in this way (pg_hba.conf); if it wants TLS, add sslmode=require to \
                 store.url"
            }
            SqlState::INSUFFICIENT_PRIVILEGE => {
                ": grant the user CREATE on the database, or let an owner run `migrate up`"
            }
            SqlState::LOCK_NOT_AVAILABLE => {
                ": another transaction keeps the table; `hookfast doctor` shows the oldest one that is open"
            }
            SqlState::TOO_MANY_CONNECTIONS => ": lower store.connections_max or raise max_connections",
            _ => "",
        };
        return format!("{}{hint}", db.message());
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_or_refused_with_a_reason() {
        let target =
            Target::parse("postgres://u:p@db.example:5433/hooks?sslmode=verify-full&connect_timeout=1").unwrap();
        assert_eq!(target.config.get_ssl_mode(), SslMode::Require);
        assert_eq!(target.config.get_dbname(), Some("hooks"));
        for (bad, why) in [
            ("postgres://u@h:port/db", "port"),
            ("postgres:///db", "names no host"),
            ("postgres://u@h/db?sslmode=strange", "sslmode"),
            ("postgres://u@h/db?sslmode=verify-full&sslrootcert=/nowhere/ca.pem", "/nowhere/ca.pem"),
        ] {
            let error = Target::parse(bad).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(why) && error.contains("store.url"), "{bad}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_url_panics(rest in "\\PC{0,40}", query in "((sslmode|sslrootcert|host|port|options)=[a-z0-9%/,-]{0,9}&?){0,4}") {
            for url in [rest.clone(), format!("postgres://{rest}"), format!("postgres://u@h/db?{query}{rest}")] {
                let _ = Target::parse(&url);
            }
        }
    }
}
