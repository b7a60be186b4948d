//! The plain signature `x-webhook-signature: hex(HMAC-SHA256(body, secret as text))`. It covers neither id nor time:
//! it exists for receivers that know nothing else.

use crate::Error;
use crate::signer::keyed;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Signs and verifies bodies with one secret; keyed once, so keep it.
#[derive(Clone)]
pub struct BodyHexKey(Box<Hmac<Sha256>>);

impl BodyHexKey {
    /// The header that carries the signature.
    pub const HEADER: &'static str = "x-webhook-signature";

    /// From the secret as its owner writes it, prefix and all.
    ///
    /// # Errors
    /// When it is empty.
    pub fn new(secret: &str) -> Result<Self, Error> {
        if secret.is_empty() { Err(Error::Length) } else { Ok(Self(Box::new(keyed(secret.as_bytes())))) }
    }

    /// Appends 64 lower-case hexadecimal digits to `out`.
    pub fn sign_into(&self, out: &mut String, body: &[u8]) {
        out.reserve(64);
        for byte in self.mac(body) {
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }

    /// Checks a signature, of either letter case, in constant time.
    ///
    /// # Errors
    /// [`Error::NoMatch`].
    pub fn verify(&self, signature: &str, body: &[u8]) -> Result<(), Error> {
        let claimed = decode_hex(signature).ok_or(Error::NoMatch)?;
        if bool::from(self.mac(body).ct_eq(&claimed)) { Ok(()) } else { Err(Error::NoMatch) }
    }

    fn mac(&self, body: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::clone(&self.0);
        mac.update(body);
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for BodyHexKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyHexKey(***)")
    }
}

fn decode_hex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let text = text.as_bytes();
    if text.len() != 64 {
        return None;
    }
    let mut bytes = [0u8; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 4231, test case 2.
    #[test]
    fn it_is_hmac_sha256_in_hexadecimal() {
        let key = BodyHexKey::new("Jefe").unwrap();
        let mut signature = String::new();
        key.sign_into(&mut signature, b"what do ya want for nothing?");
        assert_eq!(signature, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert_eq!(key.verify(&signature.to_uppercase(), b"what do ya want for nothing?"), Ok(()));
        assert_eq!(key.verify(&signature, b"what do ya want for nothing"), Err(Error::NoMatch));
        assert!(BodyHexKey::new("").is_err());
    }

    proptest! {
        #[test]
        fn what_is_signed_verifies_and_nothing_else_does(
            secret in ".{1,100}", body: Vec<u8>, at in 0usize..64, junk in "\\PC{0,70}",
        ) {
            let key = BodyHexKey::new(&secret).unwrap();
            let mut signature = String::new();
            key.sign_into(&mut signature, &body);
            prop_assert_eq!(key.verify(&signature, &body), Ok(()));
            let mut changed = signature.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            prop_assert!(key.verify(std::str::from_utf8(&changed).unwrap(), &body).is_err());
            prop_assert!(key.verify(&junk, &body).is_err());
        }
    }
}
