//! Applications and tokens that requests ask for again and again, kept in memory.
//!
//! A change forgets what it touches before it is answered. A reader may put in what it read only if nothing
//! changed since it began, so that a slow read cannot bring an old value back.

use hookfast_core::OrgId;
use hookfast_core::model::{Application, Token};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Entries of each kind; above, all are forgotten.
const ENTRIES_MAX: usize = 20_000;

type Apps = HashMap<OrgId, HashMap<String, Arc<Application>>>;

#[derive(Debug, Default)]
pub(crate) struct Directory {
    apps: RwLock<Apps>,
    tokens: RwLock<HashMap<[u8; 32], Arc<Token>>>,
    changes: AtomicU64,
}

impl Directory {
    /// Number of changes so far; taken before reading what is to be put in.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub(crate) fn app(&self, org: &OrgId, reference: &str) -> Option<Arc<Application>> {
        self.apps.read().unwrap_or_else(PoisonError::into_inner).get(org)?.get(reference).cloned()
    }

    pub(crate) fn put_app(&self, reference: &str, app: &Arc<Application>, seen: u64) {
        let mut apps = self.apps.write().unwrap_or_else(PoisonError::into_inner);
        if self.changes() != seen {
            return;
        }
        if apps.values().map(HashMap::len).sum::<usize>() >= ENTRIES_MAX {
            apps.clear();
        }
        apps.entry(app.org.clone()).or_default().insert(reference.to_owned(), Arc::clone(app));
    }

    pub(crate) fn token(&self, hash: &[u8; 32]) -> Option<Arc<Token>> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).get(hash).cloned()
    }

    pub(crate) fn put_token(&self, token: &Arc<Token>, seen: u64) {
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        if self.changes() != seen {
            return;
        }
        if tokens.len() >= ENTRIES_MAX {
            tokens.clear();
        }
        tokens.insert(token.hash, Arc::clone(token));
    }

    /// Applications or tokens changed.
    pub(crate) fn forget(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.apps.write().unwrap_or_else(PoisonError::into_inner).clear();
        self.tokens.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
