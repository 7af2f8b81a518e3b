//! Who is compared, and what each of them is told.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::arena::{Arena, WORKERS};
use super::course::Course;
use crate::support::cluster::User;
use crate::support::daemon::{Daemon, Setup, plain_kafka};
use crate::support::objects::{Home, policy, with};
use crate::support::spark::Driver;

/// Bounds of both, in executors.
pub(crate) const LEAST: i32 = 1;
pub(crate) const MOST: i32 = 4;

/// Records per second that Tidegate is told an executor processes.
pub(crate) const TOLD: u32 = 45;

/// Who.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// Spark's dynamic allocation, on four workers.
    Stock,
    /// Tidegate moves the workers; dynamic allocation is off.
    Tidegate,
    /// The same, which is not told what an executor processes.
    Untold,
}

impl Contender {
    pub(crate) const ALL: [Self; 3] = [Self::Stock, Self::Tidegate, Self::Untold];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stock => "stock",
            Self::Tidegate => "tidegate",
            Self::Untold => "untold",
        }
    }

    /// What the application is started with.
    pub(crate) fn settings(self, course: Course) -> BTreeMap<String, String> {
        let mut settings: BTreeMap<_, _> = [
            ("spark.ui.retainedDeadExecutors".to_owned(), "10000".to_owned()),
            ("spark.sql.streaming.numRecentProgressUpdates".to_owned(), "10".to_owned()),
        ]
        .into();
        if self == Self::Stock {
            let ours = [
                ("enabled", "true".to_owned()),
                ("minExecutors", LEAST.to_string()),
                ("maxExecutors", MOST.to_string()),
                ("initialExecutors", MOST.to_string()),
                ("executorIdleTimeout", format!("{}s", course.idle())),
            ];
            settings.extend(ours.map(|(name, value)| (format!("spark.dynamicAllocation.{name}"), value)));
        }
        settings
    }

    /// Starts what runs for it beside Spark, and waits until it has decided once. It ends when dropped.
    pub(crate) async fn start(
        self,
        arena: &Arena,
        (home, course): (&Home, Course),
        driver: &Driver,
    ) -> Result<Option<Daemon>> {
        if self == Self::Stock {
            return Ok(None);
        }
        let connections = plain_kafka(&arena.kafka.bootstrap());
        let daemon = Daemon::start(Setup {
            dir: arena.dir.join(&home.name).join("daemon"),
            kubeconfig: arena.cluster.kubeconfig(User::Tidegate),
            namespaces: vec![home.name.clone()],
            mode: "Apply",
            connections: with(&connections, &json!({"spark": {"app": driver.connection()}})),
            further: json!({"interval": "15s"}),
        })
        .await?;
        // Everything else is left to its default.
        let spec = json!({
            "mode": "Apply",
            "target": {"scaleTargetRef": {"kind": "Deployment", "name": WORKERS}},
            "sources": [{"spark": {
                "app": "app", "cluster": "main", "topics": [home.name], "checkpoint": home.name,
                "query": home.name, "triggerInterval": format!("{}s", course.trigger()),
            }}],
            "objective": {"maxLag": format!("{}s", course.objective())},
            "minReplicas": LEAST, "maxReplicas": MOST,
        });
        // What a core does in 20 ms per record, less a tenth.
        let told = if self == Self::Tidegate { json!({"capacityPerReplica": TOLD}) } else { json!({}) };
        let spec = with(&spec, &told);
        daemon.policies("bench.yaml", &policy(Some(&home.name), WORKERS, &spec))?;
        daemon.turns_pass(&home.name, WORKERS, 0).await?;
        Ok(Some(daemon))
    }
}
