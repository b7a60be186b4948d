//! What a stack shows: its processes, the commands to try; and the programs of the old commands, made to reach it.

use super::layout::Layout;
use super::parts::Part;
use super::processes::Processes;
use super::servers;
use crate::testing::postgres;
use anyhow::Result;
use std::os::unix::fs::PermissionsExt as _;

/// Puts the programs of the old commands beside hookfast.
pub(crate) fn write(layout: &Layout) -> Result<()> {
    let variable = |name| layout.variables.get(name);
    let psql = format!(
        "export PGHOST=127.0.0.1 PGPORT={} PGUSER='{}' PGPASSWORD='{}' PGDATABASE='{}'\nexec {} \"$@\"",
        layout.ports.postgres,
        variable("POSTGRES_USER"),
        variable("POSTGRES_PASSWORD"),
        variable("POSTGRES_DB"),
        postgres::program("psql")?.display(),
    );
    let consumer = format!("exec {} \"$@\"", servers::console_consumer()?);
    for (name, text) in [("psql", psql), ("kafka-console-consumer", consumer)] {
        let path = layout.bin().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n"))?;
        // A password stands in one of them.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Prints a line for each part. The answer is whether all are ready.
pub(crate) fn print_table(layout: &Layout, processes: &Processes) -> bool {
    let mut all = true;
    println!("{:<18} {:>8}  {:<9}  URL", "NAME", "PID", "STATE");
    for part in Part::all() {
        let (pid, state) = match processes.pid(part.name()) {
            None => ("-".to_owned(), "down"),
            Some(pid) => (pid.to_string(), if part.is_ready(layout, pid) { "ready" } else { "not ready" }),
        };
        all &= state == "ready";
        println!("{:<18} {pid:>8}  {state:<9}  {}", part.name(), part.url(layout));
    }
    println!("logs: {}", layout.log("*").display());
    all
}

/// Prints the parts, and what to try.
pub(crate) fn print(layout: &Layout, processes: &Processes) {
    print_table(layout, processes);
    let ports = &layout.ports;
    let (sender, nginx, api) = (ports.sender, ports.nginx, ports.api);
    let topic = layout.variables.get("KAFKA_TOPIC");
    println!(
        r#"
To try (docs/guides/first-system.md says what each prints):
  curl -X POST http://localhost:{sender}/register -d '{{ "customer_id": "ben@webhooksystem", "webhook_url": "http://127.0.0.1:{nginx}/webhook"}}'
  curl -X POST "http://localhost:{sender}/emitter/start?customer_id=ben@webhooksystem&webhook_id=WEBHOOK_ID"
  curl http://localhost:{sender}/emitter
  {bin}/psql -c 'select * from events;'
  {bin}/kafka-console-consumer --bootstrap-server localhost:{kafka} --topic {topic} --from-beginning
  curl http://localhost:{api}/payment
  cargo xtask stack status
  cargo xtask stack down [--wipe]"#,
        kafka = ports.kafka,
        bin = layout.bin().display(),
    );
}
