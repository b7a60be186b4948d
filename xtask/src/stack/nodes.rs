//! hookfast in its roles: the commands, files and variables of the services in `deploy/compose.yaml`, with the addresses of
//! this machine. Starts nothing.

use super::layout::{Layout, deploy};
use super::processes::detached;
use std::process::Command;

/// What compose.yaml gives to every server, and to those with a store.
const LOG: [&str; 4] = ["KAFKA_ADDR", "KAFKA_TOPIC", "KAFKA_GROUP_ID", "WEBHOOK_SECRET_TOKEN"];
const STORE: [&str; 5] = ["POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"];
/// Not in compose.yaml: a test has no time for the default.
pub(crate) const RETRY_DELAYS: &str = "HOOKFAST_RETRY__DELAYS";
/// In the place of the network of compose.
const NETWORK: &str = "127.0.0.0/8";

pub(crate) fn sender(layout: &Layout) -> Command {
    let mut command = serve(layout, "sender.toml", "sender", layout.ports.sender);
    command.envs(layout.variables.only(&STORE)).env("HOOKFAST_DELIVERY__ALLOW_NETWORKS", NETWORK);
    command.envs(layout.variables.only(&["REDIS_ADDRESS", RETRY_DELAYS]));
    command.env("HOOKFAST_REDIS__PASSWORD", layout.variables.get("REDIS_PASSWORD"));
    command
}

pub(crate) fn handler(layout: &Layout, number: usize) -> Command {
    let name = format!("webhook_handler-{}", number + 1);
    let mut command = serve(layout, "webhook_handler.toml", &name, layout.ports.handlers[number]);
    command.env("HOOKFAST_SERVER__TRUSTED_PROXIES", NETWORK);
    command
}

pub(crate) fn consumer(layout: &Layout) -> Command {
    let mut command = serve(layout, "event_consumer.toml", "event_consumer", layout.ports.consumer);
    command.envs(layout.variables.only(&STORE));
    command
}

pub(crate) fn api(layout: &Layout) -> Command {
    let mut command = hookfast(layout);
    command.args(["payments", "--listen", &format!("127.0.0.1:{}", layout.ports.api)]);
    command.envs(layout.variables.only(&["REDIS_ADDRESS", "REDIS_PASSWORD", "WEBHOOK_ADDRESS"]));
    command
}

fn serve(layout: &Layout, file: &str, name: &str, port: u16) -> Command {
    let mut command = hookfast(layout);
    command.args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--node-name", name, "--config"]);
    command.arg(deploy(file)).envs(layout.variables.only(&LOG));
    command
}

fn hookfast(layout: &Layout) -> Command {
    let mut command = detached(layout.bin().join("hookfast"));
    command.current_dir(layout.bin());
    command
}
