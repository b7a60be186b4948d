//! Where an event came in and who handed it over: kept with the event, told with its story. Must not decide anything.

use crate::TokenId;
use crate::limits::ORIGIN_BYTES_MAX;
use std::fmt;
use std::sync::Arc;

/// A short text on one line, at most [`ORIGIN_BYTES_MAX`] bytes. Cheap to clone: whoever hands over many events makes it
/// once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(Arc<str>);

impl Name {
    /// Cuts what is too long, and puts spaces where no line of text has a character: anybody may have written it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let cut = &text[..text.floor_char_boundary(ORIGIN_BYTES_MAX)];
        if cut.contains(char::is_control) { Self(cut.replace(char::is_control, " ").into()) } else { Self(cut.into()) }
    }

    /// How an access token is called: by its id and what its maker called it.
    #[must_use]
    pub fn of_token(id: TokenId, name: &str) -> Self {
        if name.is_empty() { Self::new(&id.to_string()) } else { Self::new(&format!("{id} ({name})")) }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where an event came in, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The source: `api`, `cli`, or a kind of source and which one of it, as in `receiver:shop`.
    pub source: Name,
    /// Who handed it over, where the source knows: a token's id and name, or the subject of a signed token. Never what
    /// it proved that by.
    pub by: Option<Name>,
}

impl Origin {
    /// A source that does not know who hands events over.
    #[must_use]
    pub fn of(source: &str) -> Self {
        Self { source: Name::new(source), by: None }
    }

    /// As it was kept; `None` when no source was.
    #[must_use]
    pub fn kept(source: Option<&str>, by: Option<&str>) -> Option<Self> {
        source.map(|source| Self { by: by.map(Name::new), ..Self::of(source) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_is_called_by_its_id_and_name() {
        let id = TokenId::from_u128(7);
        assert_eq!(Name::of_token(id, "ci").as_str(), format!("{id} (ci)"));
        assert_eq!(Name::of_token(id, "").as_str(), id.to_string());
        let long = format!("x{}", "é".repeat(200));
        assert_eq!(Name::of_token(id, &long).as_str().len(), ORIGIN_BYTES_MAX - 1, "cut between characters");
    }

    #[test]
    fn without_a_source_nothing_was_kept() {
        assert_eq!(Origin::kept(None, Some("somebody")), None);
        let kept = Origin::kept(Some("api"), Some("somebody"));
        assert_eq!(kept, Some(Origin { source: Name::new("api"), by: Some(Name::new("somebody")) }));
    }

    proptest! {
        #[test]
        fn any_text_becomes_a_short_line(text in "(?s).{0,120}") {
            let name = Name::new(&text);
            prop_assert!(name.as_str().len() <= ORIGIN_BYTES_MAX && !name.as_str().contains(char::is_control));
            prop_assert_eq!(Name::new(name.as_str()), name);
        }
    }
}
