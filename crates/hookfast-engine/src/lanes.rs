//! The table of lanes: by number for the engine's own lists, by endpoint for the store. Must not know what lanes do.

use crate::lane::{Lane, LaneNo};
use hookfast_core::EndpointId;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Endpoint ids are random in their lower half already; one multiplication spreads it over all bits.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
    }
    fn write_u128(&mut self, id: u128) {
        self.0 = (id as u64 ^ (id >> 64) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// All lanes. Numbers are reused; a number stays valid as long as its lane is held by anything.
#[derive(Default)]
pub(crate) struct Lanes {
    slots: Vec<Option<Lane>>,
    free: Vec<LaneNo>,
    by_id: HashMap<EndpointId, LaneNo, BuildHasherDefault<IdHasher>>,
}

impl Lanes {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// One more than the highest number in use.
    pub(crate) fn end(&self) -> LaneNo {
        LaneNo::try_from(self.slots.len()).unwrap_or(LaneNo::MAX)
    }

    pub(crate) fn find(&self, id: EndpointId) -> Option<LaneNo> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn get(&self, no: LaneNo) -> Option<&Lane> {
        self.slots.get(no as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, no: LaneNo) -> Option<&mut Lane> {
        self.slots.get_mut(no as usize)?.as_mut()
    }

    pub(crate) fn insert(&mut self, lane: Lane) -> LaneNo {
        let id = lane.id;
        let no = if let Some(no) = self.free.pop() {
            self.slots[no as usize] = Some(lane);
            no
        } else {
            self.slots.push(Some(lane));
            self.end() - 1
        };
        self.by_id.insert(id, no);
        no
    }

    pub(crate) fn remove(&mut self, no: LaneNo) {
        if let Some(lane) = self.slots.get_mut(no as usize).and_then(Option::take) {
            self.by_id.remove(&lane.id);
            self.free.push(no);
        }
    }
}
