//! A JobManager's own history of rescales, which Flink keeps from 2.3 on where it is told to
//! (`web.adaptive-scheduler.rescale-history.size`): what the last one that somebody asked for took.

use serde::Deserialize;

use super::FlinkError;
use super::client::Client;
use super::look::optional;

/// What a rescale is called that was asked for, other than those after failures.
const ASKED_FOR: &str = "UPDATE_REQUIREMENT";
/// The state of a scheduler whose tasks work.
const AT_WORK: &str = "Executing";

/// `/jobs/:id/rescales/overview`.
#[derive(Debug, Deserialize)]
struct Overview {
    latest: Latest,
}

#[derive(Debug, Deserialize)]
struct Latest {
    completed: Option<Rescale>,
}

/// One rescale, `/jobs/:id/rescales/details/:rescale`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rescale {
    #[serde(rename = "rescaleUuid")]
    uuid: String,
    trigger_cause: Option<String>,
    /// Milliseconds since 1970, by the JobManager's clock.
    start_timestamp_in_millis: i64,
    end_timestamp_in_millis: Option<i64>,
    #[serde(default)]
    scheduler_states: Vec<Span>,
}

/// For how long a scheduler was in one state.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    state: String,
    duration_in_millis: Option<i64>,
}

impl Rescale {
    /// When it began, in milliseconds of the JobManager's clock.
    pub(crate) fn began(&self) -> i64 {
        self.start_timestamp_in_millis
    }

    /// Seconds from asking for it until it was carried out, and seconds of them in which no task worked. `None` where
    /// the history does not tell.
    pub(crate) fn took(&self) -> Option<(f64, f64)> {
        let seconds = |count: i64| {
            u64::try_from(count).ok().map(|count| std::time::Duration::from_millis(count).as_secs_f64())
        };
        let stopped = self.scheduler_states.iter().filter(|span| span.state != AT_WORK);
        let stopped: i64 = stopped.map(|span| span.duration_in_millis).sum::<Option<i64>>()?;
        let all = self.end_timestamp_in_millis?.checked_sub(self.start_timestamp_in_millis)?;
        let known = stopped > 0 && all >= stopped;
        Some((seconds(all)?, seconds(stopped)?)).filter(|_| known)
    }
}

/// The last rescale of a job that was asked for; `known` where there is none newer.
pub(super) async fn last(
    client: &Client,
    path: &str,
    known: Option<Rescale>,
) -> Result<Option<Rescale>, FlinkError> {
    let path = format!("{path}/rescales");
    let overview: Option<Overview> = optional(client.get(&format!("{path}/overview"), &[]).await)?;
    let latest = overview.and_then(|overview| overview.latest.completed);
    let asked_for = latest.filter(|one| one.trigger_cause.as_deref() == Some(ASKED_FOR));
    let Some(latest) = asked_for else { return Ok(known) };
    if known.as_ref().is_some_and(|known| known.uuid == latest.uuid) {
        return Ok(known);
    }
    let details = format!("{path}/details/{}", latest.uuid);
    Ok(optional(client.get(&details, &[]).await)?.or(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded() -> Rescale {
        let path = format!("{}/tests/fixtures/flink/2.3/rescales-details.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    /// `Restarting` and `CreatingExecutionGraph`; the wait for a checkpoint before is none of it.
    #[test]
    fn the_stop_is_what_no_task_worked_in() {
        let (all, stopped) = recorded().took().unwrap();
        assert!((all - 2.025).abs() < 1e-9 && (stopped - 0.787).abs() < 1e-9, "{all} {stopped}");
    }

    #[test]
    fn what_is_not_told_is_unknown() {
        let under_way = Rescale { end_timestamp_in_millis: None, ..recorded() };
        assert_eq!(under_way.took(), None);
        let without_states = Rescale { scheduler_states: Vec::new(), ..recorded() };
        assert_eq!(without_states.took(), None, "as an overview has it");
    }
}
