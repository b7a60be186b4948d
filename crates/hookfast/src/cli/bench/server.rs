//! The server under measurement: a child of this process, or one that runs already. Measures nothing by itself.

use super::database::{Database, Work};
use super::disk;
use super::setting::{Setting, Which};
use anyhow::Context as _;
use hookfast_core::model::SecretText;
use hookfast_lab::client::Client;
use hookfast_lab::process::{Server, ServerConfig, Usage};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// How long a child may take to drain at the end.
const TERMINATE_MS_MAX: u64 = 60_000;
/// A store with a long history may take its time to open.
const READY_MS_MAX: u64 = 120_000;

/// A server that is ready.
pub(super) struct Target {
    pub(super) client: Arc<Client>,
    pub(super) token: String,
    /// Median time of an fdatasync in the data directory, in µs.
    pub(super) fdatasync_p50_us: Option<f64>,
    own: Option<Own>,
    database: Option<Database>,
    pids: Vec<u32>,
}

struct Own {
    server: Server,
    /// Dropped after the server.
    _dir: TempDir,
}

impl Target {
    /// Starts a child, or finds the running server.
    pub(super) async fn ready(setting: &Setting) -> anyhow::Result<Self> {
        match &setting.which {
            Which::Own { dir, history, store } => Self::start(dir, *history, store.as_ref()).await,
            Which::Running { url, token, pids } => {
                let client = Client::tcp(url, Some(token.clone()))?;
                anyhow::ensure!(client.ping().await, "no server answers at {url}/api/v1/health/ping");
                let (client, token, pids) = (Arc::new(client), token.clone(), pids.clone());
                Ok(Self { client, token, fdatasync_p50_us: None, own: None, database: None, pids })
            }
        }
    }

    async fn start(parent: &Path, history: u64, store: Option<&SecretText>) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("hookfast-bench-").tempdir_in(parent);
        let dir = dir.with_context(|| format!("make a directory in {}", parent.display()))?;
        let fdatasync_p50_us = disk::fdatasync_p50_us(dir.path()).context("measure the disk")?;
        let binary = std::env::current_exe().context("find this program")?;
        let mut config = ServerConfig::new(binary, dir.path().join("data"))?;
        config.ready_ms_max = READY_MS_MAX;
        let database = match store {
            Some(url) => Some(Database::create(url).await?),
            None => None,
        };
        if let Some(database) = &database {
            config.env.push(("HOOKFAST_STORE__URL".into(), database.url().reveal().into()));
        }
        let token = config.create_token().await?;
        if history > 0 {
            config.run(&["fill", "--finished", &history.to_string()]).await?;
        }
        let server = Server::start(config).await?;
        let (client, pids) = (Arc::new(server.client(&token)?), vec![server.pid()]);
        let own = Some(Own { server, _dir: dir });
        Ok(Self { client, token, fdatasync_p50_us: Some(fdatasync_p50_us), own, database, pids })
    }

    /// What its processes have used in all; `None` when none is known.
    pub(super) fn usage(&self) -> anyhow::Result<Option<Usage>> {
        let mut sum: Option<Usage> = None;
        for pid in &self.pids {
            let usage = Usage::of(*pid)?;
            let so_far = sum.get_or_insert_default();
            so_far.cpu_us += usage.cpu_us;
            so_far.rss_bytes += usage.rss_bytes;
            so_far.rss_peak_bytes += usage.rss_peak_bytes;
            so_far.threads += usage.threads;
        }
        Ok(sum)
    }

    /// What its database did, when it has one of its own.
    pub(super) async fn database_work(&self) -> anyhow::Result<Option<Work>> {
        match &self.database {
            Some(database) => database.work().await.map(Some),
            None => Ok(None),
        }
    }

    /// Bytes of its data directory, when that holds the events.
    pub(super) fn disk_bytes(&self) -> Option<u64> {
        self.own
            .as_ref()
            .filter(|_| self.database.is_none())
            .map(|own| disk::bytes_under(&own.server.config().data_dir))
    }

    /// Ends a child; its directory goes with it.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        if let Some(own) = self.own {
            let status = own.server.terminate(TERMINATE_MS_MAX).await?;
            anyhow::ensure!(status.success(), "the server ended with {status}");
        }
        if let Some(database) = self.database {
            database.end().await?;
        }
        Ok(())
    }
}
