//! On which days the caller keys of a commit are taken. A key is unique in its day, so two nodes that take the same one as
//! the day changes, or whose clocks are on two sides of midnight, would not meet. Near midnight both days are taken at once.
//! Must not know what the keys stand for.

use super::partitions;
use super::statement::Statement;
use hookfast_core::UnixMs;
use tokio_postgres::types::Type;

/// So long before and after midnight: longer than a commit takes, and than the clocks of two nodes differ.
const NEAR_MS: i64 = 60_000;

/// The days of a batch: one, or two near midnight.
#[derive(Default)]
pub(crate) struct KeyDays {
    span: Option<(i32, i32)>,
    before: i32,
    count: i64,
}

impl KeyDays {
    /// An event of this time has a key.
    pub(crate) fn add(&mut self, time: UnixMs) {
        let at = |ms: i64| day(UnixMs(time.0.saturating_add(ms)));
        let (first, last) = self.span.unwrap_or((i32::MAX, i32::MIN));
        let (first, last) = (first.min(at(-NEAR_MS)), last.max(at(NEAR_MS)));
        self.span = Some((first, last));
        self.before = first.saturating_sub(1);
        self.count = i64::from(last) - i64::from(first) + 1;
    }

    /// Adds the parts that take the keys of `i`, of which `k` names those that were free; nothing, and `false`, without any.
    pub(crate) fn write<'a>(&'a self, statement: &mut Statement<'a>) -> bool {
        let Some((first, last)) = &self.span else { return false };
        // Sorted, so that two nodes never wait for each other in a circle.
        if self.count == 1 {
            statement.part(
                "k AS (INSERT INTO hookfast.dedupe (day, key, body, object)
                   SELECT i.today, i.key, i.key_body, i.id FROM i WHERE i.key IS NOT NULL AND NOT EXISTS (
                     SELECT FROM hookfast.dedupe d WHERE d.day = i.today - 1 AND d.key = i.key)
                   ORDER BY i.key ON CONFLICT DO NOTHING RETURNING key)",
                &[],
            );
            return true;
        }
        statement.part(
            "k2 AS (INSERT INTO hookfast.dedupe (day, key, body, object)
               SELECT g.day, i.key, i.key_body, i.id FROM i, generate_series(@, @) AS g(day)
               WHERE i.key IS NOT NULL AND NOT EXISTS (
                 SELECT FROM hookfast.dedupe d WHERE d.day BETWEEN @ AND @ AND d.key = i.key)
               ORDER BY i.key, g.day ON CONFLICT DO NOTHING RETURNING key)",
            &[(first, Type::INT4), (last, Type::INT4), (&self.before, Type::INT4), (last, Type::INT4)],
        );
        // One that was free on one of the days only is somebody else's: what it left there stands for no event, and goes when
        // it is asked about.
        statement.part("k AS (SELECT key FROM k2 GROUP BY key HAVING count(*) = @)", &[(&self.count, Type::INT8)]);
        true
    }
}

/// The day of a time, as columns have it.
pub(crate) fn day(time: UnixMs) -> i32 {
    i32::try_from(partitions::day(time)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn span(times: &[i64]) -> Option<(i32, i32)> {
        let mut days = KeyDays::default();
        times.iter().for_each(|ms| days.add(UnixMs(DAY_MS * 20_000 + ms)));
        days.span
    }

    #[test]
    fn both_days_are_taken_near_midnight_only() {
        assert_eq!(span(&[]), None);
        assert_eq!(span(&[NEAR_MS, DAY_MS / 2, DAY_MS - NEAR_MS - 1]), Some((20_000, 20_000)));
        assert_eq!(span(&[NEAR_MS - 1]), Some((19_999, 20_000)));
        assert_eq!(span(&[-NEAR_MS]), Some((19_999, 20_000)));
        assert_eq!(span(&[-NEAR_MS - 1]), Some((19_999, 19_999)));
    }
}
