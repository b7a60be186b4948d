//! The variables of the systems that hookfast takes the place of: they give settings too, beneath every other source, so
//! that an `.env` of theirs works as it is. Must not know what the settings are used for.

use super::layers::Values;
use super::rules::Raw;

/// Variables that stand for one setting each, or for several.
const PLAIN: [(&str, &[&str]); 5] = [
    ("KAFKA_ADDR", &["kafka.brokers"]),
    ("KAFKA_TOPIC", &["kafka.topic"]),
    ("KAFKA_GROUP_ID", &["kafka.group_id"]),
    ("WEBHOOK_SECRET_TOKEN", &["receiver.secrets", "sender.secret"]),
    ("REDIS_ADDRESS", &["redis.addresses"]),
];

/// The parts of the address of a database. Other programs use these names as well, so they count only beside a variable
/// that nobody else has.
const POSTGRES: [&str; 5] = ["POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_DB"];
const OURS: [&str; 2] = ["KAFKA_ADDR", "WEBHOOK_SECRET_TOKEN"];

/// Gives what these variables say.
pub(super) fn give(values: &mut Values, variables: &[(String, String)]) {
    let value = |name: &str| {
        let found = variables.iter().find(|(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    };
    for (name, keys) in PLAIN {
        let Some(text) = value(name) else { continue };
        for key in keys {
            values.give_beneath(key, Raw::Text(text.to_owned()), name.to_owned());
        }
    }
    let is_ours = OURS.iter().any(|name| value(name).is_some());
    let [user, password, host, port, database] = POSTGRES.map(value);
    if let Some(host) = host.filter(|_| is_ours) {
        let mut url = url::Url::parse("postgres://localhost").ok();
        if let Some(url) = &mut url {
            // What a URL cannot have is found out when the setting is read.
            let _ = url.set_username(user.unwrap_or("postgres"));
            let _ = url.set_password(password);
            let _ = url.set_host(Some(host));
            let _ = url.set_port(port.and_then(|port| port.parse().ok()));
            url.set_path(database.or(user).unwrap_or("postgres"));
            values.give_beneath("store.url", Raw::Text(url.to_string()), "POSTGRES_HOST".to_owned());
        }
    }
}
