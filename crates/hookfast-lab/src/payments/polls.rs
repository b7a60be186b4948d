//! How often each client asks for each payment: a table with an end. Pure.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Most pairs of client and payment that are remembered.
const PAIRS_MAX: usize = 10_000;

/// When each pair was last answered, in µs.
pub(super) struct Polls {
    interval_us: u64,
    last: Mutex<HashMap<(IpAddr, String), u64>>,
}

impl Polls {
    pub(super) fn new(per_second_max: u32) -> Self {
        Self { interval_us: 1_000_000 / u64::from(per_second_max.max(1)), last: Mutex::default() }
    }

    /// May this client be answered now? Else: in how many seconds.
    pub(super) fn ask(&self, client: IpAddr, id: &str, now_us: u64) -> Result<(), u64> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = |at: &u64| now_us.saturating_sub(*at) >= self.interval_us;
        let key = (client, id.to_owned());
        if last.get(&key).is_some_and(|at| !is_due(at)) {
            return Err(self.retry_after_s());
        }
        if last.len() >= PAIRS_MAX && !last.contains_key(&key) {
            // Whoever is due again need not be remembered.
            last.retain(|_, at| !is_due(at));
            if last.len() >= PAIRS_MAX {
                return Err(self.retry_after_s());
            }
        }
        last.insert(key, now_us);
        Ok(())
    }

    fn retry_after_s(&self) -> u64 {
        self.interval_us.div_ceil(1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_client_is_answered_so_often_for_each_payment() {
        let polls = Polls::new(2);
        assert_eq!(polls.ask(CLIENT, "a", 1_000_000), Ok(()));
        assert_eq!(polls.ask(CLIENT, "a", 1_499_999), Err(1));
        assert_eq!(polls.ask(CLIENT, "b", 1_499_999), Ok(()));
        assert_eq!(polls.ask(Ipv4Addr::BROADCAST.into(), "a", 1_499_999), Ok(()));
        assert_eq!(polls.ask(CLIENT, "a", 1_500_000), Ok(()));
    }

    #[test]
    fn the_table_has_an_end_and_forgets_what_is_due() {
        let polls = Polls::new(1);
        for n in 0..PAIRS_MAX {
            assert_eq!(polls.ask(CLIENT, &n.to_string(), 0), Ok(()));
        }
        assert_eq!(polls.ask(CLIENT, "more", 1), Err(1));
        assert_eq!(polls.ask(CLIENT, "more", 1_000_000), Ok(()));
        assert_eq!(polls.last.lock().unwrap().len(), 1);
    }
}
