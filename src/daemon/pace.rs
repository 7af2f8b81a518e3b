//! When each turn is due: spread over the workloads, without a random number.

use std::time::Duration;

use crate::policy::WorkloadId;
use crate::record::memory_store::fnv;

/// How long after its start a workload takes its first turn: somewhere within the first third of the
/// interval, and within five seconds, so that a restart neither waits nor calls everything at once.
pub(super) fn first(id: &WorkloadId, interval: Duration) -> Duration {
    (interval / 3).min(Duration::from_secs(5)) * thousandths(id, 0, 1000) / 1000
}

/// The time between the starts of turn `turn` and the next: the interval, give or take a tenth.
pub(super) fn between(id: &WorkloadId, turn: u32, interval: Duration) -> Duration {
    interval * (900 + thousandths(id, turn, 200)) / 1000
}

/// A number from 0 to `most` that only depends on the arguments: FNV-1a, then a finishing mix because
/// FNV's last byte hardly moves the high bits.
fn thousandths(id: &WorkloadId, turn: u32, most: u32) -> u32 {
    let bytes = id.namespace.bytes().chain([0]).chain(id.name.bytes()).chain([0]).chain(turn.to_le_bytes());
    let hash = fnv(bytes);
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    u32::try_from((mixed ^ (mixed >> 33)) % (u64::from(most) + 1)).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(15);

    fn id(name: &str) -> WorkloadId {
        WorkloadId { namespace: "shop".into(), name: name.into() }
    }

    #[test]
    fn the_same_turn_is_always_due_at_the_same_time() {
        assert_eq!(between(&id("orders"), 7, INTERVAL), between(&id("orders"), 7, INTERVAL));
        assert_ne!(between(&id("orders"), 7, INTERVAL), between(&id("orders"), 8, INTERVAL));
        assert_ne!(between(&id("orders"), 7, INTERVAL), between(&id("invoices"), 7, INTERVAL));
    }

    #[test]
    fn turns_stay_within_a_tenth_and_use_all_of_it() {
        let spans: Vec<_> = (0..2000).map(|turn| between(&id("orders"), turn, INTERVAL)).collect();
        let (least, most) = (spans.iter().min().unwrap(), spans.iter().max().unwrap());
        assert!(*least >= INTERVAL * 9 / 10 && *most <= INTERVAL * 11 / 10, "{least:?} to {most:?}");
        assert!(*least < INTERVAL * 91 / 100 && *most > INTERVAL * 109 / 100, "{least:?} to {most:?}");
    }

    #[test]
    fn first_turns_come_soon_and_spread() {
        let starts: Vec<_> = (0..100).map(|n| first(&id(&format!("w{n}")), INTERVAL)).collect();
        assert!(starts.iter().all(|start| *start <= Duration::from_secs(5)));
        for second in 0..5 {
            let within = starts.iter().filter(|start| start.as_secs() == second).count();
            assert!(within >= 8, "only {within} of 100 start within second {second}");
        }
        assert!(first(&id("orders"), Duration::from_secs(1)) <= Duration::from_millis(334));
    }
}
