//! Somebody scales the target by hand, and the daemon dies.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

use super::steady::Steady;
use crate::support::waiting::eventually;
use crate::support::world::Case;

/// `kubectl scale` is left alone for half an hour, however often the daemon is killed within it: the end of
/// that half hour stays the same, and nothing is moved.
pub(super) async fn a_yield_outlives_the_daemon(case: Case) -> Result<()> {
    let (home, setup) = (case.home().await?, case.setup().await?);
    let steady = Steady::start_with(&case, case.kafka().await?, home, setup, &json!({})).await?;
    // So that it is ours to be taken.
    steady.rises_by_one().await?;
    let size = steady.home.replicas("consumer").await?;
    steady.home.scale("consumer", size + 1).await?;
    let before = steady.says("OwnedByOther").await?;
    ensure!(before.sentence.contains("yielding until"), "no end is named: {}", before.sentence);
    let stored: Api<ConfigMap> = Api::namespaced(steady.home.client.clone(), case.name);
    eventually("the takeover is in the stored memory", || async {
        let maps = stored.list(&ListParams::default()).await?;
        let mut entries =
            maps.items.iter().filter_map(|map| map.data.as_ref()).flat_map(|data| data.values());
        Ok(entries.any(|entry| entry.contains("\"taken\":{\"")).then_some(()))
    })
    .await?;
    for _ in 0..2 {
        steady.daemon.kill();
        steady.daemon.launch().await?;
        let after = steady.says("OwnedByOther").await?;
        ensure!(after.sentence == before.sentence, "{} became {}", before.sentence, after.sentence);
        steady.turns_pass(4).await?;
    }
    // Its need is one less: without the yield it would be lowered at once.
    let now = steady.home.replicas("consumer").await.context("the size")?;
    ensure!(now == size + 1, "it was moved to {now}");
    case.figure(&before.sentence);
    steady.end(&case).await
}
