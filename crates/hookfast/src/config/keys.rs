//! Every setting there is: name, default, rule and meaning, in one table. The typed configuration, the reading of
//! files, environment and flags, the error messages and `docs/configuration.md` all come from it.

use super::addresses::HostPorts;
use super::forms::Form as _;
use super::layers::Values;
use super::nodes::{Name, RoleList, Roles, StoreUrl};
use super::receiving::{FileSource, Secrets};
use super::redis::RedisAddresses;
use super::rules::{
    Bytes, Count, Duration, Durations, HttpUrl, Listen, Networks, OneOf, Optional, Path, Raw, Rule, Secret, Share,
    Switch,
};
use hookfast_core::model::SecretText;
use hookfast_core::retry::RetryPolicy;
use hookfast_http::SignatureRule;
use hookfast_sources::redis::Address;
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

/// Where accepted events become durable first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IntakeBy {
    /// In the store.
    Store,
    /// In the log, from which a consumer takes them into the store.
    Log,
}

/// What a consumer does whose position is not in the log any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutOfRange {
    /// It stops reading the partition, with an alarm.
    Stop,
    /// It goes on with the earliest record there is.
    Earliest,
    /// It goes on with what comes next.
    Latest,
}

/// Who may call the sender's routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SenderAuth {
    /// Everybody, as long as only this machine can reach the server; else as `Token`.
    Auto,
    /// Who has a token of the API.
    Token,
    /// Everybody.
    None,
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
            /// What the file of `receiver.sources_file` has.
            pub(super) file_sources: Vec<FileSource>,
        }

        impl Config {
            /// Reads every setting out of what was given; what is wrong is noted in `values`. `None` only when a
            /// default breaks its own rule.
            pub(super) fn read(values: &mut Values) -> Option<Self> {
                Some(Self {
                    names_dir: values.is_given("server.data_dir"),
                    file_sources: Vec::new(),
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
const INTAKES: &[(&str, IntakeBy)] = &[("store", IntakeBy::Store), ("log", IntakeBy::Log)];
const SENDER_AUTHS: &[(&str, SenderAuth)] =
    &[("auto", SenderAuth::Auto), ("token", SenderAuth::Token), ("none", SenderAuth::None)];
const OUT_OF_RANGE: &[(&str, OutOfRange)] =
    &[("stop", OutOfRange::Stop), ("earliest", OutOfRange::Earliest), ("latest", OutOfRange::Latest)];
const RETENTION_CLASSES: &[(&str, u16)] = &[("7", 7), ("30", 30), ("90", 90)];
const SASL_MECHANISMS: &[(&str, &str)] =
    &[("PLAIN", "PLAIN"), ("SCRAM-SHA-256", "SCRAM-SHA-256"), ("SCRAM-SHA-512", "SCRAM-SHA-512")];
/// Which signatures suffice.
pub(super) const SIGNATURES: &[(&str, SignatureRule)] =
    &[("any", SignatureRule::Any), ("standard", SignatureRule::Standard), ("none", SignatureRule::None)];
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
        /// store, `sources` runs emitters and reads Redis, `sender` serves /register and /emitter, `receiver` serves
        /// /webhook and /in, `consumer` reads Kafka into the store. They can be split among servers that share a
        /// PostgreSQL store, any number of each; every one serves health and metrics. A `receiver` alone needs Kafka and
        /// no store. One without `engine` cannot know how far deliveries lag, so accepting does not slow down with them:
        /// what waits is bounded by the store alone.
        roles: Roles = "api,engine,maintenance,sources", RoleList;
        /// Where an accepted event becomes durable before it is answered: in the `store`, or in the `log` (Kafka), from
        /// which a `consumer` takes it into the store. See docs/guides/kafka.md for what that changes.
        intake: IntakeBy = "store", OneOf(INTAKES);
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
    /// The log in front of the store: Kafka, for a binary that was built with it.
    [kafka] Kafka {
        /// Where its brokers are; a few of them are enough to find the others.
        brokers: Vec<String> = "", HostPorts;
        /// The topic that received webhooks go to.
        topic: String = "golang.webhook.system", Name(249);
        /// The group in which consumers share that topic.
        group_id: String = "webhook.consumer.group", Name(249);
        /// The topic that events go to with `server.intake` = `log`.
        intake_topic: String = "hookfast.intake", Name(249);
        /// The group in which consumers share that topic.
        intake_group_id: String = "hookfast.intake", Name(249);
        /// Make topics that are missing; otherwise a missing one is an error.
        create_topics: bool = "true", Switch;
        /// Partitions of a topic that is made: as many consumers can share it.
        partitions: usize = "6", Count(1, 10_000);
        /// Copies of each record of a topic that is made.
        replication: usize = "1", Count(1, 9);
        /// Of a topic that is made: sync to disk after so many records; nothing leaves it to the system, which is safe
        /// only with several copies.
        flush_messages: Option<usize> = "", Optional(Count(1, 1_000_000_000));
        /// So long a record may take until every copy has it.
        append_timeout_ms: u64 = "5s", Duration(100, MINUTE);
        /// Most bytes that wait for Kafka.
        buffer_bytes_max: u64 = "64MiB", Bytes(MIB, TIB);
        /// An event that fails is tried so many times more before it goes to the dead-letter topic.
        max_retries: usize = "3", Count(0, 1000);
        /// Fails this share of received events on purpose, to show retries.
        fail_rate: f64 = "0", Share(1.0);
        /// What to do when the position is not in the topic any more: `stop` with an alarm, or go on at the `earliest` or
        /// `latest` record.
        on_out_of_range: OutOfRange = "stop", OneOf(OUT_OF_RANGE);
        /// Most events of one transaction.
        batch_events_max: usize = "1000", Count(1, 10_000);
        /// Encrypt connections (in a binary built with `kafka-tls`).
        tls: bool = "false", Switch;
        /// A PEM file of the authorities to trust instead of the system's.
        tls_ca_file: Option<PathBuf> = "", Optional(Path);
        /// The user to log in as (in a binary built with `kafka-tls`).
        username: Option<String> = "", Optional(Name(256));
        /// And the password.
        password: Option<SecretText> = "", Optional(Secret(1));
        /// How to log in: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
        sasl_mechanism: &'static str = "SCRAM-SHA-512", OneOf(SASL_MECHANISMS);
    }
    /// Messages of Redis that become events for the URL they name: `{"url", "webhookId", "data"}`, published on a channel or
    /// added to a stream (field `payload`). Read by one server at a time that has the role `sources`.
    [redis] Redis {
        /// What the source is called: its events belong to the application `redis.NAME`.
        name: String = "payments", Name(64);
        /// Where it is, TLS by `rediss://`. Of several servers the one that is the master is read. Nothing reads no Redis.
        addresses: Vec<Address> = "", RedisAddresses;
        /// The user to log in as, where it has users.
        username: Option<String> = "", Optional(Name(256));
        /// And the password.
        password: Option<SecretText> = "", Optional(Secret(1));
        /// A PEM file of authorities to trust besides the public ones.
        tls_ca_file: Option<PathBuf> = "", Optional(Path);
        /// The addresses are those of Sentinels; the master they know under this name is read.
        sentinel_master: Option<String> = "", Optional(Name(256));
        /// The Sentinels' own password.
        sentinel_password: Option<SecretText> = "", Optional(Secret(1));
        /// The channel to listen on, where what is published while nobody listens is lost; nothing listens on none.
        channel: Option<String> = "payments", Optional(Name(512));
        /// The stream to read, where nothing is lost; nothing reads none.
        stream: Option<String> = "payments", Optional(Name(512));
        /// The consumer group to read the stream as. Installations that share a stream need one each.
        group: String = "hookfast", Name(256);
        /// Most messages on their way to the store at a time.
        in_flight_max: usize = "256", Count(1, 65_536);
        /// Most endpoints that are kept for URLs in messages.
        endpoints_max: usize = "1000", Count(1, 10_000);
        /// An endpoint that no message named for so long is removed; what ended as dead there can be replayed until then.
        endpoint_idle_ms: u64 = "30d", Duration(MINUTE, 365 * DAY);
        /// The wait before the second of five tries; each further wait is twice as long, an hour at most.
        retry_first_ms: u64 = "1s", Duration(10, HOUR);
        /// Entries of the stream that a reader took and did not acknowledge for so long are read again.
        claim_after_ms: u64 = "1m", Duration(100, DAY);
    }
    /// Receiving webhooks: `POST /webhook`, and `POST /in/NAME` for the sources of a file (role `receiver`).
    [receiver] Receiver {
        /// What signs webhooks to `/webhook`; each of several is good, so that one can take the place of another.
        /// `whsec_…`, `whsk_…`, the public key `whpk_…`, or any other text, as senders are given it.
        secrets: Vec<SecretText> = "", Secrets;
        /// Which signatures suffice: `any` of `webhook-*`, `svix-*` and `x-webhook-signature`; `standard`, which are the
        /// first two and cannot be repeated when they are old; `none`, when tokens or keys alone tell callers.
        signature: SignatureRule = "any", OneOf(SIGNATURES);
        /// How far the time that a webhook was signed at may lie from now.
        tolerance_ms: u64 = "5m", Duration(SECOND, DAY);
        /// Ask for one of these bearer tokens too.
        bearer_tokens: Vec<SecretText> = "", Secrets;
        /// The header in which to ask for one of `receiver.api_keys`.
        api_key_header: Option<String> = "", Optional(Name(128));
        /// The keys that are good in it. With tokens as well, either will do.
        api_keys: Vec<SecretText> = "", Secrets;
        /// Requests a second of each client address and source; 0 is without limit. Behind a proxy that
        /// `server.trusted_proxies` does not name, all clients are one.
        rate_per_client: usize = "1000", Count(0, 1_000_000);
        /// So many of them at once.
        burst_per_client: usize = "2000", Count(1, 1_000_000);
        /// Accepted requests a second of each source in all; 0 is without limit.
        rate_per_source: usize = "0", Count(0, 1_000_000);
        /// How far the time inside an event may lie ahead.
        ahead_ms_max: u64 = "5m", Duration(0, DAY);
        /// Most client addresses that are remembered for their rates.
        clients_max: usize = "100000", Count(2, 10_000_000);
        /// A TOML file of further sources, each a table `[[source]]` with `name` and `secrets`, and where it differs with
        /// settings of this section and `topic`. Bodies that are no events of the first system need JSON Pointers
        /// `event_id` and `event_type`. See docs/guides/receiving.md.
        sources_file: Option<PathBuf> = "", Optional(Path);
    }
    /// The sender (role `sender`): webhooks are registered and emitters started by short routes, as the first system had
    /// them. See docs/guides/first-system.md.
    [sender] Sender {
        /// Who may call its routes: with a `token` of the API only, or everybody (`none`). `auto` asks for no token as long
        /// as nobody but this machine can reach the server: on a loopback address, with neither `public_url` nor
        /// `trusted_proxies`.
        auth: SenderAuth = "auto", OneOf(SENDER_AUTHS);
        /// The secret of webhooks that are registered without one (`WEBHOOK_SECRET_TOKEN`); of several, the first. When there
        /// is none each gets a random secret.
        secret: Vec<SecretText> = "", Secrets;
        /// Most webhooks that are registered at a time.
        webhooks_max: usize = "1000", Count(1, 10_000);
    }
}
