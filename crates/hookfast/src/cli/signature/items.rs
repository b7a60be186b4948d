//! The signatures in one header, each for itself: which one holds, or what is wrong with each. Must not print a secret.

use super::checks::{Fault, Held, Key, line_break_slip, shown};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookfast_signing::{ITEMS_MAX, SignatureHeaders, Verifier};

/// The first signature that holds, whatever its age.
pub(super) fn find(
    name: &'static str,
    keys: &[Key],
    headers: &SignatureHeaders<'_>,
    body: &[u8],
) -> Result<Held, Fault> {
    let items: Vec<&str> = headers.signature.split(' ').filter(|item| !item.is_empty()).collect();
    let verifier = Verifier::new(keys.iter().map(|key| key.verifying.clone()));
    let holds = |item: &str, body: &[u8]| {
        let alone = SignatureHeaders { signature: item, ..*headers };
        verifier.verify_of_any_age(&alone, body).is_ok()
    };
    if let Some(index) = items.iter().take(ITEMS_MAX).position(|item| holds(item, body)) {
        let version = if items[index].starts_with("v1a,") { "v1a" } else { "v1" };
        return Ok(Held { version, position: index + 1, of: items.len(), stamp: None });
    }
    let faults: Vec<String> = items.iter().take(ITEMS_MAX).map(|item| fault_of(item, keys)).collect();
    let mut text = match faults.as_slice() {
        [one] => one.clone(),
        all => all
            .iter()
            .enumerate()
            .map(|(index, fault)| format!("signature {}: {fault}", index + 1))
            .collect::<Vec<_>>()
            .join("; "),
    };
    if items.len() > ITEMS_MAX {
        text.push_str(&format!("; {} signatures, only the first {ITEMS_MAX} are looked at", items.len()));
    }
    if faults.iter().any(|fault| fault == ANOTHER) {
        text.push_str(&checked(headers, body));
        text.push_str(&slip(&items, keys, headers, body, holds).unwrap_or_default());
    }
    Err(Fault::new(name, text))
}

const ANOTHER: &str = "made with another secret, or id, timestamp or body are not those that were signed";

/// What is wrong with one signature that does not hold.
fn fault_of(item: &str, keys: &[Key]) -> String {
    let Some((version, encoded)) = item.split_once(',') else {
        return format!("expected `v1,` or `v1a,` and base64, found {}", shown(item));
    };
    let bytes = match version {
        "v1" => 32,
        "v1a" => 64,
        _ => return format!("{} is no known version, expected v1 or v1a", shown(version)),
    };
    match STANDARD.decode(encoded) {
        Err(error) => format!("malformed base64 after `{version},`: {error}"),
        Ok(decoded) if decoded.len() != bytes => {
            format!("expected {bytes} bytes after `{version},`, found {} bytes", decoded.len())
        }
        Ok(_) if keys.iter().all(|key| key.version != version) => match version {
            "v1" => "it is v1 (HMAC), which needs a whsec_ secret; an ed25519 key was given".into(),
            _ => "it is v1a (ed25519), which needs a whsk_ or whpk_ key; a whsec_ secret was given".into(),
        },
        Ok(_) => ANOTHER.into(),
    }
}

fn checked(headers: &SignatureHeaders<'_>, body: &[u8]) -> String {
    let (id, timestamp) = (headers.id, headers.timestamp);
    let whole = id.len() + timestamp.len() + body.len() + 2;
    let lengths = format!("{} + 1 + {} + 1 + {} = {whole} bytes", id.len(), timestamp.len(), body.len());
    format!("; checked was {{id}}.{{timestamp}}.{{body}}, {lengths}: {}", shown(&format!("{id}.{timestamp}.")))
}

/// Slips that can be proved, because the signature holds once they are undone.
fn slip(
    items: &[&str],
    keys: &[Key],
    headers: &SignatureHeaders<'_>,
    body: &[u8],
    holds: impl Fn(&str, &[u8]) -> bool,
) -> Option<String> {
    let any = |body: &[u8]| items.iter().take(ITEMS_MAX).any(|item| holds(item, body));
    if let Some(hint) = line_break_slip(body, any) {
        return Some(hint.into());
    }
    let by_text = Verifier::new(keys.iter().flat_map(|key| key.of_text.iter().cloned()));
    by_text.verify_of_any_age(headers, body).is_ok().then(|| {
        "; it holds when the text of the secret itself is the key: the sender must decode the base64 after whsec_"
            .into()
    })
}
