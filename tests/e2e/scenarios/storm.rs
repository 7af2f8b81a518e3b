//! Three brokers, one of which is always in trouble.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::steady::Steady;
use crate::support::kafka::{Kafka, Layout};
use crate::support::waiting::eventually;
use crate::support::world::Case;

const ROUNDS: usize = 6;
/// How long a broker is away: longer than the daemon waits for an answer, and than the cluster takes to
/// elect another.
const AWAY: Duration = Duration::from_secs(6);

/// The group's coordinator is killed and started, frozen and thawed, in turns. Then the leader of a
/// partition with backlog goes for good, and the work goes on without it.
pub(super) async fn the_coordinator_fails_again_and_again(case: Case) -> Result<()> {
    let kafka =
        Kafka::start(case.tools(), &case.path("kafka"), Layout { brokers: 3, ..Layout::default() }).await?;
    let steady = Steady::start(&case, &kafka).await?;
    for round in 0..ROUNDS {
        let coordinator = eventually("the coordinator is known", || async {
            Ok(Some(steady.admin.coordinator(case.name).await?))
        })
        .await?;
        if round % 2 == 0 {
            kafka.kill(coordinator)?;
            tokio::time::sleep(AWAY).await;
            steady.daemon.alive().with_context(|| format!("round {round}, broker {coordinator} killed"))?;
            kafka.revive(coordinator).await?;
        } else {
            kafka.freeze(coordinator)?;
            tokio::time::sleep(AWAY).await;
            steady.daemon.alive().with_context(|| format!("round {round}, broker {coordinator} frozen"))?;
            kafka.thaw(coordinator)?;
        }
        kafka.whole().await?;
        steady.says("AtNeed").await.with_context(|| format!("after round {round}"))?;
        steady.log.never_lowered()?;
    }
    ensure!(steady.log.moves().is_empty(), "the storm moved it: {:?}", steady.log.moves());
    steady.rises_by_one().await?;

    let leader = steady.admin.leader(case.name, 0).await?;
    kafka.kill(leader)?;
    steady.rises_by_one().await.context("without the broker that led partition 0")?;
    kafka.revive(leader).await?;
    kafka.whole().await?;
    steady.rises_by_one().await?;
    steady.end(&case).await
}
