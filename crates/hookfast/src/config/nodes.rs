//! The settings that several nodes need: where their store is, what each of them does and is called. Reading them and
//! showing them; knows no key and no source.

use super::forms::{Form, HIDDEN};
use super::rules::{Raw, Rule};
use hookfast_core::model::SecretText;
use serde_json::{Value, json};

/// What a server does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roles {
    /// It serves the API.
    pub(crate) api: bool,
    /// It delivers.
    pub(crate) engine: bool,
    /// It does the background work of the store.
    pub(crate) maintenance: bool,
    /// It runs what events come from by themselves: emitters, Redis.
    pub(crate) sources: bool,
    /// It serves the routes of the sender.
    pub(crate) sender: bool,
    /// It receives webhooks.
    pub(crate) receiver: bool,
    /// It reads the log into the store.
    pub(crate) consumer: bool,
}

impl Roles {
    /// Nothing: a command that has opened the store for a moment.
    pub(crate) const NONE: Self = Self {
        api: false,
        engine: false,
        maintenance: false,
        sources: false,
        sender: false,
        receiver: false,
        consumer: false,
    };
    /// What a server of its own does.
    pub(crate) const STANDARD: Self = Self { api: true, engine: true, maintenance: true, sources: true, ..Self::NONE };
    /// Everything there is.
    const ALL: Self = Self { sender: true, receiver: true, consumer: true, ..Self::STANDARD };
    /// Receives webhooks and hands them to the log: needs no store.
    const RECEIVER: Self = Self { receiver: true, ..Self::NONE };

    /// Every role that a server of its own must have.
    pub(crate) fn is_whole(self) -> bool {
        self.api && self.engine && self.maintenance && self.sources
    }

    /// Some of it needs a store.
    pub(crate) fn needs_store(self) -> bool {
        self != Self::RECEIVER
    }

    /// The words for what is among them.
    pub(crate) fn words(self) -> Vec<&'static str> {
        let known = [
            (self.api, "api"),
            (self.engine, "engine"),
            (self.maintenance, "maintenance"),
            (self.sources, "sources"),
            (self.sender, "sender"),
            (self.receiver, "receiver"),
            (self.consumer, "consumer"),
        ];
        known.into_iter().filter_map(|(is_on, word)| is_on.then_some(word)).collect()
    }
}

/// A list of roles, at least one.
#[derive(Clone, Copy)]
pub(crate) struct RoleList;

impl Rule for RoleList {
    type Value = Roles;
    fn expected(&self) -> String {
        format!(
            "a list of one or more of `{}` (`[\"api\", \"engine\"]`, in the environment `api,engine`)",
            Roles::ALL.words().join("`, `")
        )
    }
    fn read(&self, raw: &Raw) -> Option<Roles> {
        let mut roles = Roles::NONE;
        for item in raw.items() {
            match item {
                "api" => roles.api = true,
                "engine" => roles.engine = true,
                "maintenance" => roles.maintenance = true,
                "sources" => roles.sources = true,
                "sender" => roles.sender = true,
                "receiver" => roles.receiver = true,
                "consumer" => roles.consumer = true,
                _ => return None,
            }
        }
        Some(roles).filter(|roles| *roles != Roles::NONE)
    }
}

impl Form for RoleList {
    fn show(&self, value: &Roles) -> Value {
        value.words().into()
    }
    fn schema(&self) -> Value {
        json!({ "type": "array", "minItems": 1, "uniqueItems": true, "items": { "enum": Roles::ALL.words() } })
    }
}

/// The URL of a PostgreSQL database. It may hold a password, so it is a secret altogether.
#[derive(Clone, Copy)]
pub(crate) struct StoreUrl;

const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

impl Rule for StoreUrl {
    type Value = SecretText;
    fn expected(&self) -> String {
        "a URL `postgres://USER:PASSWORD@HOST:PORT/DATABASE`".into()
    }
    fn read(&self, raw: &Raw) -> Option<SecretText> {
        let text = raw.text()?;
        SCHEMES.iter().any(|scheme| text.starts_with(scheme)).then(|| SecretText::new(text))
    }
    fn secret(&self) -> bool {
        true
    }
}

impl Form for StoreUrl {
    fn show(&self, _: &SecretText) -> Value {
        HIDDEN.into()
    }
    fn schema(&self) -> Value {
        json!({ "type": "string", "pattern": "^postgres(ql)?://" })
    }
}

/// A name of at most so many characters that fits on a line.
#[derive(Clone, Copy)]
pub(crate) struct Name(pub(crate) usize);

impl Rule for Name {
    type Value = String;
    fn expected(&self) -> String {
        format!("a name of 1 to {} characters on one line", self.0)
    }
    fn read(&self, raw: &Raw) -> Option<String> {
        let text = raw.text()?;
        let is_good = (1..=self.0).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        is_good.then(|| text.to_owned())
    }
}

impl Form for Name {
    fn show(&self, value: &String) -> Value {
        value.as_str().into()
    }
    fn schema(&self) -> Value {
        json!({ "type": "string", "minLength": 1, "maxLength": self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Raw {
        Raw::Text(text.into())
    }

    #[test]
    fn roles_are_words_and_read_back_as_shown() {
        assert_eq!(RoleList.read(&text("engine, api")), Some(Roles { api: true, engine: true, ..Roles::NONE }));
        assert_eq!(
            RoleList.read(&Raw::List(Roles::ALL.words().iter().map(ToString::to_string).collect())),
            Some(Roles::ALL)
        );
        assert_eq!(
            RoleList.show(&Roles { api: false, ..Roles::STANDARD }),
            json!(["engine", "maintenance", "sources"])
        );
        for wrong in ["", ",", "api,enigne", "API"] {
            assert_eq!(RoleList.read(&text(wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn a_store_is_a_postgres_url_and_never_shown() {
        for good in ["postgres://u:p@h:5432/db", "postgresql://h/db?sslmode=require"] {
            let url = StoreUrl.read(&text(good)).unwrap();
            assert_eq!((url.reveal(), StoreUrl.show(&url)), (good, json!("***")));
        }
        for wrong in ["", "mysql://h/db", "sqlite:dir", "h:5432", "host=h user=u"] {
            assert_eq!(StoreUrl.read(&text(wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn a_name_fits_on_a_line() {
        assert_eq!(Name(3).read(&text("näm")), Some("näm".into()));
        for wrong in ["", "name", "a\nb"] {
            assert_eq!(Name(3).read(&text(wrong)), None, "{wrong:?}");
        }
    }
}
