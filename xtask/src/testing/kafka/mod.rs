//! The Kafka broker that all tests share, on a port of its own below `target`. Knows nothing of what the tests do with
//! it.

mod broker;
mod home;

use super::services::{Installer, Service};
use crate::program::root;
use anyhow::Result;
use broker::Broker;
pub(crate) use home::{Home, VERSION};
use std::path::PathBuf;

/// The broker, running between `start` and `stop`.
#[derive(Default)]
pub(super) struct Kafka {
    running: Option<(Broker, PathBuf)>,
}

impl Service for Kafka {
    fn name(&self) -> &'static str {
        "Kafka"
    }

    fn ensure(&self, installer: &mut Installer) -> Result<&'static str> {
        Home::ensure(installer)
    }

    fn start(&mut self) -> Result<Vec<(String, String)>> {
        let home = Home::find()?;
        let base = root().join("target/kafka");
        std::fs::create_dir_all(&base)?;
        let own = std::process::id().to_string();
        super::postgres::clear_dead(&base, |pid| pid != own && std::path::Path::new("/proc").join(pid).exists())?;
        let dir = base.join(own);
        let broker = Broker::start(&home, &dir, broker::free_port(0)?)?;
        let address = broker.address();
        self.running = Some((broker, dir));
        println!("Kafka: started on {address}");
        Ok(vec![
            ("HOOKFAST_TEST_KAFKA".to_owned(), address),
            ("HOOKFAST_TEST_KAFKA_HOME".to_owned(), home.dir().display().to_string()),
        ])
    }

    fn stop(&mut self) -> Result<()> {
        if let Some((broker, dir)) = self.running.take() {
            broker.stop()?;
            std::fs::remove_dir_all(dir)?;
            println!("Kafka: stopped");
        }
        Ok(())
    }
}
