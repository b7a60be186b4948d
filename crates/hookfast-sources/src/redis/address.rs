//! Where a Redis or a Sentinel listens, as the configuration writes it. Pure.

use std::fmt;
use std::str::FromStr;

const PORT_DEFAULT: u16 = 6379;

/// `HOST:PORT`, `redis://HOST:PORT/DB`, or `rediss://…` for TLS. User and password are settings of their own, so that
/// an address can be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Name or literal address.
    pub host: String,
    /// Its port; 6379 when none is written.
    pub port: u16,
    /// Over TLS.
    pub tls: bool,
    /// Number of the database; 0 when none is written. Channels do not know databases, streams do.
    pub db: u16,
}

/// A text that is no address of a Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongAddress(&'static str);

impl fmt::Display for WrongAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for WrongAddress {}

impl FromStr for Address {
    type Err = WrongAddress;

    fn from_str(text: &str) -> Result<Self, WrongAddress> {
        let (tls, rest) = match (text.strip_prefix("redis://"), text.strip_prefix("rediss://")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) if text.contains("://") => return Err(WrongAddress("the scheme is redis:// or rediss://")),
            (None, None) => (false, text),
        };
        if rest.contains('@') {
            return Err(WrongAddress("user and password are settings of their own"));
        }
        let (authority, db) = match rest.split_once('/') {
            Some((authority, "")) => (authority, 0),
            Some((authority, db)) => (authority, db.parse().map_err(|_| WrongAddress("the database is a number"))?),
            None => (rest, 0),
        };
        let (host, port) = split_port(authority)?;
        let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '%');
        if host.is_empty() || host.len() > 253 || !host.chars().all(is_good) {
            return Err(WrongAddress("the host is missing or no host"));
        }
        Ok(Self { host: host.to_owned(), port, tls, db })
    }
}

/// Host and port; an IPv6 address with a port stands in brackets.
fn split_port(authority: &str) -> Result<(&str, u16), WrongAddress> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or(WrongAddress("a port follows a colon"))?)),
            None => return Err(WrongAddress("a bracket is not closed")),
        },
        None => match authority.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => (authority, None),
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = port.map_or(Ok(PORT_DEFAULT), str::parse).map_err(|_| WrongAddress("the port is a number"))?;
    if port == 0 { Err(WrongAddress("port 0 is no port")) } else { Ok((host, port)) }
}

impl Address {
    /// The same kind of address elsewhere: what a Sentinel names.
    pub(super) fn at(&self, host: String, port: u16) -> Self {
        Self { host, port, ..self.clone() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tls || self.db != 0 {
            f.write_str(if self.tls { "rediss://" } else { "redis://" })?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)?
        } else {
            write!(f, "{}:{}", self.host, self.port)?
        }
        if self.db == 0 { Ok(()) } else { write!(f, "/{}", self.db) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        let read = |text: &str| text.parse::<Address>().map(|a| (a.host, a.port, a.tls, a.db));
        assert_eq!(read("redis:6379"), Ok(("redis".into(), 6379, false, 0)));
        assert_eq!(read("10.0.0.7"), Ok(("10.0.0.7".into(), 6379, false, 0)));
        assert_eq!(read("redis://cache.example:7000/3"), Ok(("cache.example".into(), 7000, false, 3)));
        assert_eq!(read("rediss://cache.example/"), Ok(("cache.example".into(), 6379, true, 0)));
        assert_eq!(read("[::1]:7000"), Ok(("::1".into(), 7000, false, 0)));
        assert_eq!(read("::1"), Ok(("::1".into(), 6379, false, 0)));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for wrong in
            ["", ":6379", "h:0", "h:port", "h:70000", "http://h", "redis://u:p@h:1", "h/x", "[::1", "[::1]x", "a b"]
        {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_shown_reads_back(text in "(redis|rediss)?(://)?[a-z0-9:.\\[\\]/@]{0,30}") {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse::<Address>(), Ok(address));
            }
        }
    }
}
