//! From a host name to its addresses. Must not judge them: that is the dialler's part.

use super::answer::Failure;
use crate::Error;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hookfast_core::delivery::Cause;
use hookfast_core::ports::BoxFuture;
use std::net::IpAddr;
use std::time::Duration;

/// Answers are believed for at most this long, whatever their TTL: receivers move.
const POSITIVE_TTL_MAX: Duration = Duration::from_secs(60);
/// A name that does not exist may be made any moment.
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(5);
/// Answers kept.
const CACHE_ENTRIES_MAX: u64 = 8_192;

/// Resolves names. Called for names only, never for literal addresses or `localhost`.
pub(super) trait Resolve: Send + Sync {
    /// All addresses of a name, of both kinds. Dropping the future gives up.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, Failure>>;
}

/// The system's hosts file and name servers, with a cache.
pub(super) struct SystemResolver(TokioResolver);

impl SystemResolver {
    /// Reads the system's configuration once. Without one only the hosts file is left, which is enough for a machine
    /// that delivers to literal addresses.
    pub(super) fn new() -> Result<Self, Error> {
        let provider = TokioRuntimeProvider::default();
        let mut builder = match TokioResolver::builder(provider.clone()) {
            Ok(builder) => builder,
            Err(error) => {
                tracing::warn!(%error, "no usable resolver configuration: host names will not be resolved");
                let nothing = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
                TokioResolver::builder_with_config(nothing, provider)
            }
        };
        set_options(builder.options_mut());
        builder.build().map(Self).map_err(|error| Error::Resolver(error.to_string()))
    }
}

fn set_options(options: &mut ResolverOpts) {
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Always;
    options.cache_size = CACHE_ENTRIES_MAX;
    options.positive_max_ttl = Some(POSITIVE_TTL_MAX);
    options.negative_max_ttl = Some(NEGATIVE_TTL_MAX);
    options.timeout = Duration::from_secs(2);
    options.attempts = 2;
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, Failure>> {
        Box::pin(async move {
            match self.0.lookup_ip(name).await {
                Ok(found) => Ok(found.iter().collect()),
                Err(error) => Err(failure(&error)),
            }
        })
    }
}

/// Says whether the name or the name servers are at fault, without the addresses of the latter.
fn failure(error: &NetError) -> Failure {
    let text = if error.is_nx_domain() {
        "the host name does not exist"
    } else if error.is_no_records_found() {
        "the host name has no address"
    } else if matches!(error, NetError::Timeout) {
        "the name servers did not answer in time"
    } else {
        "the name servers could not resolve the host name"
    };
    Failure::new(Cause::Dns, text)
}
