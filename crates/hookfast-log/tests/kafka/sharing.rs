//! Several members of one group.

use crate::{PATIENCE, assigned, assigned_all, news, number, open, record};
use hookfast_core::Error;
use hookfast_core::ports::{Log as _, LogNews, LogReader, LogReaders as _};
use hookfast_log::kafka::KafkaLog;
use hookfast_testkit::kafka::{kafka, unique};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A consumer as small as can be: what it read is what it stored, and it starts where it stopped.
struct Member {
    reader: Box<dyn LogReader>,
    owned: BTreeSet<i32>,
}

/// What all members stored: the next offset of each partition, and the values.
#[derive(Default)]
struct Stored {
    next: BTreeMap<i32, i64>,
    values: Vec<u32>,
}

impl Member {
    fn join(log: &KafkaLog, topic: &str, group: &str) -> Self {
        Self { reader: log.reader(topic, group).unwrap(), owned: BTreeSet::new() }
    }

    /// Takes what there is within `wait`.
    async fn step(&mut self, stored: &mut Stored, wait: Duration) {
        match self.reader.next(50, wait).await {
            Ok(LogNews::Assigned(assigned)) => {
                self.owned = assigned.iter().map(|assigned| assigned.partition).collect();
                let starts = self.owned.iter().map(|partition| (*partition, stored.next.get(partition).copied()));
                self.reader.start_at(starts.collect()).await.unwrap();
            }
            Ok(LogNews::Revoked(partitions)) => {
                partitions.iter().for_each(|partition| assert!(self.owned.remove(partition), "it had {partition}"));
            }
            Ok(LogNews::Entries(entries)) => {
                for entry in entries {
                    assert!(self.owned.contains(&entry.at.partition), "of a partition that is not its own: {entry:?}");
                    let next = stored.next.entry(entry.at.partition).or_insert(entry.at.offset);
                    assert!(entry.at.offset <= *next, "a record was skipped before {:?}", entry.at);
                    if entry.at.offset == *next {
                        *next += 1;
                        stored.values.push(number(&entry));
                    }
                }
            }
            Ok(LogNews::Idle) | Err(Error::Unavailable { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn members_share_the_partitions_and_take_over_from_one_that_leaves() {
    let Some(kafka) = kafka() else { return };
    let (topic, group) = (kafka.topic(4), unique("group"));
    hookfast_testkit::run(async {
        let log = open(kafka.address(), |_| {}).await;
        let appending = tokio::spawn({
            let (log, topic) = (log.clone(), topic.clone());
            async move {
                for value in 0..3_000_u32 {
                    log.append(record(&topic, &value.to_string(), value.to_string())).await.unwrap();
                }
            }
        });
        let mut stored = Stored::default();
        let wait = Duration::from_millis(20);
        let mut first = Member::join(&log, &topic, &group);
        while stored.values.len() < 200 {
            first.step(&mut stored, wait).await;
        }
        let mut second = Member::join(&log, &topic, &group);
        let started = Instant::now();
        while first.owned.len() != 2 || second.owned.len() != 2 {
            assert!(started.elapsed() < PATIENCE, "{:?} {:?}", first.owned, second.owned);
            first.step(&mut stored, wait).await;
            second.step(&mut stored, wait).await;
        }
        assert!(first.owned.is_disjoint(&second.owned));
        first.reader.close().await;
        while stored.values.len() < 3_000 {
            assert!(started.elapsed() < PATIENCE, "only {} of 3000", stored.values.len());
            second.step(&mut stored, wait).await;
        }
        appending.await.unwrap();
        assert_eq!(second.owned.len(), 4, "the other one left");
        stored.values.sort_unstable();
        assert!(stored.values.into_iter().eq(0..3_000), "all of it, stored once");
        second.reader.close().await;
    });
}

#[test]
fn a_member_that_takes_nothing_still_gives_partitions_up() {
    let Some(kafka) = kafka() else { return };
    let (topic, group) = (kafka.topic(2), unique("group"));
    hookfast_testkit::run(async {
        let log = open(kafka.address(), |_| {}).await;
        // More than lies ready in a reader.
        let value = vec![b'x'; 10_000];
        for key in 0..2_000_u32 {
            log.append(record(&topic, &key.to_string(), value.clone())).await.unwrap();
        }
        let mut stuck = log.reader(&topic, &group).unwrap();
        assigned(stuck.as_mut()).await;
        stuck.start_at(vec![(0, None), (1, None)]).await.unwrap();
        let LogNews::Entries(first) = news(stuck.as_mut()).await.unwrap() else { panic!() };
        let at = first[0].at;
        // From here on it takes nothing, and yet the group goes on.
        let mut other = log.reader(&topic, &group).unwrap();
        let given = assigned(other.as_mut()).await;
        assert_eq!(given.len(), 1);
        // What it read before is not its own any more, and is not handed over.
        assert_eq!(news(stuck.as_mut()).await.unwrap(), LogNews::Revoked(vec![0, 1]));
        assert_eq!(assigned(stuck.as_mut()).await.len(), 1);
        other.close().await;
        assigned_all(stuck.as_mut(), &[0, 1]).await;
        stuck.start_at(vec![(at.partition, Some(at.offset + 1))]).await.unwrap();
        let LogNews::Entries(next) = news(stuck.as_mut()).await.unwrap() else { panic!() };
        assert_eq!((next[0].at.partition, next[0].at.offset), (at.partition, at.offset + 1));
        stuck.close().await;
    });
}
