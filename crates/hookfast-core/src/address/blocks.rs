//! The blocks of addresses that are not public, and the ports that are not HTTP's. Data, and how it is read; must not
//! know what an operator allows.

use std::net::{Ipv4Addr, Ipv6Addr};

/// IPv4 blocks that are not globally reachable, by the IANA special-purpose registry, and metadata services that
/// live on public addresses.
const V4: [(Ipv4Addr, u32, &str); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private network"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "carrier-grade NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "metadata service"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local or metadata service"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private network"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol assignments"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private network"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(255, 255, 255, 255), 32, "broadcast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// IPv6 blocks with a name of their own; everything else outside of 2000::/3 is refused as well.
const V6: [(Ipv6Addr, u32, &str); 21] = [
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified address"),
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 0), 96, "IPv4-compatible"),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, "IPv4-mapped"),
    (Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96, "IPv4-translated"),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, "local-use NAT64"),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64, "discard only"),
    (Ipv6Addr::new(0x100, 0, 0, 1, 0, 0, 0, 0), 64, "dummy prefix"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, "Teredo"),
    (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48, "benchmarking"),
    (Ipv6Addr::new(0x2001, 0x10, 0, 0, 0, 0, 0, 0), 28, "ORCHID"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "protocol assignments"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "6to4"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "documentation"),
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16, "segment routing"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "unique local or metadata service"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "site-local"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast"),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 0), 8, "reserved"),
];

/// The well-known prefix of NAT64: on a network without IPv4 every IPv4 host is reached by it.
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// Well-known services from port 1024 up that a POST has no business with.
const SERVICE_PORTS: [u16; 33] = [
    1433,  // SQL Server
    1521,  // Oracle
    1883,  // MQTT
    2049,  // NFS
    2181,  // ZooKeeper
    2375,  // Docker
    2376,  // Docker
    2379,  // etcd
    2380,  // etcd
    3306,  // MySQL
    3389,  // RDP
    4222,  // NATS
    4369,  // Erlang port mapper
    5432,  // PostgreSQL
    5433,  // PostgreSQL
    5671,  // AMQP
    5672,  // AMQP
    5900,  // VNC
    5984,  // CouchDB
    6379,  // Redis
    6380,  // Redis
    6432,  // PgBouncer
    6443,  // Kubernetes API
    9042,  // Cassandra
    9092,  // Kafka
    9093,  // Kafka
    9200,  // Elasticsearch
    9300,  // Elasticsearch
    10250, // kubelet
    11211, // memcached
    26379, // Redis Sentinel
    27017, // MongoDB
    27018, // MongoDB
];

/// May HTTP be spoken on this port of a public address?
pub(super) fn is_port_allowed(port: u16) -> bool {
    matches!(port, 80 | 443) || (port >= 1024 && !SERVICE_PORTS.contains(&port))
}

/// The block that makes this address one not to dial; `None` for a public one.
pub(super) fn refusal_v4(ip: Ipv4Addr) -> Option<&'static str> {
    V4.iter().find(|(net, bits, _)| same_bits_v4(ip, *net, *bits)).map(|(_, _, name)| *name)
}

/// The same for IPv6. Addresses that carry an IPv4 address are refused where the form is not public by itself, else
/// judged by what they carry; `opened` tells of a carried one whether it is allowed all the same.
pub(super) fn refusal_v6(ip: Ipv6Addr, opened: impl Fn(Ipv4Addr) -> bool) -> Option<&'static str> {
    let judge = |embedded: Ipv4Addr| if opened(embedded) { None } else { refusal_v4(embedded) };
    let [.., a, b, c, d] = ip.octets();
    let embedded = Ipv4Addr::new(a, b, c, d);
    if same_bits_v6(ip, NAT64.0, NAT64.1) {
        return judge(embedded);
    }
    if let Some((_, _, name)) = V6.iter().find(|(net, bits, _)| same_bits_v6(ip, *net, *bits)) {
        return Some(name);
    }
    if ip.octets()[0] >> 5 != 1 {
        return Some("not global unicast");
    }
    if is_isatap(ip) {
        return judge(embedded);
    }
    None
}

/// ISATAP: `…:[02]00:5efe:a.b.c.d` below any prefix.
fn is_isatap(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    segments[4] & 0xfcff == 0 && segments[5] == 0x5efe
}

fn same_bits_v4(a: Ipv4Addr, b: Ipv4Addr, bits: u32) -> bool {
    (a.to_bits() ^ b.to_bits()).leading_zeros() >= bits
}

fn same_bits_v6(a: Ipv6Addr, b: Ipv6Addr, bits: u32) -> bool {
    (a.to_bits() ^ b.to_bits()).leading_zeros() >= bits
}

#[cfg(test)]
pub(super) fn all_blocks() -> Vec<ipnet::IpNet> {
    let bits = |bits: u32| u8::try_from(bits).unwrap();
    let v4 = V4.iter().map(|(ip, len, _)| ipnet::IpNet::new((*ip).into(), bits(*len)).unwrap());
    let v6 = V6.iter().map(|(ip, len, _)| ipnet::IpNet::new((*ip).into(), bits(*len)).unwrap());
    v4.chain(v6).collect()
}
