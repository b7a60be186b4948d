//! The OpenAPI document as a source of bad input: its operations, and for each schema the values that it forbids. Knows no
//! server.

use serde_json::{Map, Value, json};
use std::iter::once;

/// One operation of the document.
pub(crate) struct Operation {
    pub(crate) method: String,
    /// With `{names}` in it.
    pub(crate) path: String,
    about: Value,
}

impl Operation {
    /// The names of the parameters in its path.
    pub(crate) fn path_names(&self) -> impl Iterator<Item = &str> {
        self.path.split('{').skip(1).filter_map(|rest| rest.split('}').next())
    }

    /// Does it answer with this status?
    pub(crate) fn answers(&self, status: u16) -> bool {
        self.about["responses"].get(status.to_string()).is_some()
    }

    /// May anybody call it?
    pub(crate) fn is_open(&self) -> bool {
        self.about["security"].is_array()
    }
}

/// A body with one thing wrong, and where.
pub(crate) struct WrongBody {
    pub(crate) field: Vec<String>,
    pub(crate) body: Value,
}

/// The document.
pub(crate) struct Document(pub(crate) Value);

impl Document {
    pub(crate) fn operations(&self) -> Vec<Operation> {
        let items = self.0["paths"].as_object().unwrap().iter();
        let all = items.flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |found| (path, found)));
        let all = all.map(|(path, (method, about))| Operation {
            method: method.to_uppercase(),
            path: path.clone(),
            about: about.clone(),
        });
        all.collect()
    }

    /// The name of the schema of an operation's body.
    pub(crate) fn body_name<'a>(&self, operation: &'a Operation) -> Option<&'a str> {
        let schema = operation.about.pointer("/requestBody/content/application~1json/schema")?;
        schema["$ref"].as_str()?.rsplit('/').next()
    }

    /// The names of a schema's own fields.
    pub(crate) fn fields(&self, schema: &str) -> Vec<String> {
        let fields = self.0["components"]["schemas"][schema]["properties"].as_object().unwrap();
        fields.keys().cloned().collect()
    }

    /// Every way in which one field can be wrong, in a body that is good otherwise.
    pub(crate) fn wrong_bodies(&self, schema: &str, good: &Value) -> Vec<WrongBody> {
        let mut all = Vec::new();
        self.collect_wrong(&self.0["components"]["schemas"][schema], good, &[], &mut all);
        all
    }

    fn collect_wrong(&self, object: &Value, good: &Value, at: &[String], all: &mut Vec<WrongBody>) {
        let required = object["required"].as_array().cloned().unwrap_or_default();
        for (name, schema) in object["properties"].as_object().into_iter().flatten() {
            let field: Vec<String> = at.iter().cloned().chain(once(name.clone())).collect();
            let schema = self.followed(schema);
            let mut put = |value| all.push(WrongBody { body: with(good, &field, value), field: field.clone() });
            if required.contains(&json!(name)) {
                put(None);
                put(Some(Value::Null));
            }
            self.wrong_values(schema).into_iter().for_each(|value| put(Some(value)));
            if schema["properties"].is_object() {
                let inner = with(good, &field, Some(self.least(schema)));
                self.collect_wrong(schema, &inner, &field, all);
            }
        }
    }

    /// The schema that a reference, or a choice between it and null, stands for.
    fn followed<'a>(&'a self, schema: &'a Value) -> &'a Value {
        if let Some(target) = schema["$ref"].as_str() {
            return self.followed(self.0.pointer(target.trim_start_matches('#')).unwrap());
        }
        let choices = schema["oneOf"].as_array().map(Vec::as_slice).unwrap_or_default();
        choices.iter().find(|choice| choice["type"] != "null").map_or(schema, |choice| self.followed(choice))
    }

    /// The smallest object that is good.
    fn least(&self, object: &Value) -> Value {
        let required = object["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap());
        Value::Object(required.map(|name| (name.to_owned(), json!("swept"))).collect())
    }

    /// Values that the schema forbids: of each other type, too long and too short, with wrong characters, out of range.
    fn wrong_values(&self, schema: &Value) -> Vec<Value> {
        let kinds = kinds(schema);
        let samples = [
            ("string", json!("?")),
            ("integer", json!(5)),
            ("integer", json!(1.5)),
            ("integer", json!(-1e300)),
            ("boolean", json!(true)),
            ("array", json!([])),
            ("object", json!({})),
        ];
        let is_other = |kind: &str, value: &Value| !kinds.contains(&kind) || (kind == "integer" && !value.is_i64());
        let others = samples.into_iter().filter(|(kind, value)| is_other(kind, value)).map(|(_, value)| value);
        let mut all: Vec<Value> = others.collect();
        let limit = |name: &str| schema[name].as_u64();
        match kinds.first() {
            Some(&"string") => all.extend(wrong_texts(schema).into_iter().map(Value::String)),
            Some(&"integer") => {
                all.extend(schema["minimum"].as_i64().map(|least| json!(least - 1)));
                all.extend(schema["maximum"].as_i64().map(|most| json!(most + 1)));
            }
            Some(&"array") => {
                let item = self.followed(&schema["items"]);
                all.extend(limit("maxItems").map(|most| json!(vec!["swept"; usize::try_from(most).unwrap() + 1])));
                all.extend(limit("minItems").filter(|least| *least > 0).map(|_| json!([])));
                all.extend(self.wrong_values(item).into_iter().map(|value| json!([value])));
            }
            Some(&"object") if schema["additionalProperties"].is_object() => {
                let item = self.followed(&schema["additionalProperties"]);
                all.extend(self.wrong_values(item).into_iter().map(|value| json!({ "swept": value })));
            }
            _ => {}
        }
        all
    }

    /// The parameters of an operation's query, each with values that are forbidden.
    pub(crate) fn wrong_params(&self, operation: &Operation) -> Vec<(String, Vec<String>)> {
        let params = operation.about["parameters"].as_array().into_iter().flatten();
        let params = params.filter(|param| param["in"] == "query");
        let all = params.map(|param| {
            let schema = self.followed(&param["schema"]);
            (param["name"].as_str().unwrap().to_owned(), wrong_words(self.followed(item_of(schema))))
        });
        all.collect()
    }
}

fn item_of(schema: &Value) -> &Value {
    if schema["items"].is_object() { &schema["items"] } else { schema }
}

/// The types that a schema allows, but for null.
fn kinds(schema: &Value) -> Vec<&str> {
    let alternatives = schema["anyOf"].as_array().into_iter().flatten().flat_map(kinds);
    let own: Vec<&Value> = match &schema["type"] {
        Value::Array(several) => several.iter().collect(),
        one => vec![one],
    };
    own.into_iter().filter_map(Value::as_str).filter(|kind| *kind != "null").chain(alternatives).collect()
}

fn wrong_texts(schema: &Value) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(most) = schema["maxLength"].as_u64() {
        let start =
            if schema["pattern"].as_str().is_some_and(|pattern| pattern.contains("://")) { "http://" } else { "" };
        all.push(start.to_owned() + &"x".repeat(usize::try_from(most).unwrap() + 1));
    }
    if schema["minLength"].as_u64().is_some_and(|least| least > 0) {
        all.push(String::new());
    }
    if schema["pattern"].is_string() {
        all.extend(["\0", "a\nb", "http://a b\u{7f}/\\"].map(str::to_owned));
    }
    if schema["enum"].is_array() || schema["format"] == "date-time" || schema["format"] == "password" {
        all.extend(["", "yesterday", "2026-13-45T99:00:00Z"].map(str::to_owned));
    }
    all
}

/// The same in a query, where all is text.
fn wrong_words(schema: &Value) -> Vec<String> {
    match kinds(schema).first() {
        Some(&"integer") => {
            let beyond = [("minimum", -1), ("maximum", 1)];
            let beyond = beyond.iter().filter_map(|(name, step)| Some((schema[*name].as_i64()? + step).to_string()));
            let never = ["", "x", "1.5", "+", "0x1", "%00"].map(str::to_owned);
            never.into_iter().chain(once("9".repeat(400))).chain(beyond).collect()
        }
        Some(&"boolean") => ["", "maybe", "2", "tru", "%ff"].map(str::to_owned).to_vec(),
        // What a schema says of characters, a percent sign says in a query.
        _ => wrong_texts(schema)
            .into_iter()
            .filter(|text| !text.is_empty() || schema["enum"].is_array() || schema["format"] == "date-time")
            .map(|text| url::form_urlencoded::byte_serialize(text.as_bytes()).collect())
            .collect(),
    }
}

/// The same body with another value at a place, or without it.
fn with(body: &Value, place: &[String], value: Option<Value>) -> Value {
    let (last, parents) = place.split_last().unwrap();
    let mut edited = body.clone();
    let mut object = &mut edited;
    for parent in parents {
        object = &mut object[parent];
    }
    if object.is_null() {
        *object = Value::Object(Map::new());
    }
    match value {
        Some(value) => object[last] = value,
        None => drop(object.as_object_mut().unwrap().remove(last)),
    }
    edited
}
