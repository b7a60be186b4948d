//! Points in time as the API writes and reads them: RFC 3339 with `Z` and milliseconds out; any zone, or none
//! (which is read as UTC), in. Has no clock.

use hookfast_core::UnixMs;
use serde::{Serialize, Serializer};

const TEXT_LEN: usize = 24;
/// 9999-12-31T23:59:59.999Z: later times would not fit the form.
const MS_MAX: i64 = 253_402_300_799_999;

/// A point in time as an answer shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) UnixMs);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = text_of(self.0);
        serializer.serialize_str(std::str::from_utf8(&text).map_err(serde::ser::Error::custom)?)
    }
}

/// `2026-10-20T10:00:00.123Z`.
fn text_of(time: UnixMs) -> [u8; TEXT_LEN] {
    let ms = time.0.clamp(0, MS_MAX);
    let (days, in_day) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = date_of(days);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    digits(&mut text[0..4], year);
    digits(&mut text[5..7], month);
    digits(&mut text[8..10], day);
    digits(&mut text[11..13], in_day / 3_600_000);
    digits(&mut text[14..16], in_day / 60_000 % 60);
    digits(&mut text[17..19], in_day / 1_000 % 60);
    digits(&mut text[20..23], in_day % 1_000);
    text
}

fn digits(out: &mut [u8], mut value: i64) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

/// Year, month and day of a count of days since 1970-01-01, by counting in eras of 400 years from 0000-03-01.
fn date_of(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let in_era = shifted.rem_euclid(146_097);
    let year_in_era = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year_in_era + year_in_era / 4 - year_in_era / 100);
    let shifted_month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_in_era + i64::from(month <= 2), month, day)
}

/// Reads a time; one without a zone is UTC. `None` when it is none.
pub(crate) fn parse(text: &str) -> Option<UnixMs> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(UnixMs(time.as_millisecond()));
    }
    let local = text.parse::<jiff::civil::DateTime>().ok()?;
    let zoned = local.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(UnixMs(zoned.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(time: UnixMs) -> String {
        String::from_utf8(text_of(time).to_vec()).unwrap()
    }

    #[test]
    fn a_time_without_a_zone_is_utc() {
        let want = Some(UnixMs(1_792_490_400_000));
        for text in ["2026-10-20T10:00:00Z", "2026-10-20T10:00:00", "2026-10-20T12:00:00+02:00", "2026-10-20 10:00:00"]
        {
            assert_eq!(parse(text), want, "{text}");
        }
        for text in ["", "yesterday", "2026-13-01T00:00:00Z", "1792490400", "2026-10-20T10:00:00+99:00"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn shows_milliseconds_and_z() {
        assert_eq!(shown(UnixMs(1_792_490_400_007)), "2026-10-20T10:00:00.007Z");
        assert_eq!(shown(UnixMs(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(shown(UnixMs::MAX), "9999-12-31T23:59:59.999Z");
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(ms in 0i64..MS_MAX - 86_400_000) {
            let by_jiff = jiff::Timestamp::from_millisecond(ms).unwrap().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
            prop_assert_eq!(shown(UnixMs(ms)), by_jiff);
            prop_assert_eq!(parse(&shown(UnixMs(ms))), Some(UnixMs(ms)));
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,40}") {
            let _ = parse(&text);
        }
    }
}
