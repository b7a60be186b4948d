//! Which headers an endpoint may add to its deliveries. Pure; must not know HTTP libraries.

use crate::limits::HEADER_VALUE_BYTES_MAX;

/// Longest name of such a header, in bytes.
pub const HEADER_NAME_BYTES_MAX: usize = 128;

/// Names that hookfast or the connection itself sets, and that would mislead a receiver or a proxy on the way.
const RESERVED: [&str; 18] = [
    "connection",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "traceparent",
    "tracestate",
    "upgrade",
    "user-agent",
    "x-webhook-signature",
    "via",
];

/// Families of names that belong to hookfast, to the body, or to the clouds' own infrastructure.
const RESERVED_PREFIXES: [&str; 13] = [
    "content-",
    "webhook-",
    "svix-",
    "x-svix-",
    "x-hookfast-",
    "proxy-",
    "x-amz-",
    "x-amzn-",
    "x-google",
    "x-goog-",
    "x-gfe",
    "x-azure-",
    "x-fd-",
];

/// Why an endpoint may not have this header; `None` when it may. Names are compared without regard to case.
#[must_use]
pub fn endpoint_header_refusal(name: &str, value: &str) -> Option<&'static str> {
    if name.is_empty() || name.len() > HEADER_NAME_BYTES_MAX {
        return Some("the name of a header has 1 to 128 characters");
    }
    if !name.bytes().all(is_token) {
        return Some("the name of a header consists of letters, digits and !#$%&'*+-.^_`|~");
    }
    if is_reserved(name) {
        return Some("this header is reserved");
    }
    if value.len() > HEADER_VALUE_BYTES_MAX {
        return Some("the value of a header has at most 4096 bytes");
    }
    if !value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
        return Some("the value of a header consists of printable ASCII characters");
    }
    None
}

/// Characters of a field name, by the grammar of HTTP.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_reserved(name: &str) -> bool {
    let starts_with = |prefix: &&str| name.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
    RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) || RESERVED_PREFIXES.iter().any(starts_with)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reserved_names_are_refused_in_any_case() {
        for name in RESERVED {
            assert!(endpoint_header_refusal(name, "x").is_some(), "{name}");
            assert!(endpoint_header_refusal(&name.to_uppercase(), "x").is_some(), "{name}");
        }
        let more = [
            "Content-Type",
            "content-length",
            "Content-Encoding",
            "Webhook-Id",
            "webhook-signature",
            "Svix-Id",
            "X-Svix-Anything",
            "x-amz-date",
            "X-Amzn-Trace-Id",
            "x-google-a",
            "x-goog-a",
            "X-GFE-x",
            "x-azure-ref",
            "x-fd-healthprobe",
        ];
        for name in more {
            assert!(endpoint_header_refusal(name, "x").is_some(), "{name}");
        }
    }

    #[test]
    fn ordinary_headers_are_allowed() {
        for name in ["authorization", "X-Api-Key", "x-tenant", "cookie", "accept", "x", "contents", "hosts"] {
            assert_eq!(endpoint_header_refusal(name, "Bearer abc, d=\"e\"\t~"), None, "{name}");
        }
        assert_eq!(endpoint_header_refusal("x-empty", ""), None);
        assert_eq!(endpoint_header_refusal("x-long", &"v".repeat(4096)), None);
    }

    #[test]
    fn names_and_values_that_could_split_a_request_are_refused() {
        for name in ["", " x", "x ", "x:", "x\r\ny", "ü", "a b", "x\0", &"n".repeat(129)] {
            assert!(endpoint_header_refusal(name, "v").is_some(), "{name:?}");
        }
        for value in ["a\rb", "a\nb", "a\r\nevil: 1", "\0", "\x7f", "\x1b[0m", "zoë", &"v".repeat(4097)] {
            assert!(endpoint_header_refusal("x-a", value).is_some(), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_allowed_cannot_break_a_line(name in "\\PC{0,20}", value in any::<String>()) {
            if endpoint_header_refusal(&name, &value).is_none() {
                prop_assert!(name.is_ascii() && !name.contains([':', ' ', '\r', '\n']));
                prop_assert!(value.bytes().all(|b| b == b'\t' || (32..127).contains(&b)));
            }
        }
    }
}
