//! Looking at the records of a topic as they stand. Joins no group, commits nothing; must not know what they say.

use super::client::{self, ASK, Quiet};
use super::config::KafkaConfig;
use super::{failure, reader};
use hookfast_core::ports::LogEntry;
use hookfast_core::{Error, Result};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A partition that hands out nothing for so long is given up.
const SILENT_MAX: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// See [`hookfast_core::ports::LogReaders::peek`]. One partition after the other, so that it goes on where the last
/// entry says.
pub(super) async fn peek(
    config: Arc<KafkaConfig>,
    topic: String,
    from: Vec<(i32, i64)>,
    max: usize,
) -> Result<Vec<LogEntry>> {
    let from: BTreeMap<i32, i64> = from.into_iter().collect();
    client::off_thread(move || {
        let client: BaseConsumer<Quiet> = client::make(&client::looker(&config), Quiet::default())?;
        let looked = all(&client, &topic, &from, max);
        looked.map_err(|error| failure::of("looking into the topic", &error))?
    })
    .await
}

fn all(
    client: &BaseConsumer<Quiet>,
    topic: &str,
    from: &BTreeMap<i32, i64>,
    max: usize,
) -> KafkaResult<Result<Vec<LogEntry>>> {
    let mut entries = Vec::new();
    for partition in partitions(client, topic)? {
        if entries.len() >= max {
            break;
        }
        let (earliest, end) = client.fetch_watermarks(topic, partition, ASK)?;
        let start = from.get(&partition).map_or(earliest, |from| earliest.max(*from));
        if start < end && !one(client, topic, partition, start..end, max, &mut entries)? {
            let reason = format!("topic `{topic}`: partition {partition} hands out nothing at offset {start}");
            return Ok(Err(Error::Unavailable { reason }));
        }
    }
    Ok(Ok(entries))
}

fn partitions(client: &BaseConsumer<Quiet>, topic: &str) -> KafkaResult<Vec<i32>> {
    let metadata = client.fetch_metadata(Some(topic), ASK)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let found = found.ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic))?;
    if let Some(error) = found.error() {
        return Err(KafkaError::MetadataFetch(error.into()));
    }
    let mut partitions: Vec<i32> = found.partitions().iter().map(|partition| partition.id()).collect();
    partitions.sort_unstable();
    Ok(partitions)
}

/// The records of one partition that lie in `range`; `false` when it hands out nothing.
fn one(
    client: &BaseConsumer<Quiet>,
    topic: &str,
    partition: i32,
    range: std::ops::Range<i64>,
    max: usize,
    entries: &mut Vec<LogEntry>,
) -> KafkaResult<bool> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(range.start))?;
    client.assign(&list)?;
    let mut heard = Instant::now();
    while entries.len() < max {
        match client.poll(POLL) {
            None if heard.elapsed() > SILENT_MAX => return Ok(false),
            None => {}
            // What was deleted or compacted away leaves a gap, at the end too.
            Some(Err(KafkaError::PartitionEOF(_))) => break,
            Some(Err(error)) if is_passing(&error) => {}
            Some(Err(error)) => return Err(error),
            Some(Ok(message)) => {
                heard = Instant::now();
                let entry = reader::entry(&message);
                if entry.at.partition != partition || entry.at.offset >= range.end {
                    break;
                }
                let is_last = entry.at.offset + 1 >= range.end;
                entries.push(entry);
                if is_last {
                    break;
                }
            }
        }
    }
    client.unassign()?;
    Ok(true)
}

/// Does the client get over it by itself?
fn is_passing(error: &KafkaError) -> bool {
    matches!(failure::of("", error), Error::Unavailable { .. })
        && error.rdkafka_error_code() != Some(RDKafkaErrorCode::AutoOffsetReset)
}
