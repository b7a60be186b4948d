//! Where everything of a stack is: its ports, its directories, the variables it is configured by. Starts nothing.

use super::variables::Variables;
use crate::program::root;
use anyhow::Result;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// What `--port-base` may be: the ports above it must be there, those of the system are not for this.
pub(crate) const PORT_BASES: RangeInclusive<u16> = 1024..=65_000;

/// So many it takes.
pub(crate) const PORTS: u16 = 12;

/// Which part listens where, all on 127.0.0.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) sender: u16,
    pub(crate) nginx: u16,
    pub(crate) consumer: u16,
    pub(crate) api: u16,
    pub(crate) handlers: [u16; 3],
    pub(crate) kafka: u16,
    pub(crate) controller: u16,
    pub(crate) postgres: u16,
    pub(crate) redis: u16,
    pub(crate) replica: u16,
}

impl Ports {
    /// Those of the first systems, or all from `base` on. The databases keep away from where the packages of the
    /// system put theirs.
    fn new(base: Option<u16>) -> Self {
        match base {
            None => Self {
                sender: 8080,
                nginx: 8081,
                consumer: 8082,
                api: 8000,
                handlers: [18_081, 18_082, 18_083],
                kafka: 9092,
                controller: 19_093,
                postgres: 15_432,
                redis: 16_379,
                replica: 16_380,
            },
            Some(base) => Self {
                sender: base,
                nginx: base + 1,
                consumer: base + 2,
                api: base + 3,
                handlers: [base + 4, base + 5, base + 6],
                kafka: base + 7,
                controller: base + 8,
                postgres: base + 9,
                redis: base + 10,
                replica: base + 11,
            },
        }
    }
}

/// One stack.
#[derive(Debug)]
pub(crate) struct Layout {
    dir: PathBuf,
    pub(crate) ports: Ports,
    pub(crate) variables: Variables,
}

impl Layout {
    /// The stack in `dir`, by the variables of `deploy/.env.example`.
    pub(crate) fn new(dir: &Path, port_base: Option<u16>) -> Result<Self> {
        let ports = Ports::new(port_base);
        let text = std::fs::read_to_string(deploy(".env.example"))?;
        let variables = Variables::parse(&text)?.on_this_machine(&ports);
        Ok(Self { dir: dir.to_owned(), ports, variables })
    }

    /// Programs: hookfast, and the names of the old commands.
    pub(crate) fn bin(&self) -> PathBuf {
        self.dir.join("bin")
    }

    /// The directory of a part.
    pub(crate) fn home(&self, part: &str) -> PathBuf {
        self.dir.join(part)
    }

    /// What a part prints.
    pub(crate) fn log(&self, part: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{part}.log"))
    }

    /// The database, with its password.
    pub(crate) fn postgres_url(&self) -> String {
        let variable = |name| self.variables.get(name);
        format!(
            "postgres://{}:{}@127.0.0.1:{}/{}",
            variable("POSTGRES_USER"),
            variable("POSTGRES_PASSWORD"),
            self.ports.postgres,
            variable("POSTGRES_DB"),
        )
    }
}

/// A file of `deploy`.
pub(crate) fn deploy(name: &str) -> PathBuf {
    root().join("deploy").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_part_has_a_port_of_its_own() {
        for base in [None, Some(*PORT_BASES.start()), Some(*PORT_BASES.end())] {
            let Ports { sender, nginx, consumer, api, handlers, kafka, controller, postgres, redis, replica } =
                Ports::new(base);
            let rest = [sender, nginx, consumer, api, kafka, controller, postgres, redis, replica];
            let all: BTreeSet<u16> = handlers.into_iter().chain(rest).collect();
            assert_eq!(all.len(), usize::from(PORTS));
            assert!(base.is_none_or(|base| all.last() == Some(&(base + PORTS - 1))));
        }
    }

    #[test]
    fn the_first_systems_ports_are_kept() {
        let Ports { sender, nginx, consumer, api, kafka, .. } = Ports::new(None);
        assert_eq!([sender, nginx, consumer, api, kafka], [8080, 8081, 8082, 8000, 9092]);
    }
}
