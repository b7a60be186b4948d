//! How deliveries go out. A sink turns one delivery into one try and says what it came to; it must not know queues,
//! retries or stores.

pub mod error;
pub mod http;

pub use error::{Error, ErrorKind};
pub use http::{HeaderFamily, HttpSink, HttpSinkConfig, HttpSinkMetrics};
