//! Which partitions are a reader's and how far it read each. Pure.

use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;

/// What is done with a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody said yet where to begin, or to go on.
    Waiting,
    /// This is read next; `None` is the earliest there is.
    Reading(Option<i64>),
}

/// The partitions of one reader.
#[derive(Default)]
pub(super) struct Partitions(BTreeMap<i32, State>);

impl Partitions {
    pub(super) fn assign(&mut self, partitions: &[i32]) {
        self.0 = partitions.iter().map(|partition| (*partition, State::Waiting)).collect();
    }

    /// They are somebody else's; the answer is which.
    pub(super) fn revoke(&mut self) -> Vec<i32> {
        std::mem::take(&mut self.0).into_keys().collect()
    }

    /// Begins at these; the answer is whether that changes anything.
    pub(super) fn start(&mut self, starts: BTreeMap<i32, Option<i64>>) -> bool {
        let mut changed = false;
        for (partition, next) in starts {
            if let Some(state) = self.0.get_mut(&partition) {
                *state = State::Reading(next.map(|next| next.max(0)));
                changed = true;
            }
        }
        changed
    }

    pub(super) fn has(&self, partition: i32) -> bool {
        self.0.contains_key(&partition)
    }

    pub(super) fn stop(&mut self, partition: i32) {
        if let Some(state) = self.0.get_mut(&partition) {
            *state = State::Waiting;
        }
    }

    /// A record was read; the answer is whether it is wanted.
    pub(super) fn read(&mut self, partition: i32, offset: i64) -> bool {
        match self.0.get_mut(&partition) {
            Some(State::Reading(next)) if next.is_none_or(|next| offset >= next) => {
                *next = Some(offset + 1);
                true
            }
            _ => false,
        }
    }

    /// Those that are read, and what comes next of each.
    pub(super) fn reading(&self) -> impl Iterator<Item = (i32, Option<i64>)> {
        self.0.iter().filter_map(|(partition, state)| match state {
            State::Reading(next) => Some((*partition, *next)),
            State::Waiting => None,
        })
    }

    /// What the client is to read.
    pub(super) fn list(&self, topic: &str) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (partition, next) in self.reading() {
            let offset = next.map_or(Offset::Beginning, Offset::Offset);
            // It refuses offsets below zero alone, which are none here.
            let _ = list.add_partition_offset(topic, partition, offset);
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(partitions: &Partitions) -> Vec<(i32, Option<i64>)> {
        partitions.reading().collect()
    }

    #[test]
    fn a_partition_is_read_once_it_was_told_where_and_each_record_once() {
        let mut partitions = Partitions::default();
        partitions.assign(&[0, 1]);
        assert_eq!(reading(&partitions), []);
        assert!(!partitions.read(0, 0), "nobody said where to begin");
        assert!(partitions.start([(0, Some(5)), (1, None), (7, Some(1))].into()));
        assert_eq!(reading(&partitions), [(0, Some(5)), (1, None)]);
        assert!(!partitions.read(0, 4) && partitions.read(0, 5) && !partitions.read(0, 5));
        assert!(partitions.read(1, 100), "the earliest may be anywhere");
        assert_eq!(reading(&partitions), [(0, Some(6)), (1, Some(101))]);
        partitions.stop(0);
        assert!(!partitions.read(0, 6));
        assert_eq!(partitions.revoke(), [0, 1]);
        assert!(!partitions.start([(0, Some(5))].into()), "it is somebody else's");
    }
}
