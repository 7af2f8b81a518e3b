//! How many TaskManagers a job takes, and which of them it has left.

use super::{Manner, Sight};
use crate::flink::answers::TaskManager;
use crate::policy::Replicas;

impl Sight {
    /// TaskManagers of `each` so many slots that a scale of the job takes, beside what other jobs have of them.
    pub(crate) fn taskmanagers_for(&self, manner: &Manner, scale: Replicas, each: u32) -> Option<Replicas> {
        let others = self.overview.slots_total.saturating_sub(self.slots_in_reach());
        let slots = others.saturating_add(self.graph(manner)?.slots(scale.0));
        Some(Replicas(slots.div_ceil(each.max(1)).max(1)))
    }

    /// Whether no other job has any slots.
    pub(crate) fn has_all_slots(&self) -> bool {
        self.slots_in_reach() >= self.overview.slots_total
    }

    /// Whether a scale takes more slots than the job has and are free.
    pub(crate) fn lacks_slots(&self, manner: &Manner, scale: Replicas) -> bool {
        self.graph(manner).is_some_and(|graph| graph.slots(scale.0) > self.slots_in_reach())
    }
}

impl TaskManager {
    /// The slots in use of the one in a Pod; `None` where it cannot be told which one that is. It says its Pod's name
    /// (`taskmanager.resource-id`), or is the only one at its address.
    pub(crate) fn taken_of(all: &[Self], pod: &str, address: Option<&str>) -> Option<u32> {
        let here = |one: &&Self| {
            let host = one.host();
            let named = host.and_then(|host| host.strip_prefix(pod));
            named.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                || (host.is_some() && host == address)
        };
        let mut at_address = all.iter().filter(here);
        let by_name = all.iter().find(|one| one.id == pod);
        let one = by_name.or_else(|| at_address.next().filter(|_| at_address.next().is_none()))?;
        one.slots_number.checked_sub(one.free_slots)
    }

    /// The host in `pekko.tcp://flink@HOST:PORT/user/rpc/taskmanager_0`.
    fn host(&self) -> Option<&str> {
        let (_, place) = self.path.split_once('@')?;
        Some(place.split_once('/')?.0.rsplit_once(':')?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{recorded, sight};
    use super::*;
    use crate::flink::answers::TaskManagers;

    #[test]
    fn taskmanagers_are_those_that_the_slots_of_all_jobs_take() {
        let manner = Manner { exclude: Vec::new(), uniform: true };
        for line in ["1.20", "2.2"] {
            let mut sight = sight(line, "job");
            let needed = |sight: &Sight, scale| sight.taskmanagers_for(&manner, Replicas(scale), 4);
            assert_eq!(
                [4, 5, 8, 9].map(|scale| needed(&sight, scale)),
                [1, 2, 2, 3].map(|n| Some(Replicas(n)))
            );
            assert_eq!([8, 9].map(|scale| sight.lacks_slots(&manner, Replicas(scale))), [false, true]);
            assert!(sight.has_all_slots());
            sight.overview.slots_available = 3;
            assert!(!sight.has_all_slots());
            assert_eq!(needed(&sight, 5), Some(Replicas(2)), "another job has three of them");
            assert_eq!(needed(&sight, 6), Some(Replicas(3)));
        }
    }

    #[test]
    fn both_lines_tell_which_slots_are_taken() {
        for line in ["1.20", "2.2"] {
            let all: TaskManagers = recorded(line, "taskmanagers");
            let taken = |pod| TaskManager::taken_of(&all.taskmanagers, pod, Some("127.0.0.1"));
            assert_eq!(taken("one").zip(taken("two")).map(|(one, two)| one + two), Some(2), "{line}");
            assert_eq!(taken("three"), None, "several share the address");
        }
    }

    #[test]
    fn a_taskmanager_is_found_by_its_name_or_an_address_of_its_own() {
        let one = |id: &str, host: &str, free_slots| TaskManager {
            id: id.to_owned(),
            path: format!("pekko.tcp://flink@{host}:6122/user/rpc/taskmanager_0"),
            slots_number: 4,
            free_slots,
        };
        let all =
            [one("10.0.0.1:6122-aa", "10.0.0.1", 4), one("x", "tm-1.tm.shop.svc", 3), one("tm-2", "::1", 0)];
        let taken = |pod, address| TaskManager::taken_of(&all, pod, address);
        assert_eq!(taken("tm-0", Some("10.0.0.1")), Some(0));
        assert_eq!(taken("tm-1", None), Some(1));
        assert_eq!(taken("tm-2", Some("::1")), Some(4));
        assert_eq!(taken("tm", Some("10.0.0.9")), None, "unknown is not idle");
        let shared = [one("a", "127.0.0.1", 4), one("tm-1", "127.0.0.1", 3)];
        let taken = |pod| TaskManager::taken_of(&shared, pod, Some("127.0.0.1"));
        assert_eq!((taken("tm-0"), taken("tm-1")), (None, Some(1)), "which of the two it is cannot be told");
    }
}
