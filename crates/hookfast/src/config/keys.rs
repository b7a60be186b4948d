//! Every setting there is: name, default, rule and meaning, in one table. The typed configuration, the reading of
//! files, environment and flags, the error messages and `docs/configuration.md` all come from it.

use super::forms::Form as _;
use super::layers::Values;
use super::nodes::{Name, RoleList, Roles, StoreUrl};
use super::rules::{
    Bytes, Count, Duration, Durations, HttpUrl, Listen, Networks, OneOf, Optional, Path, Raw, Rule, Secret, Share,
    Switch,
};
use hookfast_core::model::SecretText;
use hookfast_core::retry::RetryPolicy;
use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::PathBuf;

/// One setting, as the docs and the error messages see it.
#[derive(Clone, Debug)]
#[cfg_attr(not(test), expect(dead_code, reason = "some of it only the generated docs tell"))]
pub(crate) struct Key {
    /// The TOML section.
    pub(crate) section: &'static str,
    /// The key in its section.
    pub(crate) name: &'static str,
    /// What holds when nothing is said.
    pub(crate) default: &'static str,
    /// The wanted form.
    pub(crate) expected: String,
    /// Its meaning.
    pub(crate) doc: &'static str,
    /// Never printed.
    pub(crate) secret: bool,
    /// The default in the form of a file's value.
    pub(crate) default_value: fn() -> serde_json::Value,
    /// The JSON Schema of its values in a file.
    pub(crate) schema: fn() -> serde_json::Value,
}

/// Which names the signature headers have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFamily {
    /// `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    Standard,
    /// `svix-id`, `svix-timestamp`, `svix-signature`.
    Svix,
    /// Both.
    Both,
}

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Human,
    /// One JSON object per line.
    Json,
}

/// What a start does about an older schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Migrate {
    /// Bring it up to date.
    Auto,
    /// Refuse it.
    Check,
}

macro_rules! settings {
    ($( $(#[doc = $about:literal])+ [$section:ident] $Section:ident {
        $( $(#[doc = $doc:literal])+ $key:ident: $ty:ty = $default:literal, $rule:expr; )+
    } )+) => {
        $(
            $(#[doc = $about])+
            #[derive(Clone, Debug)]
            pub(crate) struct $Section {
                $( $(#[doc = $doc])+ pub(crate) $key: $ty, )+
            }
        )+

        /// The whole configuration, checked.
        #[derive(Clone, Debug)]
        pub(crate) struct Config {
            $( $(#[doc = $about])+ pub(crate) $section: $Section, )+
            /// Somebody named the data directory.
            pub(super) names_dir: bool,
        }

        impl Config {
            /// Reads every setting out of what was given; what is wrong is noted in `values`. `None` only when a
            /// default breaks its own rule.
            pub(super) fn read(values: &mut Values) -> Option<Self> {
                Some(Self {
                    names_dir: values.is_given("server.data_dir"),
                    $( $section: $Section {
                        $( $key: values.take(concat!(stringify!($section), ".", stringify!($key)), $default, &$rule)?, )+
                    }, )+
                })
            }

            /// Every setting in force, as `section.key` and the value as a file would give it; secrets are hidden.
            pub(super) fn shown(&self) -> Vec<(&'static str, serde_json::Value)> {
                vec![$($(
                    (concat!(stringify!($section), ".", stringify!($key)), $rule.show(&self.$section.$key))
                ),+),+]
            }
        }

        /// Every section with what it is about.
        pub(crate) const SECTIONS: &[(&str, &str)] = &[$( (stringify!($section), concat!($($about),+)) ),+];

        /// Every setting.
        pub(crate) fn keys() -> Vec<Key> {
            vec![$($( Key {
                section: stringify!($section),
                name: stringify!($key),
                default: $default,
                expected: $rule.expected(),
                doc: concat!($($doc),+),
                secret: $rule.secret(),
                default_value: || {
                    let value = $rule.read(&Raw::Text($default.into()));
                    value.map_or(serde_json::Value::Null, |value| $rule.show(&value))
                },
                schema: || $rule.schema(),
            } ),+),+]
        }
    };
}

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

const HEADER_FAMILIES: &[(&str, HeaderFamily)] =
    &[("standard", HeaderFamily::Standard), ("svix", HeaderFamily::Svix), ("both", HeaderFamily::Both)];
const MIGRATE: &[(&str, Migrate)] = &[("auto", Migrate::Auto), ("check", Migrate::Check)];
const RETENTION_CLASSES: &[(&str, u16)] = &[("7", 7), ("30", 30), ("90", 90)];
const LOG_LEVELS: &[(&str, &str)] =
    &[("error", "error"), ("warn", "warn"), ("info", "info"), ("debug", "debug"), ("trace", "trace"), ("off", "off")];
const LOG_FORMATS: &[(&str, LogFormat)] = &[("human", LogFormat::Human), ("json", LogFormat::Json)];

settings! {
    /// Where the server listens, where it keeps its data, and what it takes from a client.
    [server] Server {
        /// The address of the API. On a loopback address (and with neither `public_url` nor `trusted_proxies`)
        /// deliveries may go to loopback too.
        listen: SocketAddr = "127.0.0.1:8071", Listen;
        /// The directory that holds everything: store, lock, `control.sock`. Made if it is missing. With `store.url`
        /// none is needed, and none is made unless it is named.
        data_dir: PathBuf = "./hookfast-data", Path;
        /// What this server does: `api` takes requests, `engine` delivers, `maintenance` does the background work of the
        /// store. They can be split among servers that share a PostgreSQL store, any number of each; one without `api`
        /// serves health and metrics alone. One without `engine` cannot know how far deliveries lag, so accepting does
        /// not slow down with them: what waits is bounded by the store alone.
        roles: Roles = "api,engine,maintenance", RoleList;
        /// What this server calls itself in `hookfast nodes` and metrics; host and process id when nothing is said.
        node_name: Option<String> = "", Optional(Name(128));
        /// How long SIGTERM waits for requests and deliveries in flight.
        drain_ms: u64 = "30s", Duration(0, 10 * MINUTE);
        /// Greatest body of a request.
        body_bytes_max: u64 = "1MiB", Bytes(KIB, 64 * MIB);
        /// How long a client may take to send the head of a request.
        header_timeout_ms: u64 = "10s", Duration(1, 10 * MINUTE);
        /// How long a client may take to send the body of a request.
        body_timeout_ms: u64 = "30s", Duration(1, 10 * MINUTE);
        /// How long a connection may stay open without a request.
        idle_timeout_ms: u64 = "60s", Duration(1, HOUR);
        /// Most connections of clients at a time.
        connections_max: usize = "10000", Count(1, 1_000_000);
        /// The URL under which others reach this server, if they do.
        public_url: Option<url::Url> = "", Optional(HttpUrl);
        /// Proxies in front of this server.
        trusted_proxies: Vec<IpNet> = "", Networks;
        /// Threads for requests, and as many for deliveries; 0 takes as many as there are cores.
        threads: usize = "0", Count(0, 256);
    }
    /// What is remembered, and for how long.
    [store] Store {
        /// Keep everything in this PostgreSQL database (15 or newer), which several servers may share, instead of SQLite
        /// in `server.data_dir`. `sslmode` and `sslrootcert` are as in other programs; `verify-full` checks the server.
        url: Option<SecretText> = "", Optional(StoreUrl);
        /// PostgreSQL: most connections for requests and background work; a server has up to five more for itself.
        connections_max: usize = "8", Count(1, 1000);
        /// PostgreSQL: use prepared statements. Must be off behind a proxy that pools transactions.
        prepared: bool = "true", Switch;
        /// PostgreSQL: servers wake each other by LISTEN and NOTIFY besides polling. Must be off behind a proxy that pools
        /// transactions.
        notifications: bool = "true", Switch;
        /// PostgreSQL: whether an older schema is brought up to date at start, or refused until `hookfast migrate up`.
        migrate: Migrate = "auto", OneOf(MIGRATE);
        /// PostgreSQL: a server that was silent for so long is taken for dead, and others take its work over.
        lease_ms: u64 = "6s", Duration(500, MINUTE);
        /// Encrypts the secrets of endpoints at rest: any text, 32 random characters are advised. Keep it: without it
        /// they cannot be read again.
        secret_key: Option<SecretText> = "", Optional(Secret(16));
        /// While less than this is free on the disk no events are accepted, so that what is under way can end.
        disk_reserve_bytes: u64 = "64MiB", Bytes(0, TIB);
        /// For how many days events are kept when their application does not say.
        retention_days_default: u16 = "30", OneOf(RETENTION_CLASSES);
    }
    /// How deliveries go out.
    [delivery] Delivery {
        /// The names of the signature headers: `webhook-*`, `svix-*`, or both.
        header_family: HeaderFamily = "standard", OneOf(HEADER_FAMILIES);
        /// Refuse endpoints that are not https.
        https_only: bool = "false", Switch;
        /// Networks that may be delivered to although they are not public.
        allow_networks: Vec<IpNet> = "", Networks;
        /// A PEM file of certificate authorities to trust besides the public ones.
        extra_ca_file: Option<PathBuf> = "", Optional(Path);
        /// Deadline of a whole try, answer included, where the endpoint does not say.
        timeout_ms: u64 = "15s", Duration(1, 30 * SECOND);
        /// Deadline of connecting, TLS included.
        connect_timeout_ms: u64 = "5s", Duration(1, 30 * SECOND);
        /// Most tries at a time.
        in_flight_max: usize = "1024", Count(1, 65_536);
        /// Most tries at a time to one endpoint.
        in_flight_per_endpoint_max: usize = "64", Count(1, 4096);
        /// Most deliveries that wait in memory; the others wait in the store. 0 keeps every delivery in the store.
        memory_slots: usize = "50000", Count(0, 10_000_000);
        /// Most bytes of bodies that wait in memory.
        memory_bytes_max: u64 = "256MiB", Bytes(0, TIB);
        /// What has waited in memory longer than this goes to the store.
        spill_after_ms: u64 = "30s", Duration(10, HOUR);
        /// An endpoint that did nothing but fail for so long is disabled.
        disable_after_ms: u64 = "5d", Duration(SECOND, 365 * DAY);
        /// Longest pause between tries to an endpoint that keeps failing; nothing takes a tenth of its first retry
        /// delay, at most 1s.
        breaker_gap_ms_max: Option<u64> = "", Optional(Duration(0, MINUTE));
        /// Accepting slows down when deliveries to healthy endpoints lag more than this.
        admission_lag_ms: u64 = "150ms", Duration(1, HOUR);
        /// So long a request waits for the lag to shrink before it is refused with 503.
        admission_wait_ms: u64 = "10s", Duration(0, MINUTE);
    }
    /// When a failed try is tried again, where the endpoint does not say.
    [retry] Retry {
        /// Waits before the second, third, … try; there is one more try than waits.
        delays: Vec<u64> = "5s,5m,30m,2h,5h,10h,14h,20h,24h", Durations(RetryPolicy::DELAYS_MAX, RetryPolicy::DELAY_MS_MAX);
        /// Each wait is made longer or shorter by up to this share, at random.
        jitter: f64 = "0.2", Share(1.0);
    }
    /// Who may call.
    [auth] Auth {
        /// Accept JSON Web Tokens signed with this secret (HS256) besides the tokens made here.
        jwt_secret: Option<SecretText> = "", Optional(Secret(8));
    }
    /// What is written to standard error.
    [log] Log {
        /// How much is written: errors alone up to everything.
        level: &'static str = "info", OneOf(LOG_LEVELS);
        /// In which form: lines for people, or one JSON object a line.
        format: LogFormat = "human", OneOf(LOG_FORMATS);
    }
}
