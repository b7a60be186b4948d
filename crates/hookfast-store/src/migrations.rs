//! Which migrations a store still needs, and whether it may be opened at all. Must not know how they are run.

use crate::{Error, Result};
use sha2::{Digest, Sha256};

/// One embedded step of a schema.
#[derive(Debug)]
pub(crate) struct Migration {
    pub(crate) version: u32,
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
}

impl Migration {
    /// What is remembered of its text.
    pub(crate) fn checksum(&self) -> Vec<u8> {
        Sha256::digest(self.sql.as_bytes()).to_vec()
    }
}

/// The newest version of a list.
pub(crate) fn newest(known: &[Migration]) -> u32 {
    known.last().map_or(0, |last| last.version)
}

/// Those of `known` that are not among `applied` (version and checksum, ascending).
///
/// # Errors
/// [`Error::NewerSchema`], [`Error::ChangedMigration`].
pub(crate) fn pending<'m>(known: &'m [Migration], applied: &[(u32, Vec<u8>)]) -> Result<Vec<&'m Migration>> {
    let newest = newest(known);
    if let Some(&(found, _)) = applied.last().filter(|(found, _)| *found > newest) {
        return Err(Error::NewerSchema { found, known: newest });
    }
    let mut missing = Vec::new();
    for migration in known {
        match applied.iter().find(|(version, _)| *version == migration.version) {
            Some((_, found)) if *found != migration.checksum() => {
                return Err(Error::ChangedMigration { version: migration.version });
            }
            Some(_) => {}
            None => missing.push(migration),
        }
    }
    Ok(missing)
}
