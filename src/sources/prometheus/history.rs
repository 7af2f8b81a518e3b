//! A query's past: range queries, in chunks that every server grants.

use jiff::Timestamp;
use reqwest::header::AUTHORIZATION;

use super::answer::{Refusal, body, points};
use super::{Server, credentials, seconds};
use crate::policy::TimeSpan;

/// Prometheus refuses ranges of more than 11,000 steps.
const MOST_STEPS: u32 = 10_000;

/// One series over a range: a value for each step, `None` where there is none.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// The first step's time.
    pub from: Timestamp,
    /// Seconds between two values.
    pub step: f64,
    /// The values.
    pub values: Vec<Option<f64>>,
}

/// Why there is no history, in words that name the server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("prometheus {server}: {problem}")]
pub struct HistoryError {
    /// The connection's name.
    pub server: String,
    /// What went wrong.
    pub problem: String,
}

impl Server {
    /// What `query` yields at `from` and at every step from there on, up to `until`.
    pub(in crate::sources) async fn history(
        &self,
        query: &str,
        from: Timestamp,
        until: Timestamp,
        step: TimeSpan,
    ) -> Result<History, HistoryError> {
        let wrong = |refusal: Refusal| HistoryError { server: self.name.clone(), problem: refusal.problem };
        let whole = i64::try_from(step.0.as_secs()).unwrap_or(i64::MAX).max(1);
        // Steps at round times, so that the same range asks for the same points.
        let (first, last) = (from.as_second().div_euclid(whole) * whole, until.as_second());
        let mut history = History { from, step: step.as_secs_f64(), values: Vec::new() };
        history.from = Timestamp::from_second(first).unwrap_or(from);
        let mut begin = first;
        while begin <= last {
            let end = (begin + whole * (i64::from(MOST_STEPS) - 1)).min(last);
            let chunk = self.chunk(query, begin, end, whole).await.map_err(wrong)?;
            let mut chunk = chunk.into_iter().peekable();
            for at in (begin..=end).step_by(usize::try_from(whole).unwrap_or(usize::MAX)) {
                let at = Timestamp::from_second(at).map_or(f64::INFINITY, seconds);
                let value = chunk.next_if(|(time, _)| (time - at).abs() < 0.5).map(|(_, value)| value);
                history.values.push(value.filter(|value| value.is_finite() && *value >= 0.0));
            }
            begin = end + whole - (end - begin).rem_euclid(whole);
        }
        Ok(history)
    }

    async fn chunk(&self, query: &str, from: i64, until: i64, step: i64) -> Result<Vec<(f64, f64)>, Refusal> {
        let connection = self.connection.clone();
        let (authorities, token) = tokio::task::spawn_blocking(move || credentials(&connection))
            .await
            .map_err(|_| Refusal::missing("the look was interrupted"))??;
        let client = self.client(authorities)?;
        self.meter.permit().await;
        let seconds = Timestamp::from_second(step).map_or(1.0, seconds);
        let mut question = client.query_range(query, from, until, seconds);
        if let Some(token) = token {
            question = question.header(AUTHORIZATION, token);
        }
        let answer = question.get_raw().await.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        points(status, &body(answer).await?)
    }
}
