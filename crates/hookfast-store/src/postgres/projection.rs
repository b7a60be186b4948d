//! The tables that are projected to, under the names that the first system gave them: `public.events`, one row for each
//! invoice with its newest event, and `public.webhooks`. They are made when they are missing and adopted when they are
//! there, whatever types their columns have. Must not know where events come from.

use super::Shared;
use super::db::{Run, Tx};
use crate::{Error, Result};
use hookfast_core::Error as PortError;
use std::collections::HashMap;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

/// Any number: who makes or adopts the tables holds this lock.
const LOCK: i64 = 0x686f_6f6b_6670;

const EVENTS: &str = "events";
const WEBHOOKS: &str = "webhooks";

/// Of each table, the columns that are written; the first one is its key.
const EVENT_COLUMNS: [&str; 5] = ["invoice_id", "source_event_id", "source_timestamp", "event_type", "created_at"];
const WEBHOOK_COLUMNS: [&str; 6] =
    ["webhook_id", "customer_id", "webhook_url", "secret_token", "webhook_status", "created_at"];

const CREATE_EVENTS: &str = "CREATE TABLE public.events (
  invoice_id text PRIMARY KEY,
  source_event_id text NOT NULL,
  source_timestamp timestamptz NOT NULL,
  event_type text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now())";
const CREATE_WEBHOOKS: &str = "CREATE TABLE public.webhooks (
  webhook_id uuid PRIMARY KEY,
  customer_id text NOT NULL,
  webhook_url text NOT NULL,
  secret_token text NOT NULL,
  webhook_status text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now())";

/// The types of a table's columns, as SQL spells them.
type Types = HashMap<String, String>;

/// Makes or adopts both tables, and keeps `public.webhooks` in step from now on. The answer is the part of a commit that
/// changes the table of invoices, as `InvoiceColumns` fills it.
pub(crate) async fn prepare(shared: &Shared) -> Result<String> {
    let mut session = shared.db.session().await?;
    let tx = session.begin().await?;
    tx.one("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)]).await?;
    let events = table(&tx, EVENTS, &EVENT_COLUMNS, CREATE_EVENTS).await?;
    let webhooks = table(&tx, WEBHOOKS, &WEBHOOK_COLUMNS, CREATE_WEBHOOKS).await?;
    follow_webhooks(&tx, &webhooks).await?;
    let part = part(&events)?;
    tx.commit().await?;
    Ok(part)
}

/// Sees to it that a table is there and can be written as it must be.
async fn table(tx: &Tx<'_>, name: &str, columns: &[&str], create: &str) -> Result<Types> {
    let sql = "SELECT to_regclass('public.' || $1) IS NOT NULL";
    if !tx.one(sql, &[(&name, Type::TEXT)]).await?.try_get::<_, bool>(0)? {
        tx.batch(create).await.map_err(|error| cannot_make(name, error))?;
    }
    let found = tx
        .rows(
            "SELECT attname::text, format_type(atttypid, atttypmod), attnotnull AND NOT atthasdef AND attidentity = ''
             FROM pg_attribute WHERE attrelid = ('public.' || $1)::regclass AND attnum > 0 AND NOT attisdropped",
            &[(&name, Type::TEXT)],
        )
        .await?;
    let mut types = Types::new();
    for row in &found {
        let (column, kind, must_be_given): (String, String, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if must_be_given && !columns.contains(&column.as_str()) {
            let reason = format!("its column {column} has neither default nor NULL, and nothing is written to it");
            return refuse(name, &format!("{reason}: ALTER TABLE public.{name} ALTER {column} DROP NOT NULL"));
        }
        types.insert(column, kind);
    }
    if let Some(missing) = columns.iter().find(|column| !types.contains_key(**column)) {
        let (mut has, all) = (types.into_keys().collect::<Vec<_>>(), columns.join(", "));
        has.sort_unstable();
        return refuse(name, &format!("expected columns {all}; {missing} is missing, found {}", has.join(", ")));
    }
    key(tx, name, columns[0]).await?;
    Ok(types)
}

/// The first column must be unique, for rows to be changed in place.
async fn key(tx: &Tx<'_>, name: &str, column: &str) -> Result<()> {
    let is_unique = tx
        .one(
            "SELECT EXISTS (SELECT FROM pg_index i
               JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
               WHERE i.indrelid = ('public.' || $1)::regclass AND i.indisunique AND i.indpred IS NULL
                 AND i.indnkeyatts = 1 AND a.attname = $2)",
            &[(&name, Type::TEXT), (&column, Type::TEXT)],
        )
        .await?;
    if is_unique.try_get(0)? {
        return Ok(());
    }
    match tx.batch(&format!("CREATE UNIQUE INDEX ON public.{name} ({column})")).await {
        Ok(()) => Ok(()),
        Err(Error::Postgres(error)) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
            refuse(name, &format!("it has several rows of one {column}: keep the newest of each, and start again"))
        }
        Err(error) => Err(cannot_make(name, error)),
    }
}

fn cannot_make(name: &str, error: Error) -> Error {
    match &error {
        Error::Postgres(cause) if cause.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            let said = cause.as_db_error().map(|db| db.message().to_owned()).unwrap_or_default();
            let reason = format!("{said}: GRANT CREATE ON SCHEMA public to this user, or let an owner make the table");
            PortError::invalid(format!("public.{name}"), reason).into()
        }
        _ => error,
    }
}

fn refuse<T>(name: &str, reason: &str) -> Result<T> {
    Err(PortError::invalid(format!("public.{name}"), reason).into())
}

/// The part of a commit that changes the table of invoices: the newest event of each stays, whatever comes when.
fn part(types: &Types) -> Result<String> {
    let kind = |column: &str| types.get(column).map(String::as_str).unwrap_or_default();
    let (invoice, event, event_type) = (kind("invoice_id"), kind("source_event_id"), kind("event_type"));
    let utc = "timestamptz 'epoch' + v.at * interval '1 microsecond'";
    let time = match kind("source_timestamp") {
        time if time.ends_with("with time zone") => utc.to_owned(),
        time if time.ends_with("without time zone") => format!("({utc}) AT TIME ZONE 'UTC'"),
        other => {
            return refuse(
                EVENTS,
                &format!("expected source_timestamp to be a timestamp with or without time zone, found {other}"),
            );
        }
    };
    // Texts are compared byte by byte, whatever the language of the database.
    let bytes = |of: String| if event == "uuid" { of } else { format!("{of} COLLATE \"C\"") };
    let (ours, theirs) = (bytes("t.source_event_id".to_owned()), bytes("excluded.source_event_id".to_owned()));
    let newest = bytes(format!("v.event_id::{event}"));
    Ok(format!(
        "p AS (INSERT INTO public.events AS t (invoice_id, source_event_id, source_timestamp, event_type, created_at)
           SELECT DISTINCT ON (v.invoice::{invoice}) v.invoice::{invoice}, v.event_id::{event}, {time},
             v.event_type::{event_type}, now()
           FROM unnest(@, @, @, @, @) AS v(id, invoice, event_id, at, event_type) JOIN e ON e.id = v.id
           ORDER BY v.invoice::{invoice}, v.at DESC, {newest} DESC
           ON CONFLICT (invoice_id) DO UPDATE SET source_event_id = excluded.source_event_id,
             source_timestamp = excluded.source_timestamp, event_type = excluded.event_type
           WHERE ((t.source_timestamp, {ours}) >= (excluded.source_timestamp, {theirs})) IS NOT TRUE)"
    ))
}

/// A trigger writes `public.webhooks` in the transaction that changes an endpoint. A table that was changed or dropped
/// later must not keep endpoints from being changed: that is a warning in the server's log.
async fn follow_webhooks(tx: &Tx<'_>, types: &Types) -> Result<()> {
    let kind = |column: &str| types.get(column).map(String::as_str).unwrap_or_default();
    let columns = WEBHOOK_COLUMNS.join(", ");
    let row = |endpoint: &str| {
        format!(
            "SELECT {endpoint}.uid::{}, (a.metadata::jsonb ->> 'customer_id')::{}, {endpoint}.url::{}, '********'::{},
               (CASE WHEN {endpoint}.disabled IS NULL THEN 'ACTIVE' ELSE 'DISABLED' END)::{},
               to_timestamp({endpoint}.created_at / 1000.0)",
            kind("webhook_id"),
            kind("customer_id"),
            kind("webhook_url"),
            kind("secret_token"),
            kind("webhook_status"),
        )
    };
    let change = "ON CONFLICT (webhook_id) DO UPDATE SET webhook_url = excluded.webhook_url,
      webhook_status = excluded.webhook_status, secret_token = excluded.secret_token";
    let (new, every) = (row("NEW"), row("e"));
    tx.batch(&format!(
        "CREATE OR REPLACE FUNCTION hookfast.project_webhook() RETURNS trigger LANGUAGE plpgsql AS $project$
         BEGIN
           IF NEW.deleted_at IS NOT NULL THEN
             DELETE FROM public.webhooks WHERE webhook_id::text = NEW.uid AND EXISTS (
               SELECT FROM hookfast.applications a WHERE a.no = NEW.app AND a.uid LIKE 'sender.%');
           ELSE
             INSERT INTO public.webhooks ({columns})
             {new} FROM hookfast.applications a WHERE a.no = NEW.app AND a.uid LIKE 'sender.%'
             {change};
           END IF;
           RETURN NULL;
         EXCEPTION WHEN data_exception OR undefined_table OR undefined_column OR integrity_constraint_violation THEN
           RAISE WARNING 'public.webhooks was not written for webhook %: %', NEW.uid, SQLERRM;
           RETURN NULL;
         END $project$;
         INSERT INTO public.webhooks ({columns})
         {every} FROM hookfast.endpoints e JOIN hookfast.applications a ON a.no = e.app
         WHERE e.deleted_at IS NULL AND e.uid IS NOT NULL AND a.uid LIKE 'sender.%' AND a.deleted_at IS NULL
         {change}"
    ))
    .await?;
    let sql = "SELECT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'project_webhook'
      AND tgrelid = 'hookfast.endpoints'::regclass)";
    if !tx.one(sql, &[]).await?.try_get::<_, bool>(0)? {
        tx.batch(
            "CREATE TRIGGER project_webhook AFTER INSERT OR UPDATE OF url, disabled, deleted_at ON hookfast.endpoints
             FOR EACH ROW WHEN (NEW.uid IS NOT NULL) EXECUTE FUNCTION hookfast.project_webhook()",
        )
        .await?;
    }
    Ok(())
}
