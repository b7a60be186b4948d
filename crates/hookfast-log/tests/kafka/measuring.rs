//! How fast it is, printed and not judged: the machine is shared.

use crate::{open, reader_of_all, record};
use hookfast_core::ports::{Log as _, LogNews};
use hookfast_testkit::kafka::kafka;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const RECORDS: u32 = 40_000;
const IN_FLIGHT: usize = 256;

/// An event of about 300 bytes, a third of which is chance.
fn value() -> String {
    let id = || format!("{:032x}", fastrand::u128(..));
    format!(
        r#"{{"event_id":"{}","event_type":"PAID","timestamp":"2026-01-31T12:00:00.000000Z","data":{{"invoice_id":"{}","amount_cents":{},"currency":"EUR","customer":"{}","note":"Thank you for your payment, it has arrived"}}}}"#,
        id(),
        id(),
        fastrand::u32(..),
        id()
    )
}

#[test]
fn appending_and_reading_are_measured() {
    let Some(kafka) = kafka() else { return };
    for linger_ms in [0, 2, 5] {
        let topic = kafka.topic(6);
        hookfast_testkit::run(async {
            let log = open(kafka.address(), |config| config.linger_ms = linger_ms).await;
            let left = Arc::new(AtomicU32::new(RECORDS));
            let started = Instant::now();
            let callers: Vec<_> = (0..IN_FLIGHT)
                .map(|_| {
                    let (log, topic, left) = (log.clone(), topic.clone(), left.clone());
                    tokio::spawn(async move {
                        while let Ok(number) =
                            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                        {
                            log.append(record(&topic, &number.to_string(), value())).await.unwrap();
                        }
                    })
                })
                .collect();
            for caller in callers {
                caller.await.unwrap();
            }
            let appended = f64::from(RECORDS) / started.elapsed().as_secs_f64();
            let mut one_by_one: Vec<Duration> = Vec::new();
            for _ in 0..200 {
                let from = Instant::now();
                log.append(record(&topic, "key", value())).await.unwrap();
                one_by_one.push(from.elapsed());
            }
            one_by_one.sort_unstable();
            let mut reader = reader_of_all(&log, &topic).await;
            let started = Instant::now();
            let mut read = 0;
            while read < RECORDS as usize {
                if let LogNews::Entries(entries) = reader.next(1_000, Duration::from_secs(1)).await.unwrap() {
                    read += entries.len();
                }
            }
            let read = f64::from(RECORDS) / started.elapsed().as_secs_f64();
            println!(
                "linger {linger_ms} ms: {appended:.0} appended/s with {IN_FLIGHT} in flight, one by one p50 {:?}, {read:.0} read/s",
                one_by_one[100]
            );
            reader.close().await;
        });
    }
}
