//! Addresses of services, by name. Reading them and showing them; knows no key and no source.

use super::forms::Form;
use super::rules::{Raw, Rule};
use serde_json::{Value, json};

/// A list of `HOST:PORT`.
#[derive(Clone, Copy)]
pub(crate) struct HostPorts;

impl Rule for HostPorts {
    type Value = Vec<String>;
    fn expected(&self) -> String {
        "a list of hosts with their ports (`[\"kafka-1:9092\"]`, in the environment `kafka-1:9092,kafka-2:9092`)".into()
    }
    fn read(&self, raw: &Raw) -> Option<Vec<String>> {
        raw.items().into_iter().map(|item| is_host_port(item).then(|| item.to_owned())).collect()
    }
}

fn is_host_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_address = host.starts_with('[') && host.ends_with(']');
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_host = !host.is_empty() && (host.bytes().all(is_name) || is_address);
    is_host && port.parse::<u16>().is_ok_and(|port| port > 0)
}

impl Form for HostPorts {
    fn show(&self, value: &Vec<String>) -> Value {
        value.clone().into()
    }
    fn schema(&self) -> Value {
        json!({ "type": "array", "items": { "type": "string", "pattern": "^.+:[0-9]+$" } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_has_a_host_and_a_port() {
        let read = |text: &str| HostPorts.read(&Raw::Text(text.into()));
        assert_eq!(read(""), Some(Vec::new()));
        assert_eq!(read("kafka:9092, 10.0.0.1:1,[::1]:7").map(|all| all.len()), Some(3));
        for wrong in ["kafka", "kafka:", ":9092", "kafka:0", "kafka:99999", "a b:1", "http://kafka:9092"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
