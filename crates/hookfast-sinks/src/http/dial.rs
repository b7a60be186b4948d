//! From a target to a connection: resolve once, vet every address, connect to a vetted one, check the peer, shake
//! hands. No proxy is read from the environment. Must not know requests.

use super::answer::{Failure, Stage};
use super::metrics::{Counters, count};
use super::resolve::Resolve;
use super::stream::Transport;
use hookfast_core::address::{AddressRules, Host, LOCALHOST, Target};
use hookfast_core::delivery::Cause;
use rustls::pki_types::ServerName;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

/// Of a host's addresses so many are tried.
const ADDRESSES_TRIED_MAX: usize = 4;

/// Makes connections under the address rules.
pub(super) struct Dialler {
    pub(super) rules: AddressRules,
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) tls: TlsConnector,
    pub(super) connect_timeout: Duration,
    pub(super) dns_timeout: Duration,
    pub(super) counters: Arc<Counters>,
}

impl Dialler {
    /// A new connection to the target. `stage` follows what is being done, for whoever gives up meanwhile.
    pub(super) async fn dial(&self, target: &Target, stage: &mut Stage) -> Result<Transport, Failure> {
        let dialled = self.dial_steps(target, stage).await;
        let counter = match &dialled {
            Ok(_) => &self.counters.opened,
            Err(failure) => match failure.cause {
                Cause::Dns => &self.counters.failed_dns,
                Cause::BlockedAddress => &self.counters.blocked,
                Cause::Tls => &self.counters.failed_tls,
                _ => &self.counters.failed_connect,
            },
        };
        count(counter);
        dialled
    }

    async fn dial_steps(&self, target: &Target, stage: &mut Stage) -> Result<Transport, Failure> {
        *stage = Stage::Resolving;
        let mut addresses = self.addresses(target).await?;
        self.rules.vet_all(&addresses, target.port).map_err(|refused| blocked(&refused))?;
        // Many machines have IPv6 addresses and no way out by them.
        addresses.sort_by_key(IpAddr::is_ipv6);
        *stage = Stage::Connecting;
        let deadline = Instant::now() + self.connect_timeout;
        let stream = self.connect(&addresses, target.port, deadline).await?;
        if !target.https {
            return Ok(Transport::Plain(stream));
        }
        *stage = Stage::Handshaking;
        let name = server_name(&target.host)?;
        match timeout_at(deadline, self.tls.connect(name, stream)).await {
            Ok(Ok(stream)) => Ok(Transport::Tls(Box::new(stream))),
            Ok(Err(error)) => Err(Failure::new(Cause::Tls, format!("the TLS handshake failed: {error}"))),
            Err(_) => Err(Failure::new(Cause::Tls, "the TLS handshake took too long")),
        }
    }

    async fn addresses(&self, target: &Target) -> Result<Vec<IpAddr>, Failure> {
        match &target.host {
            Host::Ip(ip) => Ok(vec![*ip]),
            Host::Localhost => Ok(self.localhost(target.port)),
            Host::Name(name) => {
                count(&self.counters.dns_lookups);
                match timeout(self.dns_timeout, self.resolver.resolve(name)).await {
                    Ok(Ok(addresses)) if addresses.is_empty() => {
                        Err(Failure::new(Cause::Dns, "the host name has no address"))
                    }
                    Ok(answer) => answer,
                    Err(_) => Err(Failure::new(Cause::Dns, "the name servers did not answer in time")),
                }
            }
        }
    }

    /// Nobody answered for `localhost`, so no answer can be bad: of its addresses those count that may be dialled.
    fn localhost(&self, port: u16) -> Vec<IpAddr> {
        let open: Vec<IpAddr> = LOCALHOST.into_iter().filter(|ip| self.rules.vet(*ip, port).is_ok()).collect();
        if open.is_empty() { LOCALHOST.to_vec() } else { open }
    }

    /// Tries vetted addresses in turn; each gets a fair part of the time that is left.
    async fn connect(&self, addresses: &[IpAddr], port: u16, deadline: Instant) -> Result<TcpStream, Failure> {
        let tried = &addresses[..addresses.len().min(ADDRESSES_TRIED_MAX)];
        let mut last = Failure::new(Cause::Connect, "no connection: timed out");
        for (index, ip) in tried.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(tried.len() - index).unwrap_or(1);
            match timeout(share, TcpStream::connect(SocketAddr::new(*ip, port))).await {
                Ok(Ok(stream)) => return self.checked(stream, *ip, port),
                Ok(Err(error)) => last = Failure::new(Cause::Connect, format!("no connection: {}", error.kind())),
                Err(_) => last = Failure::new(Cause::Connect, "no connection: timed out"),
            }
        }
        Err(last)
    }

    /// The peer must be the address that was vetted, and still be allowed.
    fn checked(&self, stream: TcpStream, ip: IpAddr, port: u16) -> Result<TcpStream, Failure> {
        let unusable = |_| Failure::new(Cause::Connect, "the connection broke at once");
        let peer = stream.peer_addr().map_err(unusable)?;
        if peer.ip().to_canonical() != ip.to_canonical() || peer.port() != port {
            return Err(Failure::new(Cause::BlockedAddress, "the connection led to another address than was dialled"));
        }
        self.rules.vet(peer.ip(), port).map_err(|refused| blocked(&refused))?;
        stream.set_nodelay(true).map_err(unusable)?;
        Ok(stream)
    }
}

fn blocked(refused: &hookfast_core::address::Refused) -> Failure {
    Failure::new(Cause::BlockedAddress, refused.to_string())
}

fn server_name(host: &Host) -> Result<ServerName<'static>, Failure> {
    match host {
        Host::Ip(ip) => Ok(ServerName::from(*ip)),
        Host::Localhost => named("localhost"),
        Host::Name(name) => named(name),
    }
}

fn named(name: &str) -> Result<ServerName<'static>, Failure> {
    ServerName::try_from(name.to_owned())
        .map_err(|_| Failure::new(Cause::Tls, "the host name cannot stand in a certificate"))
}
