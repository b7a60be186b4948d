//! Named limits with their units and defaults. Everything that can grow has one.

/// Greatest body of an event that is accepted, in bytes.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Of a receiver's answer this much is kept, and reading stops there.
pub const EXCERPT_BYTES_MAX: usize = 16 << 10;
/// Greatest page of any list.
pub const PAGE_ROWS_MAX: u32 = 250;
/// Most rows of each table that a store looks at for one page of a list with a filter.
pub const LOOKED_AT_MAX: u32 = 5_000;
/// Page of a list when none is asked for.
pub const PAGE_ROWS_DEFAULT: u32 = 50;
/// Greatest number of old secrets that still sign.
pub const OLD_SECRETS_MAX: usize = 10;
/// Longest uid, event id, event type.
pub const NAME_CHARS_MAX: usize = 256;
/// Longest channel name.
pub const CHANNEL_CHARS_MAX: usize = 128;
/// Longest name of where an event came in, and of who handed it over, in bytes.
pub const ORIGIN_BYTES_MAX: usize = 100;
/// Most channels on an endpoint or an event.
pub const CHANNELS_MAX: usize = 10;
/// Longest pointer to an ordering key, in bytes.
pub const ORDERING_POINTER_BYTES_MAX: usize = 256;
/// Most bytes of metadata, as JSON.
pub const METADATA_BYTES_MAX: usize = 4096;
/// Most headers an endpoint adds.
pub const ENDPOINT_HEADERS_MAX: usize = 64;
/// Longest value of such a header, in bytes.
pub const HEADER_VALUE_BYTES_MAX: usize = 4096;
/// Longest URL of an endpoint, in bytes.
pub const URL_BYTES_MAX: usize = 2048;
/// Most endpoints of one application.
pub const ENDPOINTS_PER_APP_MAX: usize = 10_000;
/// Longest `Retry-After` that is honoured.
pub const RETRY_AFTER_MS_MAX: u64 = 24 * 3600 * 1000;
/// Idempotency keys are remembered at least this long.
pub const IDEMPOTENCY_MS: u64 = 24 * 3600 * 1000;
/// Longest idempotency key, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 256;
/// Up to this many endpoints an event's deliveries are made in its own transaction; above, they fan out in steps.
pub const ROUTED_INLINE_MAX: usize = 1000;
/// Most times a delivery may crash its worker before it is given up.
pub const CRASHES_MAX: u32 = 3;
