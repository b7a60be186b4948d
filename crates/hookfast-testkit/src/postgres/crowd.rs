//! Clients that hold connections and do nothing with them, or nothing but a transaction. Knows nothing of who is short of
//! connections then.

use super::programs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};

/// More connections than any server here has.
const CLIENTS_MAX: usize = 500;

/// Connected clients. All leave when dropped.
pub struct Crowd(Vec<Child>);

impl Crowd {
    /// Takes every connection that the server of `url` still gives to this user.
    ///
    /// # Panics
    /// When it gives more than any server here should have.
    #[must_use]
    pub fn that_fills(url: &str) -> Self {
        let mut crowd = Self(Vec::new());
        while let Some(client) = connect(url, "select 1") {
            crowd.0.push(client);
            assert!(crowd.0.len() < CLIENTS_MAX, "{url} gives connections without end");
        }
        crowd
    }

    /// One client that has begun a transaction with `sql` and does not end it.
    ///
    /// # Panics
    /// When it is not let in, or the server refuses what it wants.
    #[must_use]
    pub fn in_a_transaction(url: &str, sql: &str) -> Self {
        let sql = format!("begin; {sql}; select 1");
        Self(vec![connect(url, &sql).unwrap_or_else(|| panic!("refused: {sql}"))])
    }

    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// There was no connection left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for client in &mut self.0 {
            let _ = client.kill();
        }
        for client in &mut self.0 {
            let _ = client.wait();
        }
    }
}

/// A client that ran `sql`, whose last answer is `1`, and waits for more; `None` when it was refused.
fn connect(url: &str, sql: &str) -> Option<Child> {
    let mut psql = programs::command("psql");
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", url]).env("PGCONNECT_TIMEOUT", "10");
    let mut client = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // One that was refused has closed its end.
    let _ = client.stdin.as_mut().map(|stdin| stdin.write_all(format!("{sql};\n").as_bytes()));
    let answers = BufReader::new(client.stdout.take().unwrap()).lines();
    if answers.map_while(Result::ok).any(|line| line == "1") {
        return Some(client);
    }
    let _ = client.wait();
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::PostgresServer;

    #[test]
    fn a_crowd_leaves_no_connection_and_goes_when_it_is_dropped() {
        let Some(server) = PostgresServer::start_with(&["max_connections=8"]) else { return };
        server.psql("create role visitor login").unwrap();
        let url = server.url().replacen("postgres@", "visitor@", 1);
        let crowd = Crowd::that_fills(&url);
        assert_eq!(crowd.len(), 5, "three are kept for superusers");
        assert!(Crowd::that_fills(&url).is_empty());
        let visitors = "select count(*) from pg_stat_activity where usename = 'visitor'";
        assert_eq!(server.psql(visitors).unwrap(), "5");
        drop(crowd);
        let are_gone = (0..1000).any(|_| server.psql(visitors).unwrap() == "0");
        assert!(are_gone, "they left");
    }
}
