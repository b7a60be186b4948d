//! Nothing lost: what an emitter made is on the topic, in the consumer's application once each, and the newest event of
//! each invoice is its row. The topic is read with Kafka's own consumer, the tables with psql.

use super::shell::Shell;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Everything has arrived long before; what was killed comes back within seconds.
const PATIENCE: Duration = Duration::from_secs(150);
const PAUSE: Duration = Duration::from_millis(250);

/// So many events for one customer.
pub(super) struct Emission {
    pub(super) customer: &'static str,
    /// Events in a second.
    pub(super) rate: u32,
    pub(super) count: usize,
}

impl Emission {
    /// Registers the customer's webhook and starts its emitter.
    pub(super) fn start(&self, shell: &mut Shell<'_>) -> Result<()> {
        let Self { customer, rate, count } = self;
        let registered = shell.run(&format!(
            "curl -X POST http://localhost:8080/register \
             -d '{{\"customer_id\": \"{customer}\", \"webhook_url\": \"http://127.0.0.1:8081/webhook\"}}'"
        ))?;
        let registered: Value = serde_json::from_str(&registered).context("/register answers JSON")?;
        let id = registered["webhook_id"].as_str().context("/register answers a webhook_id")?;
        shell.says(
            &format!(
                "curl -X POST \"http://localhost:8080/emitter/start?customer_id={customer}&webhook_id={id}&rate={rate}&count={count}\""
            ),
            &["Event emitter started"],
        )?;
        Ok(())
    }

    /// How many of them have come through to the consumer's application.
    pub(super) fn received(&self, shell: &Shell<'_>) -> Result<usize> {
        Ok(self.uids(shell)?.len())
    }

    /// Waits until more than `before` have come through, or all.
    pub(super) fn wait_for_more(&self, shell: &Shell<'_>, before: usize) -> Result<()> {
        self.wait_until(shell, |received| received > before || received == self.count)
    }

    /// Waits until all have come through, and compares what there is.
    pub(super) fn wait_and_check(&self, shell: &mut Shell<'_>) -> Result<()> {
        let started = Instant::now();
        self.wait_until(shell, |received| received >= self.count)?;
        println!("the last of {} is stored {:.1} s later", self.count, started.elapsed().as_secs_f64());
        let emitted = self.emitted(shell)?;
        let distinct: BTreeSet<&String> = emitted.iter().collect();
        shell.check(
            emitted.len() == self.count && distinct.len() == self.count,
            "each event is emitted once",
            &format!("{} events, {} of them different", emitted.len(), distinct.len()),
        );
        let received = self.uids(shell)?;
        let once: BTreeSet<&String> = received.iter().collect();
        shell.check(
            once == distinct && received.len() == once.len(),
            "each emitted event is stored by the consumer once",
            &format!("{} stored, {} different", received.len(), once.len()),
        );
        self.check_topic(shell, &distinct)
    }

    /// What the topic holds: every event, and for each invoice the one that its row must show.
    fn check_topic(&self, shell: &mut Shell<'_>, emitted: &BTreeSet<&String>) -> Result<()> {
        let lines = shell.run(
            "kafka-console-consumer --bootstrap-server localhost:9092 --topic golang.webhook.system --from-beginning \
             --timeout-ms 5000",
        )?;
        let mut seen = BTreeSet::new();
        let mut last: BTreeMap<String, (String, String, String)> = BTreeMap::new();
        // What the program says of itself stands between them.
        let records: Vec<&str> = lines.lines().filter(|line| line.starts_with('{')).collect();
        for line in &records {
            let event: Value = serde_json::from_str(line).with_context(|| format!("the topic holds `{line}`"))?;
            let text = |name: &str| event.pointer(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let id = text("/event_id");
            if emitted.contains(&id) {
                // Of one emitter all times have one form, so that they sort as text.
                let one = (text("/timestamp"), id.clone(), text("/event_type"));
                let newest = last.entry(text("/data/invoice_id")).or_insert_with(|| one.clone());
                *newest = one.max(newest.clone());
                seen.insert(id);
            }
        }
        let missing = emitted.iter().filter(|id| !seen.contains(**id)).count();
        shell.check(missing == 0, "the topic has every event", &format!("{missing} are missing"));
        let rows = shell.run("psql -AtF ' ' -c 'select invoice_id, source_event_id, event_type from events'")?;
        let rows: BTreeSet<&str> = rows.lines().collect();
        let wanted = last.iter().map(|(invoice, (_, id, kind))| format!("{invoice} {id} {kind}"));
        let wrong: Vec<String> = wanted.filter(|row| !rows.contains(row.as_str())).take(3).collect();
        shell.check(wrong.is_empty(), "each row of events is the last event of its invoice", &wrong.join("; "));
        println!("{} invoices, {} records on the topic", last.len(), records.len());
        Ok(())
    }

    /// The events of the customer, as the sender stored them.
    fn emitted(&self, shell: &Shell<'_>) -> Result<Vec<String>> {
        let rows = shell.run(&format!(
            "psql -Atc \"select convert_from(e.body, 'UTF8')::json->>'event_id' from hookfast.events e \
             join hookfast.applications a on a.no = e.app where a.name = '{}'\"",
            self.customer
        ))?;
        Ok(rows.lines().map(str::to_owned).collect())
    }

    /// The events of the customer, as the consumer stored them: all of one pair of applications.
    fn uids(&self, shell: &Shell<'_>) -> Result<Vec<String>> {
        let rows = shell.run(&format!(
            "psql -Atc \"select c.uid from hookfast.events c join hookfast.applications k on k.no = c.app \
             where k.uid not like 'sender.%' and k.uid not like 'redis.%' and c.uid in (\
             select convert_from(e.body, 'UTF8')::json->>'event_id' from hookfast.events e \
             join hookfast.applications a on a.no = e.app where a.name = '{}')\"",
            self.customer
        ))?;
        Ok(rows.lines().map(str::to_owned).collect())
    }

    fn wait_until(&self, shell: &Shell<'_>, done: impl Fn(usize) -> bool) -> Result<()> {
        let started = Instant::now();
        loop {
            let received = self.received(shell)?;
            if done(received) {
                return Ok(());
            }
            ensure!(
                started.elapsed() < PATIENCE,
                "after {PATIENCE:?} only {received} of {} events of {} are stored by the consumer",
                self.count,
                self.customer
            );
            std::thread::sleep(PAUSE);
        }
    }
}
