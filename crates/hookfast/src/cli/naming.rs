//! What a word on the command line names: an id, a uid, or the start of either that only one has; and which application
//! is meant when none is named. Knows applications, endpoints and events only through the API.

use crate::client::{Api, segment};
use crate::config::distance;
use crate::exit::{Exit, Failure};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;

/// Where the applications are.
pub(super) const APPS: &str = "/api/v1/app";
/// How many of the newest are looked at for one that is meant.
const LOOKED_AT_MAX: usize = 1_000;
/// Edits up to which a name is near another.
const NEAR_MAX: usize = 3;
/// Names shown where several are possible.
const SHOWN_MAX: usize = 5;
/// Characters of an id behind its prefix.
const ID_CHARS: usize = 22;

/// A thing, by its id and its application's.
pub(super) struct Named {
    /// The application.
    pub(super) app: String,
    /// The thing.
    pub(super) id: String,
}

impl Named {
    /// Its address, with what follows.
    pub(super) fn path(&self, kind: Kind, rest: &str) -> String {
        format!("{}/{}{rest}", kind.list(&self.app), segment(&self.id))
    }
}

/// What kind of thing is named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An endpoint.
    Endpoint,
    /// An event.
    Event,
}

impl Kind {
    /// What its ids start with.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Endpoint => "ep_",
            Self::Event => "msg_",
        }
    }

    /// What it is called in addresses.
    pub(super) fn segment(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Event => "msg",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Event => "event",
        }
    }

    /// The address of all of an application.
    pub(super) fn list(self, app: &str) -> String {
        format!("{APPS}/{}/{}", segment(app), self.segment())
    }
}

/// Which application is meant: the one that is named, or the only one there is.
///
/// # Errors
/// When none fits, or several do; nearby names are told.
pub(super) async fn app(api: &Api, given: Option<&str>) -> anyhow::Result<String> {
    if let Some(given) = given {
        if let Some(found) = look(api, &format!("{APPS}/{}", segment(given))).await? {
            return id_of(&found);
        }
        return choose("application", given, &candidates(api, APPS, "uid").await?);
    }
    let found = candidates(api, APPS, "uid").await?;
    match found.as_slice() {
        [] => {
            let why = "there is no application yet; `hookfast app create NAME` makes one";
            Err(Failure::new(Exit::NotFound, why))
        }
        [only] => Ok(only.id.clone()),
        several => {
            let why = format!("there are several applications; name one with --app: {}", shown(several));
            Err(Failure::new(Exit::Usage, why))
        }
    }
}

/// Which endpoint or event is meant. An id leads to its application by itself.
///
/// # Errors
/// When none fits, or several do; nearby names are told.
pub(super) async fn thing(api: &Api, kind: Kind, app_given: Option<&str>, given: &str) -> anyhow::Result<Named> {
    let whole = given.strip_prefix(kind.prefix()).is_some_and(|rest| rest.len() == ID_CHARS);
    if whole && app_given.is_none() {
        let path = format!("/api/v1/hookfast/{}/{}/explain", kind.segment(), segment(given));
        if let Some(found) = look(api, &path).await? {
            let app = found["appId"].as_str().unwrap_or_default().to_owned();
            return Ok(Named { app, id: given.to_owned() });
        }
    }
    let app = match app(api, app_given).await {
        Ok(app) => app,
        // With several applications there is nothing to guess from.
        Err(_) if whole && app_given.is_none() => return Err(not_found(kind.word(), given, "")),
        Err(error) => return Err(error),
    };
    let list = kind.list(&app);
    let own_name = if kind == Kind::Event { "eventId" } else { "uid" };
    let one = format!("{list}/{}", segment(given));
    let id = match look(api, &one).await? {
        Some(found) => id_of(&found)?,
        None => choose(kind.word(), given, &candidates(api, &list, own_name).await?)?,
    };
    Ok(Named { app, id })
}

/// What is at an address; `None` when nothing is.
async fn look(api: &Api, path: &str) -> anyhow::Result<Option<Value>> {
    let answer = api.call(Method::GET, path, Bytes::new()).await?;
    if answer.status == StatusCode::NOT_FOUND { Ok(None) } else { answer.json().map(Some) }
}

fn id_of(found: &Value) -> anyhow::Result<String> {
    let id = found["id"].as_str().ok_or_else(|| Failure::new(Exit::Failed, "the answer holds no id"))?;
    Ok(id.to_owned())
}

struct Candidate {
    id: String,
    name: Option<String>,
}

impl Candidate {
    fn names(&self) -> impl Iterator<Item = &str> {
        [Some(self.id.as_str()), self.name.as_deref()].into_iter().flatten()
    }
}

/// The things of a list, as many as are looked at.
async fn candidates(api: &Api, list: &str, own_name: &str) -> anyhow::Result<Vec<Candidate>> {
    let mut found = Vec::new();
    let mut iterator = String::new();
    while found.len() < LOOKED_AT_MAX {
        let path = format!("{list}?limit=250&iterator={}", segment(&iterator));
        let answer = api.json(Method::GET, &path, None).await?;
        found.extend(answer["data"].as_array().into_iter().flatten().map(|one| Candidate {
            id: one["id"].as_str().unwrap_or_default().to_owned(),
            name: one[own_name].as_str().map(str::to_owned),
        }));
        match answer["iterator"].as_str() {
            Some(next) if answer["done"] == false => next.clone_into(&mut iterator),
            _ => break,
        }
    }
    Ok(found)
}

fn shown(candidates: &[Candidate]) -> String {
    let names: Vec<&str> =
        candidates.iter().take(SHOWN_MAX).map(|one| one.name.as_deref().unwrap_or(&one.id)).collect();
    let more = if candidates.len() > SHOWN_MAX { ", …" } else { "" };
    format!("{}{more}", names.join(", "))
}

fn not_found(word: &str, given: &str, hint: &str) -> anyhow::Error {
    Failure::new(Exit::NotFound, format!("{word} {given} not found{hint}"))
}

/// The one whose id or name starts so; the start of an id may leave out its prefix.
fn choose(word: &str, given: &str, candidates: &[Candidate]) -> anyhow::Result<String> {
    let starts = |one: &&Candidate| {
        let bare = one.id.split_once('_').map_or("", |(_, bare)| bare);
        !given.is_empty() && (bare.starts_with(given) || one.names().any(|name| name.starts_with(given)))
    };
    let fitting: Vec<&Candidate> = candidates.iter().filter(starts).collect();
    match fitting.as_slice() {
        [only] => Ok(only.id.clone()),
        [] => {
            let near = candidates.iter().flat_map(Candidate::names).map(|name| (distance(name, given), name)).min();
            let hint = match near {
                Some((far, near)) if far <= NEAR_MAX => format!("; did you mean {near}?"),
                _ => String::new(),
            };
            Err(not_found(word, given, &hint))
        }
        several => {
            let ids: Vec<&str> = several.iter().take(SHOWN_MAX).map(|one| one.id.as_str()).collect();
            let why = format!("{given} is the start of {} {word}s: {}", several.len(), ids.join(", "));
            Err(Failure::new(Exit::Usage, why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(given: &str) -> Result<String, (Exit, String)> {
        let candidate = |id: &str, name: Option<&str>| Candidate { id: id.into(), name: name.map(str::to_owned) };
        let candidates = [candidate("ep_0aaX", Some("billing")), candidate("ep_0abX", None)];
        choose("endpoint", given, &candidates).map_err(|error| (Failure::exit_of(&error), error.to_string()))
    }

    #[test]
    fn a_start_that_one_has_is_enough() {
        for start in ["ep_0aa", "0aa", "bil", "billing", "ep_0aaX"] {
            assert_eq!(pick(start).as_deref(), Ok("ep_0aaX"), "{start}");
        }
    }

    #[test]
    fn a_start_that_several_have_is_asked_about() {
        let wanted = "ep_0a is the start of 2 endpoints: ep_0aaX, ep_0abX";
        assert_eq!(pick("ep_0a"), Err((Exit::Usage, wanted.to_owned())));
    }

    #[test]
    fn the_near_name_is_suggested() {
        let wanted = "endpoint biling not found; did you mean billing?";
        assert_eq!(pick("biling"), Err((Exit::NotFound, wanted.to_owned())));
        assert_eq!(pick("something"), Err((Exit::NotFound, "endpoint something not found".to_owned())));
        assert_eq!(pick(""), Err((Exit::NotFound, "endpoint  not found".to_owned())));
    }
}
