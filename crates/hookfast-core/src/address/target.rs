//! From the text of an endpoint's URL to what is dialled. Must not resolve names.

use super::{AddressRules, Refused};
use crate::limits::URL_BYTES_MAX;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::Url;

/// The host of a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A literal address, however it was spelt.
    Ip(IpAddr),
    /// `localhost` or a name below it: loopback by definition, never asked of a name server.
    Localhost,
    /// A name, lower case, without a dot at its end.
    Name(String),
}

/// A checked URL: what is dialled, and the URL in its normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// https rather than http.
    pub https: bool,
    /// Whom.
    pub host: Host,
    /// On which port.
    pub port: u16,
    /// In its normal form, without fragment.
    pub url: Url,
}

/// What `localhost` means. A rule may open one of the two alone.
pub const LOCALHOST: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Names under which clouds serve metadata on a link-local address.
const METADATA_NAMES: [&str; 4] =
    ["metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"];

/// Checks the URL of an endpoint and gives it back in its normal form.
///
/// Literal addresses and `localhost` are judged here; the addresses behind other names when they are dialled.
///
/// # Errors
/// The reason why it may not be used.
pub fn vet_url(text: &str, https_only: bool, rules: &AddressRules) -> Result<String, Refused> {
    let target = parse_url(text, https_only)?;
    match &target.host {
        Host::Ip(ip) => rules.vet(*ip, target.port)?,
        Host::Localhost => rules.vet(LOCALHOST[1], target.port).or_else(|_| rules.vet(LOCALHOST[0], target.port))?,
        Host::Name(name) if METADATA_NAMES.contains(&name.as_str()) => {
            rules.vet(IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), target.port)?;
        }
        Host::Name(_) => rules.vet_name_port(target.port)?,
    }
    Ok(target.url.into())
}

/// Parses the URL of an endpoint, strictly: what different parsers would read differently is refused.
///
/// # Errors
/// The reason why it is not a URL that hookfast sends to. Addresses are not judged here.
pub fn parse_url(text: &str, https_only: bool) -> Result<Target, Refused> {
    check_text(text)?;
    let (https, rest) = split_scheme(text)?;
    if https_only && !https {
        return Err(Refused::Url("only https URLs are allowed here"));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    check_authority(authority)?;
    let mut url = Url::parse(text).map_err(|_| Refused::Url("the host or port of the URL is not valid"))?;
    url.set_fragment(None);
    if url.as_str().len() > URL_BYTES_MAX {
        return Err(Refused::Url("the URL is longer than 2048 bytes"));
    }
    let host = match url.host() {
        Some(url::Host::Ipv4(ip)) => Host::Ip(IpAddr::V4(ip)),
        Some(url::Host::Ipv6(ip)) => Host::Ip(IpAddr::V6(ip)),
        Some(url::Host::Domain(name)) => name_host(name)?,
        None => return Err(Refused::Url("the URL has no host")),
    };
    let port = url.port_or_known_default().filter(|port| *port != 0).ok_or(Refused::Port(0))?;
    Ok(Target { https, host, port, url })
}

fn check_text(text: &str) -> Result<(), Refused> {
    if text.len() > URL_BYTES_MAX {
        return Err(Refused::Url("the URL is longer than 2048 bytes"));
    }
    // Parsers drop tabs and line ends and turn backslashes around, each in its own way.
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return Err(Refused::Url("the URL contains a space, a control character or a backslash"));
    }
    if text.contains("%00") {
        return Err(Refused::Url("the URL contains an encoded NUL"));
    }
    Ok(())
}

fn split_scheme(text: &str) -> Result<(bool, &str), Refused> {
    for (scheme, https) in [("http://", false), ("https://", true)] {
        if let Some((head, rest)) = text.split_at_checked(scheme.len())
            && head.eq_ignore_ascii_case(scheme)
        {
            return Ok((https, rest));
        }
    }
    Err(Refused::Url("the URL must start with http:// or https://"))
}

fn check_authority(authority: &str) -> Result<(), Refused> {
    if authority.is_empty() {
        return Err(Refused::Url("the URL has no host"));
    }
    if authority.contains('@') {
        return Err(Refused::Url("the URL contains credentials: set an authorization header on the endpoint instead"));
    }
    if !authority.is_ascii() || authority.contains('%') {
        return Err(Refused::Url("the host must be written in ASCII (an international name in its xn-- form)"));
    }
    Ok(())
}

fn name_host(name: &str) -> Result<Host, Refused> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.len() > 253 || name.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return Err(Refused::Url("the host is not a valid name"));
    }
    if name == "localhost" || name.ends_with(".localhost") {
        return Ok(Host::Localhost);
    }
    Ok(Host::Name(name.to_owned()))
}
