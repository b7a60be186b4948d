//! Signing and verification of webhooks by Standard Webhooks 1.0 (`v1`: HMAC-SHA256, `v1a`: ed25519), under the
//! `webhook-*` and the `svix-*` header names, and the plain `x-webhook-signature` over the body alone.
//!
//! Pure: it does no I/O, reads no clock and makes no random numbers; time and randomness come in as arguments. It
//! must not know where events come from or how they are sent.
//!
//! ```
//! use hookfast_signing::{Secret, SignatureHeaders, Verifier};
//! let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
//! let mut signature = String::new();
//! secret.signer().sign_into(&mut signature, "msg_1", "1614265330", b"{}")?;
//! let headers = SignatureHeaders { id: "msg_1", timestamp: "1614265330", signature: &signature };
//! Verifier::new([secret.verifying_key()]).verify(&headers, b"{}", 1_614_265_330)?;
//! # Ok::<(), hookfast_signing::Error>(())
//! ```

mod body_hex;
mod content;
mod error;
mod secret;
mod signer;
mod verifier;

pub use body_hex::BodyHexKey;
pub use error::{Error, ErrorKind};
pub use secret::{PublicKey, Secret};
pub use signer::{Signer, sign_all_into};
pub use verifier::{HEADER_BYTES_MAX, ITEMS_MAX, SignatureHeaders, TOLERANCE_S, Verifier, VerifyingKey};

/// Fewest bytes of a symmetric secret.
pub const SECRET_BYTES_MIN: usize = 24;
/// Most bytes of a symmetric secret: the specification says 64, the range seen in the wild goes to 75.
pub const SECRET_BYTES_MAX: usize = 75;
/// Longest id of an event that is signed or verified.
pub const ID_BYTES_MAX: usize = 256;
