//! Tests of the address rules: every block, every spelling, every way around.

use super::*;
use proptest::prelude::*;
use std::net::Ipv6Addr;

fn public_only() -> AddressRules {
    AddressRules::default()
}

fn allowing(nets: &[&str]) -> AddressRules {
    AddressRules::new(nets.iter().map(|net| net.parse().unwrap()).collect(), false, Vec::new()).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Blocks by the IANA registries, written out a second time so that a typing mistake in the table shows.
const NOT_PUBLIC: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "168.63.129.16/32",
    "::/128",
    "::1/128",
    "::/96",
    "::ffff:0:0:0/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/32",
    "2001:2::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:30::/28",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    "4000::/2",
    "8000::/1",
    "::/8",
];

fn first_middle_last(net: &IpNet) -> [IpAddr; 3] {
    match net {
        IpNet::V4(net) => {
            let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
            [first, first + (last - first) / 2, last].map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)))
        }
        IpNet::V6(net) => {
            let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
            [first, first + (last - first) / 2, last].map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)))
        }
    }
}

/// The mapped block holds the whole of IPv4 and the well-known NAT64 prefix most of it: judged by what they carry.
fn is_judged_by_content(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() || v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0])
}

#[test]
fn every_block_is_refused_at_both_ends_and_in_the_middle() {
    let own = NOT_PUBLIC.iter().map(|net| net.parse::<IpNet>().unwrap());
    let mut seen = 0;
    for net in own.chain(blocks::all_blocks()) {
        for ip in first_middle_last(&net) {
            if is_judged_by_content(&ip) && blocks::refusal_v4(last_four(&ip)).is_none() {
                continue;
            }
            assert!(matches!(public_only().vet(ip, 443), Err(Refused::Network(_))), "{ip} of {net}");
            assert!(vet_url(&url_of(ip), false, &public_only()).is_err(), "{ip} of {net}");
            seen += 1;
        }
    }
    assert!(seen > 120, "{seen}");
}

fn last_four(ip: &IpAddr) -> Ipv4Addr {
    match ip {
        IpAddr::V4(v4) => *v4,
        IpAddr::V6(v6) => Ipv4Addr::from_bits(u32::try_from(v6.to_bits() & 0xffff_ffff).unwrap()),
    }
}

fn url_of(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => format!("https://{v4}/"),
        IpAddr::V6(v6) => format!("https://[{v6}]/"),
    }
}

/// One address in every way that WHATWG parsers read it.
fn spellings(v4: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = v4.octets();
    let bits = v4.to_bits();
    let low = bits & 0xffff;
    vec![
        format!("{bits}"),
        format!("0x{bits:x}"),
        format!("0X{bits:08X}"),
        format!("0{bits:o}"),
        format!("{a}.{b}.{low}"),
        format!("{a}.{}", bits & 0xff_ffff),
        format!("0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("{a}.{b}.{c}.{d}."),
        format!("[::ffff:{a}.{b}.{c}.{d}]"),
        format!("[::{a}.{b}.{c}.{d}]"),
        format!("[::ffff:0:{a}.{b}.{c}.{d}]"),
        format!("[64:ff9b::{a}.{b}.{c}.{d}]"),
        format!("[64:ff9b:1::{a}.{b}.{c}.{d}]"),
        format!("[::5efe:{a}.{b}.{c}.{d}]"),
        format!("[2a00:1450::5efe:{a}.{b}.{c}.{d}]"),
        format!("[2a00:1450::200:5efe:{a}.{b}.{c}.{d}]"),
        format!("[2002:{:x}:{low:x}::1]", bits >> 16),
        format!("[2001:0:1::{a}.{b}.{c}.{d}]"),
    ]
}

#[test]
fn no_spelling_of_an_inner_address_gets_through() {
    for net in NOT_PUBLIC.iter().filter_map(|net| net.parse::<ipnet::Ipv4Net>().ok()) {
        for ip in first_middle_last(&IpNet::V4(net)) {
            for spelling in spellings(last_four(&ip)) {
                let url = format!("http://{spelling}/hook");
                assert!(vet_url(&url, false, &public_only()).is_err(), "{url} is {ip}");
            }
        }
    }
}

#[test]
fn public_addresses_are_allowed() {
    let good = ["1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255"];
    let more =
        ["128.0.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0", "223.255.255.255"];
    let v6 = ["2606:4700::1111", "2a00:1450:4001:831::200e", "2001:4860:4860::8888", "2001:200::1", "64:ff9b::8.8.8.8"];
    let odd = ["::ffff:8.8.8.8", "2a00:1450::5efe:8.8.8.8", "198.17.255.255", "198.20.0.0", "3ffe:ffff::1"];
    for text in good.iter().chain(&more).chain(&v6).chain(&odd) {
        assert_eq!(public_only().vet(ip(text), 443), Ok(()), "{text}");
    }
}

#[test]
fn the_network_that_is_opened_is_open_and_its_neighbour_is_not() {
    let rules = allowing(&["10.1.0.0/16", "fd00:1::/32"]);
    for text in ["10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd00:1::5"] {
        assert_eq!(rules.vet(ip(text), 443), Ok(()), "{text}");
        assert_eq!(rules.vet(ip(text), 6379), if text.starts_with("64") { Err(Refused::Port(6379)) } else { Ok(()) });
    }
    for text in ["10.0.255.255", "10.2.0.0", "127.0.0.1", "::1", "fd00:2::1", "64:ff9b::10.2.0.1", "2002:0a01:0203::1"]
    {
        assert!(matches!(rules.vet(ip(text), 443), Err(Refused::Network(_))), "{text}");
    }
    assert_eq!(rules.vet(ip("10.1.0.1"), 0), Err(Refused::Port(0)));
}

#[test]
fn a_network_of_everything_is_refused() {
    for net in ["0.0.0.0/0", "::/0"] {
        assert!(AddressRules::new(vec![net.parse().unwrap()], false, Vec::new()).is_err());
    }
}

#[test]
fn loopback_is_open_only_when_said() {
    let open = AddressRules::new(Vec::new(), true, Vec::new()).unwrap();
    for text in ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1"] {
        assert_eq!(open.vet(ip(text), 9000), Ok(()), "{text}");
        assert!(public_only().vet(ip(text), 9000).is_err(), "{text}");
    }
    for text in ["0.0.0.0", "::", "10.0.0.1", "169.254.169.254", "64:ff9b::127.0.0.1", "::7f00:1", "2002:7f00:1::"] {
        assert!(open.vet(ip(text), 9000).is_err(), "{text}");
    }
    assert_eq!(open.vet(ip("127.0.0.1"), 6379), Err(Refused::Port(6379)));
    assert_eq!(open.vet(ip("127.0.0.1"), 22), Err(Refused::Port(22)));
}

#[test]
fn our_own_addresses_are_refused_even_in_an_open_network() {
    let own = ["198.51.100.7:443", "0.0.0.0:8071", "127.0.0.1:9000", "[::]:8072"].map(|text| text.parse().unwrap());
    let nets = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap(), "198.51.100.0/24".parse().unwrap()];
    let mut rules = AddressRules::new(nets, true, own.to_vec()).unwrap();
    for (text, port) in [
        ("198.51.100.7", 443),
        ("::ffff:198.51.100.7", 443),
        ("127.0.0.1", 8071),
        ("127.9.9.9", 8071),
        ("::1", 8071),
        ("127.0.0.1", 9000),
        ("::ffff:127.0.0.1", 9000),
        ("127.0.0.1", 8072),
    ] {
        assert_eq!(rules.vet(ip(text), port), Err(Refused::Own), "{text} {port}");
    }
    assert_eq!(rules.vet(ip("127.0.0.1"), 9001), Ok(()));
    rules.deny("127.0.0.1:9001".parse().unwrap());
    assert_eq!(rules.vet(ip("127.0.0.1"), 9001), Err(Refused::Own));
    assert_eq!(rules.vet(ip("127.0.0.2"), 9000), Ok(()));
}

#[test]
fn one_bad_answer_refuses_the_host_whole() {
    let rules = public_only();
    assert_eq!(rules.vet_all(&[ip("8.8.8.8"), ip("2606:4700::1111")], 443), Ok(()));
    assert!(rules.vet_all(&[ip("8.8.8.8"), ip("127.0.0.1")], 443).is_err());
    assert!(rules.vet_all(&[ip("8.8.8.8"), ip("::1")], 443).is_err());
    assert_eq!(rules.vet_all(&[], 443), Err(Refused::NoAddress));
}

#[test]
fn ports_of_other_services_are_refused() {
    for port in [0, 1, 22, 25, 79, 81, 442, 444, 1023, 2181, 3306, 5432, 6379, 9092, 11211, 27017] {
        assert_eq!(public_only().vet(ip("8.8.8.8"), port), Err(Refused::Port(port)));
        assert!(vet_url(&format!("https://example.com:{port}/"), false, &public_only()).is_err());
    }
    for port in [80, 443, 1024, 3000, 5000, 8000, 8080, 8443, 9000, 65535] {
        assert_eq!(public_only().vet(ip("8.8.8.8"), port), Ok(()));
        assert!(vet_url(&format!("https://example.com:{port}/"), false, &public_only()).is_ok());
    }
    // Behind a name may lie an opened network; its addresses are vetted when dialled.
    assert!(vet_url("http://receiver:25/", false, &allowing(&["10.0.0.0/8"])).is_ok());
    assert!(vet_url("http://receiver:0/", false, &allowing(&["10.0.0.0/8"])).is_err());
}

#[test]
fn urls_come_back_in_their_normal_form() {
    for (text, normal) in [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://Example.COM:443/a?b=c#d", "https://example.com/a?b=c"),
        ("http://example.com:8080/A/../b?x=%20y", "http://example.com:8080/b?x=%20y"),
        ("https://xn--mnchen-3ya.example/ü", "https://xn--mnchen-3ya.example/%C3%BC"),
        ("https://example.com./h", "https://example.com./h"),
        ("http://0x8.8.8.010/", "http://8.8.8.8/"),
    ] {
        assert_eq!(vet_url(text, false, &public_only()).as_deref(), Ok(normal), "{text}");
    }
}

#[test]
fn urls_that_parsers_disagree_about_are_refused() {
    for text in [
        "",
        "example.com",
        "//example.com/",
        "http:example.com",
        "http:/example.com",
        "http:///example.com",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "javascript:alert(1)",
        "http://user@example.com/",
        "http://user:pass@example.com/",
        "http://good.example\\@evil.example/",
        "http://exa\tmple.com/",
        "http://example.com/\n",
        " http://example.com/",
        "http://exa mple.com/",
        "http://example.com/%00",
        "http://example.com%00.evil/",
        "http://ex%61mple.com/",
        "http://ex\u{0430}mple.com/",
        "http://127\u{3002}0\u{3002}0\u{3002}1/",
        "http://\u{ff11}27.0.0.1/",
        "http://[fe80::1%25eth0]/",
        "http://[::1/",
        "http://[v1.x]/",
        "http://example.com:0/",
        "http://example.com:99999/",
        "http://example.com:x/",
        "http://a..b/",
        "http://./",
        "http://256.256.256.256/",
        "http://1.2.3.4.5/",
    ] {
        assert!(vet_url(text, false, &public_only()).is_err(), "{text:?}");
    }
    assert!(vet_url(&format!("http://{}.com/", "a".repeat(64)), false, &public_only()).is_err());
    assert!(vet_url(&format!("http://e.com/{}", "a".repeat(2048)), false, &public_only()).is_err());
    assert!(vet_url(&format!("http://e.com/{}", "ü".repeat(700)), false, &public_only()).is_err());
}

#[test]
fn names_that_mean_the_inside_are_judged_at_once() {
    let open = AddressRules::new(Vec::new(), true, Vec::new()).unwrap();
    for text in ["http://localhost:9000/", "http://LOCALHOST.:9000/", "http://a.localhost:9000/"] {
        assert!(vet_url(text, false, &public_only()).is_err(), "{text}");
        assert!(vet_url(text, false, &open).is_ok(), "{text}");
    }
    for net in ["127.0.0.0/8", "::1/128"] {
        assert!(vet_url("http://localhost:9000/", false, &allowing(&[net])).is_ok(), "{net}");
    }
    for text in ["http://metadata.google.internal/", "http://metadata.goog./", "http://instance-data/"] {
        assert!(vet_url(text, false, &open).is_err(), "{text}");
    }
    assert!(vet_url("http://notlocalhost:9000/", false, &public_only()).is_ok());
}

#[test]
fn http_is_refused_when_only_https_is_allowed() {
    assert!(vet_url("http://example.com/", true, &public_only()).is_err());
    assert!(vet_url("https://example.com/", true, &public_only()).is_ok());
}

proptest! {
    #[test]
    fn no_text_panics_and_what_passes_passes_again(text in "(https?://)?[\\PC]{0,60}") {
        if let Ok(normal) = vet_url(&text, false, &public_only()) {
            prop_assert_eq!(vet_url(&normal, false, &public_only()), Ok(normal));
        }
    }

    /// Whatever the spelling: a literal that the parser reads as an address is judged as that address.
    #[test]
    fn every_spelling_is_judged_as_the_address_it_is(bits: u32) {
        let v4 = Ipv4Addr::from_bits(bits);
        let expected = public_only().vet(IpAddr::V4(v4), 443).is_ok();
        for spelling in &spellings(v4)[..10] {
            let allowed = vet_url(&format!("https://{spelling}/"), false, &public_only()).is_ok();
            prop_assert_eq!(allowed, expected, "{}", spelling);
        }
    }

    #[test]
    fn only_global_unicast_is_public(bits: u128) {
        let v6 = Ipv6Addr::from_bits(bits);
        if public_only().vet(IpAddr::V6(v6), 443).is_ok() {
            prop_assert!(v6.segments()[0] >> 13 == 1 || is_judged_by_content(&IpAddr::V6(v6)));
        }
    }
}
