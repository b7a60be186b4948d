//! Which addresses may be dialled: the rules against requests into the inside of a network. Pure: it resolves no
//! names and knows no interfaces; whoever dials passes every resolved address through [`AddressRules::vet_all`].

mod blocks;
mod target;

pub use target::{Host, LOCALHOST, Target, parse_url, vet_url};

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Why an address or a URL may not be dialled. The text names no resolved address: it is shown to tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The address lies in a block that is not public.
    #[error("the address is not a public one ({0}); the operator can open networks with allow_networks")]
    Network(&'static str),
    /// The port belongs to something else than HTTP.
    #[error("port {0} is not allowed: use 80, 443, or one from 1024 up that no well-known service uses")]
    Port(u16),
    /// It is an address of hookfast itself or of what it depends on.
    #[error("the address belongs to hookfast itself")]
    Own,
    /// The host name resolved to nothing.
    #[error("the host has no address")]
    NoAddress,
    /// The URL itself is wrong.
    #[error("{0}")]
    Url(&'static str),
}

/// A network in `allow_networks` that would allow everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} would allow every address; name the networks that are meant")]
pub struct AllowsAll(pub IpNet);

/// Which addresses may be dialled. The default allows public addresses only.
#[derive(Clone, Debug, Default)]
pub struct AddressRules {
    allow: Vec<IpNet>,
    allow_loopback: bool,
    deny: Vec<SocketAddr>,
}

impl AddressRules {
    /// Rules that besides public addresses open the networks `allow` (on every port), and loopback if
    /// `allow_loopback` (on the ports that are allowed in public).
    ///
    /// `deny` are hookfast's own listeners, store, log and Redis: refused always. An entry with an unspecified
    /// address (`0.0.0.0:8071`) denies that port on loopback; add the interfaces' addresses for the rest.
    ///
    /// # Errors
    /// When `allow` contains a network of prefix length 0.
    pub fn new(allow: Vec<IpNet>, allow_loopback: bool, deny: Vec<SocketAddr>) -> Result<Self, AllowsAll> {
        match allow.iter().find(|net| net.prefix_len() == 0) {
            Some(net) => Err(AllowsAll(*net)),
            None => Ok(Self { allow, allow_loopback, deny }),
        }
    }

    /// Adds an address that is refused always, such as a listener whose port was only known after binding.
    pub fn deny(&mut self, address: SocketAddr) {
        self.deny.push(address);
    }

    /// May this address be dialled on this port?
    ///
    /// # Errors
    /// The reason why not.
    pub fn vet(&self, ip: IpAddr, port: u16) -> Result<(), Refused> {
        // The operating system dials an IPv4-mapped address as the IPv4 address inside.
        let dialled = ip.to_canonical();
        if self.is_denied(dialled, port) {
            return Err(Refused::Own);
        }
        if self.allow.iter().any(|net| net.contains(&dialled) || net.contains(&ip)) {
            return if port == 0 { Err(Refused::Port(port)) } else { Ok(()) };
        }
        if !(self.allow_loopback && dialled.is_loopback()) {
            self.vet_block(dialled)?;
        }
        if blocks::is_port_allowed(port) { Ok(()) } else { Err(Refused::Port(port)) }
    }

    /// May all of these addresses of one host be dialled? One bad address refuses the host whole.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn vet_all(&self, ips: &[IpAddr], port: u16) -> Result<(), Refused> {
        if ips.is_empty() {
            return Err(Refused::NoAddress);
        }
        ips.iter().try_for_each(|ip| self.vet(*ip, port))
    }

    /// Could a host that is known by name only be allowed on this port? Its addresses are vetted when it is dialled.
    ///
    /// # Errors
    /// When no address could be.
    fn vet_name_port(&self, port: u16) -> Result<(), Refused> {
        if blocks::is_port_allowed(port) || (port != 0 && !self.allow.is_empty()) {
            Ok(())
        } else {
            Err(Refused::Port(port))
        }
    }

    fn vet_block(&self, ip: IpAddr) -> Result<(), Refused> {
        match ip {
            IpAddr::V4(v4) => blocks::refusal_v4(v4),
            IpAddr::V6(v6) => blocks::refusal_v6(v6, |embedded: Ipv4Addr| {
                // What lies behind a translator is open if the operator opened it, but its loopback is not ours.
                self.allow.iter().any(|net| net.contains(&IpAddr::V4(embedded)))
            }),
        }
        .map_or(Ok(()), |block| Err(Refused::Network(block)))
    }

    fn is_denied(&self, ip: IpAddr, port: u16) -> bool {
        self.deny.iter().any(|denied| {
            let own = denied.ip().to_canonical();
            denied.port() == port && (own == ip || (own.is_unspecified() && (ip.is_loopback() || ip.is_unspecified())))
        })
    }
}

#[cfg(test)]
mod tests;
