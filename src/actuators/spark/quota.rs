//! How many executors a namespace's ResourceQuotas leave room for. Pure.
//!
//! From Spark 4.2 on, a Pod that a quota refuses counts as an executor that failed, and enough of them end the driver;
//! before, the driver asks again for ever. Either way a quota is no cap that an application can be run into.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceQuota;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt as _;
use serde_json::Value;

use crate::actuators::quantity;
use crate::policy::Replicas;

/// Spark's least memory beside the heap, and its share where it is not stated: for the JVM, and with Python or R.
const LEAST_OVERHEAD: f64 = 384.0 * MIB;
const OVERHEAD: f64 = 0.1;
const OVERHEAD_BESIDE: f64 = 0.4;
const MIB: f64 = 1024.0 * 1024.0;

/// What a quota leaves room for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Room {
    /// So many executors, with those that run.
    pub(super) executors: Replicas,
    /// The quota, and what of it is scarce.
    pub(super) what: String,
}

/// What one executor takes, by what quotas call it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Size {
    cores: f64,
    core_limit: Option<f64>,
    bytes: f64,
    byte_limit: Option<f64>,
}

impl Size {
    /// Of an application's executors; `None` where its spec says something that cannot be read.
    pub(super) fn of(spec: &Value) -> Option<Self> {
        let executor =
            |field: &str| spec.pointer(&format!("/executor/{field}")).filter(|value| !value.is_null());
        let text = |field: &str| executor(field).and_then(Value::as_str);
        let cores = executor("cores").map_or(Some(1.0), Value::as_f64)?;
        let cores = text("coreRequest").map_or(Some(cores), quantity::read)?;
        let core_limit = match text("coreLimit") {
            Some(limit) => Some(quantity::read(limit)?),
            None => None,
        };
        let heap = text("memory").map_or(Some(1024.0 * MIB), bytes)?;
        let beside = matches!(spec.get("type").and_then(Value::as_str), Some("Python" | "R"));
        let factor = spec.get("memoryOverheadFactor").and_then(Value::as_str).map(str::parse);
        let factor = factor.unwrap_or(Ok(if beside { OVERHEAD_BESIDE } else { OVERHEAD })).ok()?;
        let overhead = text("memoryOverhead").map_or(Some((heap * factor).max(LEAST_OVERHEAD)), bytes)?;
        let bytes = heap + overhead;
        Some(Self { cores, core_limit, bytes, byte_limit: Some(bytes) })
    }

    /// Of a Pod with this spec.
    pub(super) fn of_pod(spec: &Value) -> Option<Self> {
        let containers = spec.get("containers")?.as_array()?;
        let sum = |pointers: &[String]| -> Option<Option<f64>> {
            let stated = containers.iter().filter_map(|one| {
                pointers.iter().find_map(|pointer| one.pointer(pointer).and_then(Value::as_str))
            });
            let amounts = stated.map(quantity::read).collect::<Option<Vec<f64>>>()?;
            Some((!amounts.is_empty()).then(|| amounts.iter().sum()))
        };
        let limit = |resource: &str| format!("/resources/limits/{resource}");
        // A container requests what is its limit, where nothing else is said.
        let both = |resource: &str| [format!("/resources/requests/{resource}"), limit(resource)];
        Some(Self {
            cores: sum(&both("cpu"))?.unwrap_or(0.0),
            core_limit: sum(&[limit("cpu")])?,
            bytes: sum(&both("memory"))?.unwrap_or(0.0),
            byte_limit: sum(&[limit("memory")])?,
        })
    }

    /// Of the executors of an application that states them in Spark's own settings alone.
    pub(super) fn of_conf(conf: &Value) -> Option<Self> {
        let text = |key: &str| conf.get(key).and_then(Value::as_str);
        let cores = text("spark.executor.cores").map_or(Some(1.0), quantity::read)?;
        let cores = text("spark.kubernetes.executor.request.cores").map_or(Some(cores), quantity::read)?;
        let core_limit = match text("spark.kubernetes.executor.limit.cores") {
            Some(limit) => Some(quantity::read(limit)?),
            None => None,
        };
        let heap = text("spark.executor.memory").map_or(Some(1024.0 * MIB), bytes)?;
        let factor = text("spark.executor.memoryOverheadFactor").map_or(Ok(OVERHEAD), str::parse).ok()?;
        let overhead = (heap * factor).max(LEAST_OVERHEAD);
        let overhead = text("spark.executor.memoryOverhead").map_or(Some(overhead), bytes)?;
        let bytes = heap + overhead;
        Some(Self { cores, core_limit, bytes, byte_limit: Some(bytes) })
    }

    fn share(&self, resource: &str) -> Option<f64> {
        let share = match resource {
            "pods" | "count/pods" => Some(1.0),
            "cpu" | "requests.cpu" => Some(self.cores),
            "limits.cpu" => self.core_limit,
            "memory" | "requests.memory" => Some(self.bytes),
            "limits.memory" => self.byte_limit,
            _ => None,
        };
        share.filter(|share| *share > 0.0)
    }
}

/// The least room that any of the quotas leaves. `running`: executors whose share is in use already; `None` for those
/// of a run that has not started, for which whatever is in use now may be free.
pub(super) fn room(quotas: &[ResourceQuota], size: &Size, running: Option<Replicas>) -> Option<Room> {
    let rooms = quotas.iter().flat_map(|quota| {
        let status = quota.status.clone().unwrap_or_default();
        let hard = status.hard.or_else(|| quota.spec.clone()?.hard).unwrap_or_default();
        let used = status.used.unwrap_or_default();
        hard.into_iter().filter_map(move |(resource, hard)| {
            let share = size.share(&resource)?;
            let hard = quantity::read(&hard.0)?;
            let used = if running.is_some() { amount(&used, &resource) } else { 0.0 };
            // Whole ones only: a millionth forgives rounding.
            let more = Replicas::covering((hard - used) / share - 1.0 + 1e-6)?;
            let executors = Replicas(running.unwrap_or_default().0.saturating_add(more.0));
            Some(Room { executors, what: format!("the ResourceQuota {} ({resource})", quota.name_any()) })
        })
    });
    rooms.min_by_key(|room| room.executors)
}

fn amount(all: &BTreeMap<String, Quantity>, resource: &str) -> f64 {
    all.get(resource).and_then(|amount| quantity::read(&amount.0)).unwrap_or(0.0)
}

/// Memory as Spark writes it: `512m`, `2g`, mebibytes without a unit.
fn bytes(text: &str) -> Option<f64> {
    let text = text.trim().to_ascii_lowercase();
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(number.len()..)?;
    let factor = match unit.strip_suffix('b').unwrap_or(unit).trim_end_matches('i') {
        "" if unit.is_empty() => MIB,
        "" => 1.0,
        "k" => 1024.0,
        "m" => MIB,
        "g" => MIB * 1024.0,
        "t" => MIB * 1024.0 * 1024.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn quota(hard: &Value, used: &Value) -> ResourceQuota {
        serde_json::from_value(json!({
            "metadata": {"name": "team"}, "spec": {"hard": hard}, "status": {"hard": hard, "used": used},
        }))
        .unwrap()
    }

    fn size() -> Size {
        let spec = json!({"type": "Scala", "executor": {"cores": 2, "coreLimit": "2500m", "memory": "4g"}});
        Size::of(&spec).unwrap()
    }

    #[test]
    fn an_executor_takes_its_heap_and_what_stands_beside_it() {
        let size = |executor: Value, kind: &str| Size::of(&json!({"type": kind, "executor": executor}));
        let mib = |size: Option<Size>| size.unwrap().bytes / MIB;
        assert!((mib(size(json!({"memory": "4g"}), "Scala")) - 4505.6).abs() < 1e-6);
        assert!((mib(size(json!({"memory": "4g"}), "Python")) - 5734.4).abs() < 1e-6);
        assert!((mib(size(json!({"memory": "512m"}), "Scala")) - 896.0).abs() < 1e-6);
        assert!(
            (mib(size(json!({"memory": "512", "memoryOverhead": "1gb"}), "Scala")) - 1536.0).abs() < 1e-6
        );
        assert_eq!(size(json!({"memory": "much"}), "Scala"), None);
        assert_eq!(size(json!({"coreRequest": "much"}), "Scala"), None);
    }

    #[test]
    fn a_pod_takes_what_its_containers_ask_for() {
        let containers = json!([
            {"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}},
            {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}},
            {},
        ]);
        let size = Size::of_pod(&json!({"containers": containers})).unwrap();
        let gib = 1024.0 * MIB;
        let expected =
            Size { cores: 1.5, core_limit: Some(1.0), bytes: 2.0 * gib, byte_limit: Some(3.0 * gib) };
        assert_eq!(size, expected);
        let odd = json!({"containers": [{"resources": {"requests": {"cpu": "much"}}}]});
        assert_eq!(Size::of_pod(&odd), None);
    }

    #[test]
    fn an_executor_takes_what_its_settings_say() {
        let conf = json!({
            "spark.executor.cores": "2", "spark.kubernetes.executor.limit.cores": "3",
            "spark.executor.memory": "4g", "spark.executor.memoryOverhead": "512m",
        });
        let size = Size::of_conf(&conf).unwrap();
        let bytes = 4608.0 * MIB;
        let expected = Size { cores: 2.0, core_limit: Some(3.0), bytes, byte_limit: Some(bytes) };
        assert_eq!(size, expected);
        let bytes = 1408.0 * MIB;
        let least = Size { cores: 1.0, core_limit: None, bytes, byte_limit: Some(bytes) };
        assert_eq!(Size::of_conf(&json!({})), Some(least));
        assert_eq!(Size::of_conf(&json!({"spark.executor.memory": "much"})), None);
    }

    #[rstest]
    #[case::pods(json!({"pods": "10"}), json!({"pods": "4"}), Some((8, "pods")))]
    #[case::cpu(json!({"requests.cpu": "9", "pods": "100"}), json!({"requests.cpu": "4"}), Some((4, "requests.cpu")))]
    #[case::limits(json!({"limits.cpu": "5"}), json!({"limits.cpu": "0"}), Some((4, "limits.cpu")))]
    #[case::memory(json!({"limits.memory": "20Gi"}), json!({}), Some((6, "limits.memory")))]
    #[case::used_up(json!({"pods": "3"}), json!({"pods": "5"}), Some((2, "pods")))]
    #[case::other_things(json!({"services": "3"}), json!({}), None)]
    fn a_quota_leaves_room_beside_two_that_run(
        #[case] hard: Value,
        #[case] used: Value,
        #[case] expected: Option<(u32, &str)>,
    ) {
        let room = room(&[quota(&hard, &used)], &size(), Some(Replicas(2)));
        let told = room.map(|room| (room.executors.0, room.what));
        let expected = expected.map(|(count, what)| (count, format!("the ResourceQuota team ({what})")));
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_in_use_now_may_be_free_at_the_next_run() {
        let quotas = [quota(&json!({"pods": "10"}), &json!({"pods": "9"}))];
        assert_eq!(room(&quotas, &size(), None).unwrap().executors, Replicas(10));
    }
}
