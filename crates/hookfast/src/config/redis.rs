//! Where Redis is. Reading the addresses and showing them; knows no key and no source.

use super::forms::Form;
use super::rules::{Raw, Rule};
use hookfast_sources::redis::Address;
use serde_json::{Value, json};

/// A list of addresses of Redis or of Sentinels.
#[derive(Clone, Copy)]
pub(crate) struct RedisAddresses;

impl Rule for RedisAddresses {
    type Value = Vec<Address>;
    fn expected(&self) -> String {
        "a list of addresses without user and password (`[\"redis:6379\", \"rediss://cache.example:6380/0\"]`, in the \
         environment `redis-1:6379,redis-2:6379`)"
            .into()
    }
    fn read(&self, raw: &Raw) -> Option<Vec<Address>> {
        raw.items().into_iter().map(|item| item.parse().ok()).collect()
    }
}

impl Form for RedisAddresses {
    fn show(&self, value: &Vec<Address>) -> Value {
        value.iter().map(ToString::to_string).collect()
    }
    fn schema(&self) -> Value {
        json!({ "type": "array", "items": { "type": "string", "minLength": 1 } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_addresses_reads_back_as_shown_and_holds_no_password() {
        let read = |text: &str| RedisAddresses.read(&Raw::Text(text.into()));
        let addresses = read("redis, rediss://cache.example:6380/2").unwrap();
        assert_eq!(RedisAddresses.show(&addresses), json!(["redis:6379", "rediss://cache.example:6380/2"]));
        assert_eq!(read(""), Some(Vec::new()));
        assert_eq!(read("redis://:secret@redis:6379"), None);
    }
}
