//! The commands of the first systems, and what they answer. The originals' containers are reached by programs on the path
//! here, and the handler, which had a name in their network, through nginx.

use super::shell::Shell;
use anyhow::{Context as _, Result};
use serde_json::Value;

const REGISTER: &str = r#"curl -X POST http://localhost:8080/register -d '{ "customer_id": "ben@webhooksystem", "webhook_url": "http://127.0.0.1:8081/webhook"}'"#;
const STATUS: &str = "curl -o /dev/null -w '%{http_code}'";

/// Registers, starts, stops, looks; and what is refused.
pub(super) fn first_system(shell: &mut Shell<'_>) -> Result<()> {
    println!("\n# the commands of the first system");
    shell.says(&format!("{STATUS} -X GET http://localhost:8080/ping"), &["200"])?;
    shell.says("curl -X GET http://localhost:8080/", &["[]"])?;
    let registered =
        shell.says(REGISTER, &["webhook_id", "webhook_url", "secret_token", "\"webhook_status\":\"ACTIVE\""])?;
    let registered: Value = serde_json::from_str(&registered).context("/register answers JSON")?;
    let id = registered["webhook_id"].as_str().context("/register answers a webhook_id")?.to_owned();
    shell.says(REGISTER, &[&id, "\"secret_token\":\"********\""])?;
    let webhook = format!("customer_id=ben@webhooksystem&webhook_id={id}");
    shell
        .says(&format!("curl -X POST \"http://localhost:8080/emitter/start?{webhook}\""), &["Event emitter started"])?;
    shell.says("curl -X GET http://localhost:8080/emitter", &[&id, "RUNNING"])?;
    shell
        .says(&format!("curl -X POST \"http://localhost:8080/emitter/stop?{webhook}\""), &["Event emitter stopped"])?;
    shell.says("curl -X GET http://localhost:8080/emitter", &["[]"])?;
    shell.says("curl -X GET http://localhost:8080/", &[&id])?;
    shell.says(&format!("{STATUS} -X GET http://localhost:8081/ping"), &["200"])?;
    shell.says("psql -U root -d webhooksdb -c '\\dt'", &["webhooks", "events"])?;
    shell.says(
        "psql -U root -d webhooksdb -c 'select * from webhooks;'",
        &[&id, "ben@webhooksystem", "ACTIVE", "***"],
    )?;
    let refused = [
        ("-X GET http://localhost:8080/register".to_owned(), "405"),
        ("-X POST http://localhost:8080/register -d 'no JSON'".to_owned(), "400"),
        ("-X POST \"http://localhost:8080/emitter/start?customer_id=ben@webhooksystem\"".to_owned(), "400"),
        (format!("-X POST \"http://localhost:8080/emitter/start?customer_id=somebody&webhook_id={id}\""), "404"),
        ("-X POST http://localhost:8081/webhook -d '{}'".to_owned(), "401"),
        ("-X GET http://localhost:8081/webhook".to_owned(), "405"),
        ("-X GET http://localhost:8082/health/ready".to_owned(), "20"),
        ("-X GET http://localhost:8082/metrics".to_owned(), "200"),
    ];
    for (command, expected) in refused {
        shell.says(&format!("{STATUS} {command}"), &[expected])?;
    }
    Ok(())
}

/// A payment, its status, its webhook.
pub(super) fn second_system(shell: &mut Shell<'_>) -> Result<()> {
    println!("\n# the commands of the second system");
    let payment = shell
        .says("curl -X GET http://localhost:8000/payment", &["\"id\"", "\"payment\"", "\"event\"", "\"created\""])?;
    let payment: Value = serde_json::from_str(&payment).context("/payment answers JSON")?;
    let id = payment["id"].as_str().context("/payment answers an id")?.to_owned();
    shell.says(&format!("curl http://localhost:8000/payment/{id}"), &[&id, "\"status\""])?;
    shell.says(&format!("{STATUS} http://localhost:8000/payment/PAY0"), &["404"])?;
    shell.says("hookfast pay --api http://127.0.0.1:8000 --wait 20s", &["by webhook"])?;
    Ok(())
}
