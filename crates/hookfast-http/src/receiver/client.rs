//! Who is asking: the address that limits are counted by. Must not believe what anybody but a trusted proxy says.

use crate::server::Peer;
use http::{Extensions, HeaderMap, HeaderName};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Stands for everybody who comes by a socket without addresses.
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// Whoever has one address of an IPv6 network of this size has them all.
const V6_NETWORK_BITS: u32 = 64;

/// The client of a request: who connected, unless that is a trusted proxy. Then it is the last address in
/// `X-Forwarded-For` that is no trusted proxy itself: what stands before it was said by a stranger. Where a proxy says
/// nothing that can be read, it is the proxy.
pub(super) fn address(extensions: &Extensions, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut client = extensions.get::<Peer>().map_or(LOCAL, |peer| peer.0.to_canonical());
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut hops = headers.get_all(FORWARDED_FOR).iter().rev().flat_map(|value| {
        // What is no text names nobody, and what stands before it cannot be believed.
        value.to_str().unwrap_or_default().rsplit(',')
    });
    while is_trusted(client) {
        let Some(before) = hops.next().and_then(parse) else { break };
        client = before;
    }
    network_of(client)
}

/// An address as proxies write it: bare, with a port, in brackets.
fn parse(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().or_else(|_| hop.parse::<SocketAddr>().map(|socket| socket.ip())).ok()?;
    Some(IpAddr::to_canonical(&address))
}

fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> V6_NETWORK_BITS << V6_NETWORK_BITS).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn of(peer: &str, forwarded: &[&str]) -> String {
        let mut extensions = Extensions::new();
        extensions.insert(Peer(peer.parse().unwrap()));
        let values = forwarded.iter().map(|value| (FORWARDED_FOR, HeaderValue::from_str(value).unwrap()));
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        address(&extensions, &HeaderMap::from_iter(values), &trusted).to_string()
    }

    #[test]
    fn a_stranger_cannot_say_who_it_is() {
        assert_eq!(of("203.0.113.7", &["198.51.100.1"]), "203.0.113.7");
        assert_eq!(of("203.0.113.7", &["10.0.0.1"]), "203.0.113.7");
    }

    #[test]
    fn a_trusted_proxy_is_believed_as_far_as_it_saw() {
        assert_eq!(of("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(of("::ffff:10.0.0.1", &["198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(of("10.0.0.1", &["6.6.6.6, 198.51.100.1, 10.0.0.2"]), "198.51.100.1");
        assert_eq!(of("10.0.0.1", &["6.6.6.6", "198.51.100.1"]), "198.51.100.1");
        assert_eq!(of("fd00::1", &["[2001:db8:1:2:3:4:5:6]:443"]), "2001:db8:1:2::");
    }

    #[test]
    fn a_proxy_that_says_nothing_readable_is_the_client() {
        for said in [&[][..], &[""], &["unknown"], &["198.51.100.1, unknown"], &["198.51.100.1,"]] {
            assert_eq!(of("10.0.0.1", said), "10.0.0.1", "{said:?}");
        }
        assert_eq!(of("10.0.0.1", &["198.51.100.1, bad, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(of("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        assert_eq!(address(&Extensions::new(), &HeaderMap::new(), &[]), LOCAL);
    }

    proptest! {
        #[test]
        fn no_header_panics(bytes in proptest::collection::vec(prop_oneof![Just(b'\t'), 32u8..127, 128u8..=255], 0..80)) {
            let mut extensions = Extensions::new();
            extensions.insert(Peer("10.0.0.1".parse().unwrap()));
            let headers = HeaderMap::from_iter([(FORWARDED_FOR, HeaderValue::from_bytes(&bytes).unwrap())]);
            address(&extensions, &headers, &["10.0.0.0/8".parse().unwrap()]);
        }
    }
}
