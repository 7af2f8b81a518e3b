//! What stock dynamic allocation lacks in an application: nothing that it does depends on triggers or on lag, and what
//! holds data is kept for ever. Pure.

use serde_json::Value;

use super::bounds::Range;

/// Seconds after which an executor without work leaves, unless it is said.
const IDLE: f64 = 60.0;
/// Trigger intervals, and seconds, that an executor should stay for at least.
const INTERVALS: f64 = 3.0;
const LEAST: f64 = 120.0;
/// Seconds that a task should take for an executor to be worth its start.
const SHORT: f64 = 2.0;

/// What is known of how it works.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Habits {
    /// Seconds between two triggers of a stream; 0: as soon as possible.
    pub(super) trigger_seconds: Option<f64>,
    /// Seconds that a task takes.
    pub(super) task_seconds: Option<f64>,
}

/// What would make it behave, and why.
pub(super) fn advice(spec: &Value, range: Range, habits: Habits) -> Vec<String> {
    let conf = |key: &str| spec.get("sparkConf")?.get(key)?.as_str();
    let mut advice = Vec::new();
    if conf("spark.decommission.enabled") != Some("true") {
        let why = "set spark.decommission.enabled=true: executors then end their tasks before they leave";
        advice.push(why.to_owned());
    }
    let typed = spec.pointer("/dynamicAllocation/shuffleTrackingTimeout").is_some_and(|span| !span.is_null());
    if !typed && conf("spark.dynamicAllocation.shuffleTracking.timeout").is_none() {
        let why = "set spark.dynamicAllocation.shuffleTracking.timeout: executors that hold shuffle data never leave \
                   without";
        advice.push(why.to_owned());
    }
    let idle = conf("spark.dynamicAllocation.executorIdleTimeout");
    advice.extend(idling(idle, range, habits.trigger_seconds));
    if conf("spark.dynamicAllocation.executorAllocationRatio").is_none() {
        advice.extend(ratio(habits.task_seconds));
    }
    advice
}

/// An executor that rests between two triggers should neither be dropped nor be taken for one that is not needed.
fn idling(stated: Option<&str>, range: Range, trigger: Option<f64>) -> Option<String> {
    const KEY: &str = "spark.dynamicAllocation.executorIdleTimeout";
    let Some(trigger) = trigger else {
        return stated.is_none().then(|| {
            format!(
                "set {KEY} to three trigger intervals of a stream, at least: at 60s a shorter interval keeps every \
                 executor, and a longer one drops and starts them in each"
            )
        });
    };
    let idle = stated.map_or(Some(IDLE), seconds)?;
    if trigger < idle {
        let pace = match trigger {
            0.0 => "where a batch follows the last one at once".to_owned(),
            _ => format!("with a trigger every {trigger:.0} s"),
        };
        let (upper, what) = (range.upper, "it holds what it once had");
        return Some(format!(
            "{pace} no executor is idle for {idle:.0} s: {what}, so keep maxExecutors ({upper}) at what it needs"
        ));
    }
    let least = (INTERVALS * trigger).max(LEAST);
    (idle < least).then(|| {
        format!(
            "set {KEY}={least:.0}s: at {idle:.0} s executors leave and start again between triggers {trigger:.0} s apart"
        )
    })
}

fn ratio(task_seconds: Option<f64>) -> Option<String> {
    const SET: &str = "set spark.dynamicAllocation.executorAllocationRatio=0.5";
    match task_seconds {
        Some(task) if task >= SHORT => None,
        Some(task) => {
            Some(format!("{SET}: its tasks take {task:.1} s, and an executor for each takes longer to start"))
        }
        None => Some(format!(
            "{SET} where tasks take less than {SHORT:.0} s: an executor for each takes longer to start"
        )),
    }
}

/// A length of time as Spark writes it, in seconds; without a unit it is in seconds here.
fn seconds(text: &str) -> Option<f64> {
    let text = text.trim().to_ascii_lowercase();
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(number.len()..)? {
        "" | "s" => 1.0,
        "us" => 1e-6,
        "ms" => 1e-3,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Some(number.trim().parse::<f64>().ok()? * unit)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::policy::Replicas;

    const RANGE: Range = Range { lower: Replicas(1), upper: Replicas(8), initial: None };

    fn spec(idle: Option<&str>) -> Value {
        let mut conf = json!({
            "spark.decommission.enabled": "true",
            "spark.dynamicAllocation.shuffleTracking.timeout": "10m",
            "spark.dynamicAllocation.executorAllocationRatio": "0.5",
        });
        if let Some(idle) = idle {
            conf["spark.dynamicAllocation.executorIdleTimeout"] = idle.into();
        }
        json!({ "sparkConf": conf })
    }

    #[rstest]
    #[case::thrash(
        Some("5s"),
        Some(20.0),
        Some(
            "set spark.dynamicAllocation.executorIdleTimeout=120s: at 5 s executors leave and start again between triggers 20 s apart"
        )
    )]
    #[case::long_interval(
        Some("2min"),
        Some(180.0),
        Some("set spark.dynamicAllocation.executorIdleTimeout=540s: at 120 s")
    )]
    #[case::never_shrinks(
        None,
        Some(2.0),
        Some(
            "with a trigger every 2 s no executor is idle for 60 s: it holds what it once had, so keep maxExecutors (8) at what it needs"
        )
    )]
    #[case::at_once(
        Some("600"),
        Some(0.0),
        Some("where a batch follows the last one at once no executor is idle for 600 s")
    )]
    #[case::as_long(Some("10m"), Some(600.0), Some("=1800s"))]
    #[case::no_stream(Some("30s"), None, None)]
    #[case::unknown(None, None, Some("three trigger intervals"))]
    #[case::unreadable(Some("soon"), Some(20.0), None)]
    fn idling_goes_by_the_trigger(
        #[case] idle: Option<&str>,
        #[case] trigger_seconds: Option<f64>,
        #[case] told: Option<&str>,
    ) {
        let advice = advice(&spec(idle), RANGE, Habits { trigger_seconds, task_seconds: None });
        match (advice.as_slice(), told) {
            ([], None) => {}
            ([one], Some(told)) => assert!(one.contains(told), "{one}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_that_is_lacking_is_said() {
        let bare = |task_seconds| advice(&json!({}), RANGE, Habits { trigger_seconds: None, task_seconds });
        assert_eq!(bare(None).len(), 4);
        assert_eq!(bare(Some(2.0)).len(), 3, "long tasks need no ratio");
        let short = bare(Some(0.4));
        assert!(short[3].contains("its tasks take 0.4 s"), "{short:?}");
        let typed = json!({"dynamicAllocation": {"shuffleTrackingTimeout": 600_000}, "sparkConf": {"spark.decommission.enabled": "true"}});
        assert_eq!(advice(&typed, RANGE, Habits::default()).len(), 2);
    }
}
