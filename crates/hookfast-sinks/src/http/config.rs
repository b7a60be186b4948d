//! What can be set about sending by HTTP. Must not read files or the environment.

use hookfast_core::address::AddressRules;

/// Under which names the signature headers go out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderFamily {
    /// `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    #[default]
    Standard,
    /// `svix-id`, `svix-timestamp`, `svix-signature`.
    Svix,
    /// Both.
    Both,
}

impl HeaderFamily {
    pub(super) fn has_standard(self) -> bool {
        matches!(self, Self::Standard | Self::Both)
    }

    pub(super) fn has_svix(self) -> bool {
        matches!(self, Self::Svix | Self::Both)
    }
}

/// Settings of an [`super::HttpSink`].
#[derive(Clone, Debug)]
pub struct HttpSinkConfig {
    /// Under which names the signature headers go out.
    pub header_family: HeaderFamily,
    /// The `user-agent` header.
    pub user_agent: String,
    /// Time for the connection and its TLS handshake together.
    pub connect_timeout_ms: u64,
    /// Time for the resolution of a name.
    pub dns_timeout_ms: u64,
    /// Time for the whole exchange, the answer's body included, where the endpoint sets none.
    pub timeout_ms: u64,
    /// Refuse http URLs.
    pub https_only: bool,
    /// Which addresses may be dialled.
    pub rules: AddressRules,
    /// More certificate authorities than the public ones, in PEM form.
    pub extra_ca_pem: Option<String>,
    /// An unused connection is closed after this time: less than the five seconds of common servers, so that it is
    /// seldom they who close first.
    pub idle_timeout_ms: u64,
    /// Most unused connections kept for one endpoint.
    pub idle_per_endpoint_max: usize,
    /// Most unused connections kept in all.
    pub idle_max: usize,
}

impl Default for HttpSinkConfig {
    fn default() -> Self {
        Self {
            header_family: HeaderFamily::default(),
            user_agent: concat!("hookfast/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout_ms: 5_000,
            dns_timeout_ms: 5_000,
            timeout_ms: 15_000,
            https_only: false,
            rules: AddressRules::default(),
            extra_ca_pem: None,
            idle_timeout_ms: 4_000,
            idle_per_endpoint_max: 64,
            idle_max: 4_096,
        }
    }
}
