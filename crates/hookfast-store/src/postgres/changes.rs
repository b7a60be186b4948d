//! How nodes hear of each other: changes of the configuration, within a second, and work that nobody at home delivers.
//!
//! Truth is in the tables and is polled; notifications only make it faster. Applications and tokens in memory are forgotten
//! by what is read here, so a node that could not read for a while forgets everything.

use super::claim;
use super::connect::Target;
use super::db::{Run, Tx};
use super::wire::Uuid;
use super::{Shared, codec, routes};
use crate::Result;
use futures_util::StreamExt as _;
use hookfast_core::model::Endpoint;
use hookfast_core::{AppId, EndpointId, UnixMs};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_postgres::AsyncMessage;
use tokio_postgres::types::Type;

/// How often changes are looked for, told or not.
const POLL: Duration = Duration::from_millis(400);
/// Changes are read back for so long, since one may be committed after others with higher numbers.
const OVERLAP_S: f64 = 20.0;
/// Without notifications, endpoints with waiting rows are looked for so often.
const LOOK: Duration = Duration::from_millis(400);
/// At most one notification of new work in so long.
const WAKE_EVERY: Duration = Duration::from_millis(10);
/// Numbers of endpoints in one notification: it may have 8,000 bytes.
const WAKE_MAX: usize = 300;
/// Pause before a lost connection for notifications is replaced.
const RECONNECT: Duration = Duration::from_millis(500);
const CHANNEL: &str = "hookfast";

/// Something that memories hold was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// An application: made, changed or deleted.
    Application(AppId),
    /// An endpoint: made, changed or deleted.
    Endpoint(AppId, EndpointId),
    /// A token was made or revoked.
    Token,
}

/// Writes down what a transaction changes, for the other nodes, and makes old routing invalid.
pub(crate) async fn publish(shared: &Shared, tx: &Tx<'_>, changes: &[Change]) -> Result<()> {
    let columns = changes.iter().map(|change| match change {
        Change::Application(app) => (Some(Uuid::from(*app)), None),
        Change::Endpoint(app, endpoint) => (Some(Uuid::from(*app)), Some(Uuid::from(*endpoint))),
        Change::Token => (None, None),
    });
    let (apps, endpoints): (Vec<Option<Uuid>>, Vec<Option<Uuid>>) = columns.unzip();
    if !changes.is_empty() {
        tx.change(
            "WITH v AS (UPDATE hookfast.applications SET version = version + 1 WHERE id = ANY($1))
             INSERT INTO hookfast.changes (app, endpoint) SELECT * FROM unnest($1::uuid[], $2::uuid[])",
            &[(&apps, Type::UUID_ARRAY), (&endpoints, Type::UUID_ARRAY)],
        )
        .await?;
    }
    if shared.config.notifications && !changes.is_empty() {
        tx.one("SELECT pg_notify($1, 'c')", &[(&CHANNEL, Type::TEXT)]).await?;
    }
    Ok(())
}

/// Takes committed changes over into this node's memory and tells its engine.
pub(crate) async fn apply(shared: &Shared, changes: &[Change]) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    // Before anything that can fail: what is forgotten is read again.
    shared.directory.forget();
    let (mut apps, mut endpoints) = (Vec::new(), Vec::new());
    for change in changes {
        match change {
            Change::Application(app) => {
                shared.routes().forget(*app);
                apps.push(Uuid::from(*app));
            }
            Change::Endpoint(app, endpoint) => {
                shared.routes().forget(*app);
                endpoints.push(*endpoint);
            }
            Change::Token => {}
        }
    }
    if !apps.is_empty() {
        tell_throttles(shared, &apps).await?;
    }
    if endpoints.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = endpoints.iter().map(|id| Uuid::from(*id)).collect();
    let session = shared.db.session().await?;
    let sql = "SELECT no FROM hookfast.endpoints WHERE id = ANY($1) AND deleted_at IS NULL";
    let rows = session.rows(sql, &[(&ids, Type::UUID_ARRAY)]).await?;
    let numbers = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<i64>>>()?;
    let live = routes::endpoints_by_number(&session, &shared.sealer, &numbers, false).await?;
    for id in endpoints {
        match live.iter().find(|one| one.endpoint.id == id) {
            Some(one) => shared.dispatch.endpoint_changed(&one.endpoint),
            None => shared.dispatch.endpoint_removed(id),
        }
    }
    Ok(())
}

/// Tells the engine what these applications allow their endpoints.
async fn tell_throttles(shared: &Shared, apps: &[Uuid]) -> Result<()> {
    let sql = "SELECT id, throttle_rate, updated_at FROM hookfast.applications
               WHERE id = ANY($1) AND deleted_at IS NULL";
    for row in shared.db.session().await?.rows(sql, &[(&apps, Type::UUID_ARRAY)]).await? {
        let app = AppId::from(row.try_get::<_, Uuid>(0)?);
        shared.dispatch.app_throttle_changed(app, codec::app_throttle(&row, 1)?);
    }
    Ok(())
}

/// What other nodes are told of rows of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum News {
    /// New ones were committed.
    Queued,
    /// Old ones were given back.
    GivenBack,
}

impl News {
    const ALL: [Self; 2] = [Self::Queued, Self::GivenBack];

    /// How a notification of it begins. What a node does not know it takes for changes of the configuration.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Queued => "q",
            Self::GivenBack => "r",
        }
    }
}

/// Endpoints whose rows other nodes are to be told of.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    endpoints: Mutex<BTreeMap<i64, News>>,
    more: Notify,
}

impl Shared {
    /// Committed rows of the queue wait for these endpoints. The numbers are for nodes that deliver, if this one does not.
    pub(crate) fn queued(
        &self,
        waiting: &[(Arc<Endpoint>, UnixMs)],
        numbers: impl IntoIterator<Item = i64>,
        news: News,
    ) {
        if waiting.is_empty() {
            return;
        }
        if !self.config.delivers {
            return self.tell_others(numbers, news);
        }
        if news == News::GivenBack {
            numbers.into_iter().for_each(|no| self.swept().forget(no));
        }
        self.dispatch.queued(waiting);
        let throttled: Vec<EndpointId> =
            waiting.iter().filter(|(one, _)| one.is_throttled()).map(|(one, _)| one.id).collect();
        if !throttled.is_empty() {
            // Perhaps another node owns them.
            let numbers: Vec<i64> = throttled.into_iter().filter_map(|id| self.routes().number(id)).collect();
            self.tell_others(numbers, news);
        }
    }

    fn tell_others(&self, numbers: impl IntoIterator<Item = i64>, news: News) {
        if !self.config.notifications {
            return;
        }
        let mut endpoints = self.wake.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        for no in numbers {
            let known = endpoints.entry(no).or_insert(news);
            *known = news.max(*known);
        }
        drop(endpoints);
        self.wake.more.notify_one();
    }
}

/// Tells the nodes that deliver of new rows, a little later and together: each NOTIFY makes commits wait for each other.
pub(crate) async fn wake_others(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = shared.wake.more.notified() => {}
        }
        let endpoints = std::mem::take(&mut *shared.wake.endpoints.lock().unwrap_or_else(PoisonError::into_inner));
        for payload in payloads(&endpoints) {
            let told = async {
                let session = shared.db.session().await?;
                let sql = "SELECT pg_notify($1, $2)";
                session.one(sql, &[(&CHANNEL, Type::TEXT), (&payload, Type::TEXT)]).await
            };
            // Not told is not lost: nodes that deliver look for waiting rows by themselves.
            if let Err(error) = told.await {
                tracing::debug!(%error, "other nodes were not told of new work");
            }
        }
        tokio::time::sleep(WAKE_EVERY).await;
    }
}

/// The notifications that say it, each of bounded length.
fn payloads(endpoints: &BTreeMap<i64, News>) -> Vec<String> {
    let of = |news| endpoints.iter().filter(move |(_, one)| **one == news).map(|(no, _)| no.to_string());
    let mut payloads = Vec::new();
    for news in News::ALL {
        let numbers: Vec<String> = of(news).collect();
        payloads.extend(numbers.chunks(WAKE_MAX).map(|some| format!("{}{}", news.prefix(), some.join(","))));
    }
    payloads
}

/// What this node has seen of the list of changes.
#[derive(Default)]
struct Seen {
    numbers: HashSet<i64>,
    /// The last look that succeeded.
    at: Option<Instant>,
}

impl Seen {
    async fn look(&mut self, shared: &Shared) -> Result<()> {
        let began = Instant::now();
        let session = shared.db.session().await?;
        let sql = "SELECT no, app, endpoint FROM hookfast.changes
                   WHERE at > now() - make_interval(secs => $1) ORDER BY no";
        let rows = session.rows(sql, &[(&OVERLAP_S, Type::FLOAT8)]).await?;
        drop(session);
        let missed = self.at.is_none_or(|at| began - at > Duration::from_secs_f64(OVERLAP_S / 2.0));
        let mut fresh = Vec::new();
        let mut numbers = HashSet::with_capacity(rows.len());
        for row in &rows {
            let no: i64 = row.try_get(0)?;
            numbers.insert(no);
            if !self.numbers.contains(&no) {
                fresh.push(match (row.try_get::<_, Option<Uuid>>(1)?, row.try_get::<_, Option<Uuid>>(2)?) {
                    (Some(app), Some(endpoint)) => Change::Endpoint(app.into(), endpoint.into()),
                    (Some(app), None) => Change::Application(app.into()),
                    _ => Change::Token,
                });
            }
        }
        if missed {
            shared.directory.forget();
            shared.routes().forget_all();
        }
        apply(shared, &fresh).await?;
        // Only now: what could not be taken over is tried again with the next look.
        (self.numbers, self.at) = (numbers, Some(began));
        Ok(())
    }
}

/// Follows the changes until the store is closed.
pub(crate) async fn follow(shared: Arc<Shared>, target: Target) {
    let told = Arc::new(Notify::new());
    let listener =
        shared.config.notifications.then(|| tokio::spawn(listen(Arc::clone(&shared), target, Arc::clone(&told))));
    let mut seen = Seen::default();
    let mut looked = Instant::now();
    loop {
        if let Err(error) = seen.look(&shared).await {
            tracing::debug!(%error, "changes by other nodes could not be read");
        }
        if shared.config.delivers && !shared.config.notifications && looked.elapsed() >= LOOK {
            looked = Instant::now();
            look_for_work(&shared).await;
        }
        tokio::select! {
            () = shared.stop.cancelled() => break,
            () = told.notified() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
    if let Some(listener) = listener {
        listener.abort();
    }
}

async fn look_for_work(shared: &Shared) {
    match claim::waiting(shared, None, 256).await {
        Ok(waiting) => {
            let waiting: Vec<_> = waiting.into_iter().map(|one| (one.endpoint, one.due)).collect();
            if !waiting.is_empty() {
                shared.dispatch.queued(&waiting);
            }
        }
        Err(error) => tracing::debug!(%error, "waiting rows could not be looked for"),
    }
}

/// Listens on a connection of its own, and makes a new one when it breaks.
async fn listen(shared: Arc<Shared>, target: Target, told: Arc<Notify>) {
    loop {
        if let Err(error) = listen_once(&shared, &target, &told).await {
            tracing::debug!(%error, "the connection for notifications broke; polling goes on");
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn listen_once(shared: &Arc<Shared>, target: &Target, told: &Notify) -> Result<()> {
    let (client, mut connection) = target.config.connect(target.tls.clone()).await?;
    let mut messages = futures_util::stream::poll_fn(move |cx| connection.poll_message(cx));
    let listening = client.batch_execute("LISTEN hookfast");
    tokio::pin!(listening);
    let mut listens = false;
    loop {
        tokio::select! {
            done = &mut listening, if !listens => {
                done?;
                listens = true;
                told.notify_one();
            }
            message = messages.next() => match message {
                Some(Ok(AsyncMessage::Notification(note))) => heard(shared, note.payload(), told).await,
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(()),
            },
        }
    }
}

async fn heard(shared: &Shared, payload: &str, told: &Notify) {
    let news = News::ALL.into_iter().find_map(|news| Some((news, payload.strip_prefix(news.prefix())?)));
    let Some((news, numbers)) = news else {
        told.notify_one();
        return;
    };
    if !shared.config.delivers {
        return;
    }
    let numbers: Vec<i64> = numbers.split(',').filter_map(|no| no.parse().ok()).collect();
    if news == News::GivenBack {
        numbers.iter().for_each(|no| shared.swept().forget(*no));
    }
    let found = async {
        let session = shared.db.session().await?;
        routes::endpoints_by_number(&session, &shared.sealer, &numbers, false).await
    };
    match found.await {
        Ok(found) => {
            let now = shared.clock.now();
            let waiting: Vec<_> = found.into_iter().map(|one| (one.endpoint, now)).collect();
            shared.dispatch.queued(&waiting);
        }
        Err(error) => tracing::debug!(%error, "new work was announced and could not be looked up"),
    }
}
