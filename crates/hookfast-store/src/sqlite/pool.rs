//! Reading: a few threads with read-only connections. A read is one short transaction, cut off after 2 s so that
//! it cannot keep the WAL from being folded back.

use crate::sqlite::open;
use crate::{Error, Result};
use hookfast_core::ports::BoxFuture;
use rusqlite::Connection;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Reads that may wait for a thread.
const WAITING_MAX: usize = 1024;
/// How long one read may take.
const READ_MS_MAX: u64 = 2_000;
/// Virtual machine steps between two looks at the clock.
const STEPS_PER_LOOK: i32 = 10_000;

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// Threads that read.
#[derive(Debug)]
pub(crate) struct ReadPool {
    reads: Mutex<Option<SyncSender<Read>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl ReadPool {
    /// Opens `threads` read-only connections to the store at `path`.
    pub(crate) fn open(path: &Path, threads: usize) -> Result<Self> {
        let (sender, receiver) = sync_channel::<Read>(WAITING_MAX);
        let receiver = Arc::new(Mutex::new(receiver));
        let mut handles = Vec::with_capacity(threads);
        for number in 0..threads.max(1) {
            let mut conn = open::reader(path)?;
            let receiver = Arc::clone(&receiver);
            let name = format!("store-read-{number}");
            handles.push(std::thread::Builder::new().name(name).spawn(move || serve(&mut conn, &receiver))?);
        }
        Ok(Self { reads: Mutex::new(Some(sender)), threads: Mutex::new(handles) })
    }

    /// Runs `read` in one read transaction. Cancel-safe: a dropped read may still run.
    pub(crate) fn read<T, F>(&self, read: F) -> BoxFuture<'_, hookfast_core::Result<T>>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let (reply, answer) = tokio::sync::oneshot::channel();
        let job: Read = Box::new(move |conn| {
            let result = conn.unchecked_transaction().map_err(Error::from).and_then(|_snapshot| read(conn));
            let _ = reply.send(result);
        });
        let sent = match self.reads.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(sender) => sender.try_send(job).is_ok(),
            None => false,
        };
        Box::pin(async move {
            if !sent {
                let reason = "too many reads wait for the store";
                return Err(hookfast_core::Error::Overloaded { reason, retry_after_ms: 1_000 });
            }
            let closed = || hookfast_core::Error::Unavailable { reason: "the store is closing".to_owned() };
            answer.await.map_err(|_| closed())?.map_err(Into::into)
        })
    }

    /// Ends the threads after what they are reading.
    pub(crate) fn close(&self) {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).take();
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = thread.join();
        }
    }
}

fn serve(conn: &mut Connection, reads: &Mutex<Receiver<Read>>) {
    loop {
        let next = reads.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(read) = next else { return };
        let started = Instant::now();
        let over = move || started.elapsed() > Duration::from_millis(READ_MS_MAX);
        if conn.progress_handler(STEPS_PER_LOOK, Some(over)).is_ok() {
            read(conn);
        }
    }
}
