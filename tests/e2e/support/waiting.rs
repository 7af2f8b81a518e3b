//! Waiting for a state, never for a time.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

use super::process::Ended;

/// Generous: a machine with neighbours is ten times slower than one without.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// Looks until `probe` gives a value, for at most [`PATIENCE`]. A failing look counts as "not
/// yet", unless what it looks at has ended.
pub(crate) async fn eventually<T, F, L>(what: &str, mut probe: F) -> Result<T>
where
    F: FnMut() -> L,
    L: Future<Output = Result<Option<T>>>,
{
    let deadline = Instant::now() + PATIENCE;
    let mut last = None;
    while Instant::now() < deadline {
        match probe().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => last = None,
            Err(error) if error.is::<Ended>() => return Err(error.context(format!("waiting: {what}"))),
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    match last {
        Some(error) => Err(error.context(format!("gave up waiting: {what}"))),
        None => bail!("gave up waiting: {what}"),
    }
}

/// Looks until `probe` gives `wanted`; the error says what it gave instead.
pub(crate) async fn becomes<T, F, L>(what: &str, wanted: T, mut probe: F) -> Result<()>
where
    T: PartialEq + Debug,
    F: FnMut() -> L,
    L: Future<Output = Result<T>>,
{
    let deadline = Instant::now() + PATIENCE;
    let mut last = probe().await;
    loop {
        if last.as_ref().is_ok_and(|seen| *seen == wanted) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!("gave up waiting: {what}: expected {wanted:?}, last seen {last:?}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        last = probe().await;
    }
}
