//! Events that come in other than by HTTP. A source knows intake and nothing behind it.

pub mod emitter;
pub mod redis;
