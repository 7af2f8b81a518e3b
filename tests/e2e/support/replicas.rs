//! Every size that a Deployment was ever asked to have, from a watch.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use futures::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::objects::Home;
use super::waiting::eventually;

type Sizes = Arc<Mutex<Vec<(Instant, i32)>>>;

/// Follows one Deployment until dropped.
#[derive(Debug)]
pub(crate) struct ReplicaLog {
    sizes: Sizes,
    task: JoinHandle<()>,
}

impl Drop for ReplicaLog {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ReplicaLog {
    /// Begins to follow; the present size is the first entry.
    pub(crate) async fn follow(home: &Home, name: &str) -> Result<Self> {
        let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut seen = watcher(home.deployments(), only).default_backoff().applied_objects().boxed();
        let sizes = Sizes::default();
        let kept = Arc::clone(&sizes);
        let task = tokio::spawn(async move {
            while let Some(event) = seen.next().await {
                let Ok(deployment) = event else { continue };
                let size = deployment.spec.replicas.unwrap_or_default();
                let mut sizes = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if sizes.last().is_none_or(|(_, last)| *last != size) {
                    sizes.push((Instant::now(), size));
                }
            }
        });
        let log = Self { sizes, task };
        eventually("the Deployment is being watched", || async {
            Ok((!log.sizes().is_empty()).then_some(()))
        })
        .await?;
        Ok(log)
    }

    /// When it was asked to have which size.
    pub(crate) fn sizes(&self) -> Vec<(Instant, i32)> {
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every move, as from and to.
    pub(crate) fn moves(&self) -> Vec<(i32, i32)> {
        let sizes = self.sizes();
        sizes.iter().zip(sizes.iter().skip(1)).map(|((_, from), (_, to))| (*from, *to)).collect()
    }

    /// An error if it was ever made smaller.
    pub(crate) fn never_lowered(&self) -> Result<()> {
        let moves = self.moves();
        ensure!(moves.iter().all(|(from, to)| to > from), "moved down: {moves:?}");
        Ok(())
    }

    /// Moves whose direction is not that of the move before.
    pub(crate) fn reversals(&self) -> usize {
        let moves = self.moves();
        let ups: Vec<bool> = moves.iter().map(|(from, to)| to > from).collect();
        ups.iter().zip(ups.iter().skip(1)).filter(|(before, after)| before != after).count()
    }

    /// Replicas asked for, times seconds, up to now.
    pub(crate) fn replica_seconds(&self) -> f64 {
        let sizes = self.sizes();
        let ends = sizes.iter().skip(1).map(|(at, _)| *at).chain([Instant::now()]);
        sizes.iter().zip(ends).map(|((from, size), to)| f64::from(*size) * (to - *from).as_secs_f64()).sum()
    }
}
