//! The suite's own servers and eyes, without the daemon: what fails here is not the daemon's fault.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::support::cluster::User;
use crate::support::load::Load;
use crate::support::objects::Image;
use crate::support::probe::Probe;
use crate::support::prometheus::Prometheus;
use crate::support::replicas::ReplicaLog;
use crate::support::waiting::eventually;
use crate::support::world::Case;

const PARTITIONS: i32 = 4;

/// A person scales real consumers by hand; the probe sees the backlog grow and go.
pub(super) async fn people_can_do_it_by_hand(case: Case) -> Result<()> {
    let (home, bootstrap) = (case.home().await?, case.kafka().await?.bootstrap());
    case.kafka().await?.admin()?.create(case.name, PARTITIONS).await?;
    let image = Image::consumer(&bootstrap, case.name, &[case.name], 100);
    home.deploy("consumer", &image, 1).await?;
    let log = ReplicaLog::follow(&home, "consumer").await?;
    let probe = Probe::start(&bootstrap, case.name, case.name, PARTITIONS)?;
    let load = Load::start(&bootstrap, case.name, PARTITIONS, 250)?;
    eventually("one consumer falls behind", || async {
        Ok(probe.samples().last().filter(|sample| sample.age > 5.0).map(|_| ()))
    })
    .await?;
    home.scale("consumer", 4).await?;
    home.has("consumer", 4).await?;
    eventually("four consumers catch up", || async {
        Ok(probe.samples().last().filter(|sample| sample.age < 3.0).map(|_| ()))
    })
    .await?;
    home.scale("consumer", 0).await?;
    home.has("consumer", 0).await?;
    let writes = case.cluster().await?.audit()?;
    let scaled = writes.iter().filter(|write| {
        write.user == User::Suite.name()
            && write.namespace == case.name
            && write.resource == "deployments/scale"
    });
    let scaled = scaled.count();
    ensure!(scaled == 2, "the audit log has {scaled} of 2 writes");
    ensure!(log.moves() == [(1, 4), (4, 0)] && log.reversals() == 1, "moves {:?}", log.moves());
    case.figure(&format!(
        "{} records produced, {:.0} replica-seconds",
        load.produced(),
        log.replica_seconds()
    ));

    let rules = "groups:\n- {name: one, rules: [{record: answer, expr: 'vector(42)'}]}\n";
    let prometheus = Prometheus::start(case.tools(), &case.path("prometheus"), rules).await?;
    eventually("Prometheus has evaluated its rule", || async {
        let query = format!("{}/api/v1/query?query=answer", prometheus.url());
        let answer: serde_json::Value = reqwest::get(query).await?.json().await?;
        Ok((answer.pointer("/data/result/0/value/1") == Some(&json!("42"))).then_some(()))
    })
    .await
}
