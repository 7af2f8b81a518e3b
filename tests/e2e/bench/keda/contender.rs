//! Who is compared, and what each of them is told.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::arena::Arena;
use crate::support::cluster::User;
use crate::support::daemon::{Daemon, Setup, plain_kafka};
use crate::support::keda::scaled_object;
use crate::support::objects::{Home, policy, with};
use crate::support::waiting::eventually;

/// Age of the oldest record that the objective allows, in uncompressed seconds.
pub(crate) const OBJECTIVE: u64 = 100;
/// What a move costs, in uncompressed replica-seconds: the weight that `tidegate simulate` has for consumers.
pub(crate) const MOVE: u32 = 180;
pub(crate) const MIN_REPLICAS: i32 = 1;
pub(crate) const MAX_REPLICAS: i32 = 12;
/// The Deployment and the ScaledObject.
pub(crate) const CONSUMER: &str = "consumer";

/// HPA behaviours of the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Behavior {
    /// Nothing is said: down after five minutes.
    Default,
    /// Down after a minute, at most by half per minute.
    Brisk,
}

/// What KEDA is told. Times are uncompressed seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tuning {
    pub(crate) lag_threshold: u32,
    pub(crate) polling_interval: u64,
    pub(crate) behavior: Behavior,
}

impl Tuning {
    /// What KEDA does when only the topic and the group are named.
    pub(crate) const DEFAULT: Self =
        Self { lag_threshold: 10, polling_interval: 30, behavior: Behavior::Default };

    /// The grid, in batches that are tried side by side.
    pub(crate) fn grid() -> Vec<Vec<Self>> {
        let of =
            |lag_threshold, polling_interval, behavior| Self { lag_threshold, polling_interval, behavior };
        vec![
            vec![
                of(300, 30, Behavior::Default),
                of(1000, 30, Behavior::Default),
                of(2500, 30, Behavior::Default),
                of(1000, 5, Behavior::Default),
            ],
            vec![
                of(300, 30, Behavior::Brisk),
                of(1000, 30, Behavior::Brisk),
                of(2500, 30, Behavior::Brisk),
                of(1000, 5, Behavior::Brisk),
            ],
        ]
    }

    /// For people.
    pub(crate) fn words(self) -> String {
        let behavior = match self.behavior {
            Behavior::Default => "HPA behaviour unset",
            Behavior::Brisk => "down after 60 s, at most by half per 60 s",
        };
        format!(
            "lagThreshold {}, pollingInterval {} s, {behavior}",
            self.lag_threshold, self.polling_interval
        )
    }

    fn spec(self, arena: &Arena, group: &str) -> Value {
        let spec = json!({
            "scaleTargetRef": {"name": CONSUMER},
            "pollingInterval": arena.compressed(self.polling_interval),
            "minReplicaCount": MIN_REPLICAS, "maxReplicaCount": MAX_REPLICAS,
            "triggers": [{"type": "kafka", "metadata": {
                "bootstrapServers": arena.kafka.bootstrap(), "consumerGroup": group,
                "topic": arena.topic, "lagThreshold": self.lag_threshold.to_string(),
            }}],
        });
        if self.behavior == Behavior::Brisk {
            let minute = arena.compressed(60);
            let advanced = json!({"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {
                "stabilizationWindowSeconds": minute,
                "policies": [{"type": "Percent", "value": 50, "periodSeconds": minute}],
            }}}});
            return with(&spec, &json!({"advanced": advanced}));
        }
        spec
    }
}

/// Who.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// KEDA and the HPA controller.
    Keda(Tuning),
    /// Tidegate moves the Deployment.
    Tidegate,
    /// Tidegate moves the bounds of KEDA's ScaledObject.
    Both(Tuning),
}

/// What runs for a contender; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) daemon: Option<Daemon>,
}

impl Contender {
    /// Starts it over the Deployment of `home`.
    pub(crate) async fn start(self, arena: &Arena, home: &Home, group: &str) -> Result<Running> {
        if let Self::Keda(tuning) | Self::Both(tuning) = self {
            scaled_object(home, CONSUMER, &tuning.spec(arena, group)).await?;
            let hpas = home.autoscalers();
            eventually("KEDA made its HPA", || async { Ok(hpas.get_opt("keda-hpa-consumer").await?) })
                .await?;
        }
        let target = match self {
            Self::Keda(_) => return Ok(Running { daemon: None }),
            Self::Tidegate => json!({"scaleTargetRef": {"kind": "Deployment", "name": CONSUMER}}),
            Self::Both(_) => json!({"scaledObject": {"name": CONSUMER}}),
        };
        let daemon = Daemon::start(Setup {
            dir: arena.dir.join(&home.name),
            kubeconfig: arena.keda.cluster().kubeconfig(User::Tidegate),
            namespaces: vec![home.name.clone()],
            mode: "Apply",
            connections: plain_kafka(&arena.kafka.bootstrap()),
            further: json!({"interval": format!("{}s", arena.compressed(15))}),
        })
        .await?;
        // Everything else is left to its default; the budget is one, compressed. A move is worth what `cost` has
        // it cost everybody: nobody can measure that.
        let spec = json!({
            "mode": "Apply",
            "target": target,
            "sources": [{"kafkaLag": {"cluster": "main", "group": group, "topics": [arena.topic]}}],
            "objective": {"maxLag": format!("{}s", arena.compressed(OBJECTIVE))},
            "knobs": {"rescaleCost": format!("{}s", arena.compressed(u64::from(MOVE)))},
            "minReplicas": MIN_REPLICAS, "maxReplicas": MAX_REPLICAS,
            "budget": {"changesPerHour": 60 * arena.compression},
        });
        let hint = arena.hint.map_or(json!({}), |hint| json!({"capacityPerReplica": hint}));
        let spec = with(&spec, &hint);
        daemon.policies("bench.yaml", &policy(Some(&home.name), CONSUMER, &spec))?;
        daemon.turns_pass(&home.name, CONSUMER, 0).await?;
        Ok(Running { daemon: Some(daemon) })
    }
}
