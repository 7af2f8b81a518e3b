//! What the next run of a batch will need, from the last ones: as many executors as make no more than a tenth of a
//! difference.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::engine::observation::{Meaning, MetricReading, Quality, SourceReading};
use crate::policy::source::SparkRuns;
use crate::sources::Source;
use crate::spark::history::History;
use crate::spark::replay::{Run, sizes};

/// The demand that runs show.
pub(in crate::sources) struct Runs {
    history: Arc<History>,
    runs: SparkRuns,
}

impl Runs {
    pub(in crate::sources) fn new(history: Arc<History>, runs: &SparkRuns) -> Self {
        Self { history, runs: runs.clone() }
    }
}

impl Source for Runs {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, SourceReading> {
        async move {
            let SparkRuns { history, app } = &self.runs;
            let demand = self.history.runs(app).await.and_then(|runs| {
                let good: Vec<&Run> = runs.iter().filter(|run| run.failed.is_none()).collect();
                let sizes = sizes(&good);
                sizes.ok_or_else(|| format!("it remembers no run of {app} that ended well"))
            });
            let (value, problem) = match demand {
                Ok(sizes) => (Some(sizes.upper.as_f64()), None),
                Err(problem) => (None, Some(format!("spark history {history}: {problem}"))),
            };
            SourceReading::Metric(MetricReading {
                source: format!("{history}/{app}"),
                means: Meaning::Backlog,
                sampled_at: now,
                value,
                quality: if value.is_some() { Quality::Ok } else { Quality::Missing },
                problem,
            })
        }
        .boxed()
    }
}
