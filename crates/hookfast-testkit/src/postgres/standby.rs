//! A second server that follows a first one, for failover. Knows nothing of what is replicated.

use super::PostgresServer;
use super::programs;

/// A synchronous standby: from its start on, the primary answers a commit once the standby has synced it as well.
pub struct Standby(PostgresServer);

impl Standby {
    /// Copies `primary`, which has no other standby, and starts the copy as its synchronous standby. Commits of
    /// `primary` wait from then on while the standby is away.
    ///
    /// # Panics
    /// When it cannot be done.
    #[must_use]
    pub fn of(primary: &PostgresServer) -> Self {
        let home = programs::home();
        let mut copy = programs::command("pg_basebackup");
        // The slot makes the primary keep what the standby has not fetched yet.
        copy.args(["--checkpoint=fast", "--write-recovery-conf", "--create-slot", "--slot=standby"]);
        copy.arg(format!("--dbname={}?application_name=standby", primary.url()));
        programs::output(copy.arg("--pgdata").arg(home.path().join("data"))).unwrap();
        let mut server = PostgresServer::of(home);
        // After the copy: the standby, once promoted, must not wait for itself.
        primary.psql("alter system set synchronous_standby_names = 'standby'").unwrap();
        primary.psql("select pg_reload_conf()").unwrap();
        let synchronous = "select count(*) from pg_stat_replication where sync_state = 'sync' and state = 'streaming'";
        server.wait_until(|| primary.psql(synchronous).unwrap() == "1");
        Self(server)
    }

    /// The standby itself, to read from it and to stop it. It takes no writes.
    pub fn server(&mut self) -> &mut PostgresServer {
        &mut self.0
    }

    /// Makes it a server of its own that takes writes. Whether its primary still runs is the caller's to see to.
    ///
    /// # Panics
    /// When it cannot be promoted.
    #[must_use]
    pub fn promote(self) -> PostgresServer {
        assert_eq!(self.0.psql("select pg_promote()").unwrap(), "t");
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promoted_standby_has_every_row_committed_on_the_killed_primary() {
        let Some(mut primary) = PostgresServer::start() else { return };
        primary.psql("create table t (n int)").unwrap();
        primary.psql("insert into t values (0)").unwrap();
        let mut standby = Standby::of(&primary);
        for n in 1..=20 {
            primary.psql(&format!("insert into t values ({n})")).unwrap();
        }
        primary.kill();
        assert!(standby.server().psql("insert into t values (99)").is_err(), "a standby takes no writes");
        let promoted = standby.promote();
        promoted.psql("insert into t values (21)").unwrap();
        assert_eq!(promoted.psql("select count(*), max(n) from t").unwrap(), "22|21");
    }

    #[test]
    fn a_commit_waits_while_the_standby_is_away() {
        let Some(primary) = PostgresServer::start() else { return };
        let mut standby = Standby::of(&primary);
        standby.server().stop();
        let waits = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'";
        std::thread::scope(|scope| {
            let commit = scope.spawn(|| primary.psql("create table t (n int)"));
            let waited = (0..1000).any(|_| primary.psql(waits).is_ok_and(|count| count == "1"));
            let answered = commit.is_finished();
            standby.server().restart();
            commit.join().unwrap().unwrap();
            assert!(waited && !answered, "it must not be answered before the standby is back");
        });
    }
}
