//! What is published on the channel, on its way from the connection to whoever takes it: a buffer with an end. Must not
//! wait: the connection would.

use super::metrics::Metrics;
use bytes::Bytes;
use redis::aio::{AsyncPushSender, SendError};
use redis::{PushInfo, PushKind, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// Most messages in the buffer.
const MESSAGES_MAX: usize = 10_000;
/// Most bytes of them.
const BYTES_MAX: usize = 64 << 20;

/// The connection's end of it.
pub(super) struct Inlet {
    messages: mpsc::Sender<Bytes>,
    bytes: Arc<AtomicUsize>,
    metrics: Metrics,
}

/// The other end.
pub(super) struct Outlet {
    messages: mpsc::Receiver<Bytes>,
    bytes: Arc<AtomicUsize>,
}

/// An empty buffer.
pub(super) fn buffer(metrics: Metrics) -> (Inlet, Outlet) {
    let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
    let bytes = Arc::<AtomicUsize>::default();
    (Inlet { messages: sender, bytes: Arc::clone(&bytes), metrics }, Outlet { messages: receiver, bytes })
}

impl AsyncPushSender for Inlet {
    fn send(&self, push: PushInfo) -> Result<(), SendError> {
        if push.kind == PushKind::Message
            && let Some(Value::BulkString(message)) = push.data.into_iter().nth(1)
        {
            let length = message.len();
            let is_full = self.bytes.fetch_add(length, Ordering::AcqRel) + length > BYTES_MAX;
            if is_full || self.messages.try_send(message.into()).is_err() {
                self.bytes.fetch_sub(length, Ordering::AcqRel);
                self.metrics.overflowed.inc();
            }
        }
        Ok(())
    }
}

impl Outlet {
    /// The next message. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        let message = self.messages.recv().await?;
        self.bytes.fetch_sub(message.len(), Ordering::AcqRel);
        Some(message)
    }

    /// How many there are now.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(text: &[u8]) -> PushInfo {
        let data = vec![Value::BulkString(b"payments".to_vec()), Value::BulkString(text.to_vec())];
        PushInfo { kind: PushKind::Message, data }
    }

    #[tokio::test]
    async fn what_does_not_fit_is_counted_and_room_comes_back() {
        let metrics = Metrics::default();
        let (inlet, mut outlet) = buffer(metrics.clone());
        let large = vec![b'x'; BYTES_MAX / 2];
        for _ in 0..3 {
            inlet.send(push(&large)).unwrap();
        }
        assert_eq!((outlet.len(), metrics.overflowed.get()), (2, 1));
        assert_eq!(outlet.next().await.map(|message| message.len()), Some(large.len()));
        inlet.send(push(&large)).unwrap();
        assert_eq!((outlet.len(), metrics.overflowed.get()), (2, 1));
        for _ in 0..MESSAGES_MAX {
            inlet.send(push(b"")).unwrap();
        }
        assert_eq!((outlet.len(), metrics.overflowed.get()), (MESSAGES_MAX, 3));
    }

    #[tokio::test]
    async fn only_messages_are_taken() {
        let (inlet, outlet) = buffer(Metrics::default());
        let subscribed = PushInfo { kind: PushKind::Subscribe, ..push(b"1") };
        inlet.send(subscribed).unwrap();
        inlet.send(PushInfo { kind: PushKind::Message, data: Vec::new() }).unwrap();
        assert_eq!(outlet.len(), 0);
    }
}
