//! One statement made of parts, so that a commit is one round trip and one transaction. The parts that a batch needs decide
//! its text, so there are few different ones. Must not know any table but `nodes`.

use super::node;
use std::fmt::Write as _;
use tokio_postgres::types::{ToSql, Type};

/// The fence that every part joins: without a live node's row nothing is written. `$1` is the incarnation.
pub(crate) fn fence() -> String {
    format!("WITH me AS MATERIALIZED ({})", node::fence_sql())
}

/// A statement being made.
pub(crate) struct Statement<'a> {
    sql: String,
    params: Vec<(&'a (dyn ToSql + Sync), Type)>,
}

impl<'a> Statement<'a> {
    pub(crate) fn new(incarnation: &'a i64) -> Self {
        Self { sql: fence(), params: vec![(incarnation, Type::INT8)] }
    }

    /// Adds a part: in `text` each `@` stands for the next of `params`.
    pub(crate) fn part(&mut self, text: &str, params: &[(&'a (dyn ToSql + Sync), Type)]) {
        self.sql.push_str(",\n");
        self.write(text, params);
    }

    /// The end: what is answered.
    pub(crate) fn select(&mut self, text: &str) {
        self.sql.push('\n');
        self.sql.push_str(text);
    }

    fn write(&mut self, text: &str, params: &[(&'a (dyn ToSql + Sync), Type)]) {
        let mut params = params.iter();
        for piece in text.split_inclusive('@') {
            match (piece.strip_suffix('@'), params.next()) {
                (Some(before), Some((value, kind))) => {
                    self.params.push((*value, kind.clone()));
                    let _ = write!(self.sql, "{before}${}", self.params.len());
                }
                _ => self.sql.push_str(piece),
            }
        }
    }

    pub(crate) fn sql(&self) -> &str {
        &self.sql
    }

    pub(crate) fn params(&self) -> super::db::Params<'_> {
        &self.params
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_number_their_parameters_one_after_the_other() {
        let (me, a, b) = (7_i64, 1_i64, "x");
        let mut statement = Statement::new(&me);
        statement.part("p AS (SELECT @, @ FROM me)", &[(&a, Type::INT8), (&b, Type::TEXT)]);
        statement.part("q AS (SELECT @)", &[(&a, Type::INT8)]);
        statement.select("SELECT 1");
        assert!(statement.sql().ends_with("p AS (SELECT $2, $3 FROM me),\nq AS (SELECT $4)\nSELECT 1"));
        assert_eq!(statement.params().len(), 4);
    }
}
