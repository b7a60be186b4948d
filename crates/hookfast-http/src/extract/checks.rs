//! Rules for texts that callers choose: names, uids, channels, event types. Pure.

use super::json::Problem;
use hookfast_core::limits::{CHANNEL_CHARS_MAX, NAME_CHARS_MAX};

fn length(text: &str, chars_max: usize) -> Result<(), Problem> {
    let chars = text.chars().count();
    if (1..=chars_max).contains(&chars) {
        return Ok(());
    }
    let kind = if chars == 0 { "too_short" } else { "too_long" };
    Err(Problem::new(kind, format!("expected 1 to {chars_max} characters, got {chars}")))
}

fn characters(text: &str, more: &str) -> Result<(), Problem> {
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || "-_.".contains(*c) || more.contains(*c))) {
        None => Ok(()),
        Some(wrong) => {
            let msg = format!("expected only letters, digits and -_.{more}, got {wrong:?}");
            Err(Problem::new("bad_characters", msg))
        }
    }
}

/// A uid of a thing whose own ids start with `prefix`.
pub(crate) fn uid_for(prefix: &'static str) -> impl Fn(&str) -> Result<(), Problem> {
    move |text| {
        length(text, NAME_CHARS_MAX)?;
        characters(text, "")?;
        if text.starts_with(prefix) {
            return Err(Problem::new("value_error", format!("expected a uid that does not start with {prefix:?}")));
        }
        Ok(())
    }
}

/// The name of an event type.
pub(crate) fn event_type_name(text: &str) -> Result<(), Problem> {
    length(text, NAME_CHARS_MAX)?;
    characters(text, ":+")
}

/// A channel.
pub(crate) fn channel(text: &str) -> Result<(), Problem> {
    length(text, CHANNEL_CHARS_MAX)?;
    characters(text, ":+")
}

/// A display name.
pub(crate) fn name_text(text: &str) -> Result<(), Problem> {
    length(text, NAME_CHARS_MAX)?;
    match text.chars().find(|c| c.is_control()) {
        None => Ok(()),
        Some(wrong) => Err(Problem::new("bad_characters", format!("expected no control characters, got {wrong:?}"))),
    }
}

/// Free text.
pub(crate) fn any_text(text: &str) -> Result<(), Problem> {
    const CHARS_MAX: usize = 4096;
    let chars = text.chars().count();
    if chars <= CHARS_MAX {
        return Ok(());
    }
    Err(Problem::new("too_long", format!("expected at most {CHARS_MAX} characters, got {chars}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_have_their_length_their_characters_and_no_id_prefix() {
        let check = uid_for("app_");
        assert!(check("a").is_ok() && check("Tenant-7_x.y").is_ok() && check(&"a".repeat(256)).is_ok());
        for (text, kind) in [
            ("", "too_short"),
            ("a b", "bad_characters"),
            ("ä", "bad_characters"),
            ("app_1", "value_error"),
            ("a/b", "bad_characters"),
        ] {
            assert_eq!(check(text).unwrap_err().kind, kind, "{text:?}");
        }
        assert_eq!(check(&"a".repeat(257)).unwrap_err().kind, "too_long");
    }

    #[test]
    fn channels_and_types_may_have_colons_and_plus() {
        assert!(channel("a:b+c").is_ok() && event_type_name("invoice.paid:v2").is_ok());
        assert_eq!(channel(&"c".repeat(129)).unwrap_err().kind, "too_long");
        assert_eq!(event_type_name("a/b").unwrap_err().kind, "bad_characters");
        assert_eq!(name_text("a\nb").unwrap_err().kind, "bad_characters");
    }
}
