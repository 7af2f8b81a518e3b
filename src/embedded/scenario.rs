//! The demo's day: four workloads, their policies, and what happens to them.

use super::load::{Load, Pulse};
use super::naive::{Allocation, LagRule, Rule};
use super::runtime::Runtime;
use super::world::{BROKEN, BROKERS, Setup};
use crate::policy::read::read_policies;
use crate::policy::{Policy, TimeSpan};
use crate::random::hash;

/// What is wrong with a scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// A policy of the scenario does not parse.
    #[error("the demo's policy for {name}: {problem}")]
    Policy {
        /// Whose policy.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A policy of the scenario names a source that the demo does not have.
    #[error("the demo's policy for {name} names a source that is not simulated")]
    NoSource {
        /// Whose policy.
        name: &'static str,
    },
}

/// Second of the day at which the demo starts: 06:00.
pub const STARTS_AT: i64 = 6 * HOUR;

const HOUR: i64 = 3600;
const MINUTE: i64 = 60;
const DEPLOY_AT: i64 = 10 * HOUR + 30 * MINUTE;
const SALE: Pulse = Pulse { from: 13 * HOUR, until: 13 * HOUR + 45 * MINUTE, height: 600, ramp: 2 * MINUTE };
const OUTAGE: (i64, i64) = (16 * HOUR + 20 * MINUTE, 16 * HOUR + 32 * MINUTE);

/// A consumer of an order stream: never idle, busiest in the evening.
pub const ORDERS: &str = "\
apiVersion: tidegate.dev/v1alpha1
kind: ScalingPolicy
metadata: {name: orders, namespace: shop}
spec:
  mode: Apply
  target:
    scaleTargetRef: {kind: Deployment, name: orders}
  sources:
    - kafkaLag: {cluster: main, group: orders, topics: [orders]}
  objective: {maxLag: 2m}
  minReplicas: 2
  maxReplicas: 24
";

/// A consumer of batches: idle for most of the day, and then at zero replicas.
pub const INVOICES: &str = "\
apiVersion: tidegate.dev/v1alpha1
kind: ScalingPolicy
metadata: {name: invoices, namespace: shop}
spec:
  mode: Apply
  target:
    scaleTargetRef: {kind: Deployment, name: invoices}
  sources:
    - kafkaLag: {cluster: main, group: invoices, topics: [invoices]}
  objective: {maxLag: 10m}
  minReplicas: 0
  maxReplicas: 6
";

/// A Flink job, rescaled in place: what a move costs is next to nothing, so it follows the load closely.
pub const SESSIONS: &str = "\
apiVersion: tidegate.dev/v1alpha1
kind: ScalingPolicy
metadata: {name: sessions, namespace: shop}
spec:
  mode: Apply
  target:
    flinkDeployment: {name: sessions}
  sources:
    - kafkaLag: {cluster: main, group: sessions, topics: [clicks]}
  objective: {maxLag: 60s}
  minReplicas: 1
  maxReplicas: 16
";

/// A Structured Streaming query on a standalone Spark cluster: its workers are moved.
pub const REPORT: &str = "\
apiVersion: tidegate.dev/v1alpha1
kind: ScalingPolicy
metadata: {name: report, namespace: shop}
spec:
  mode: Apply
  target:
    scaleTargetRef: {kind: Deployment, name: report-worker}
  sources:
    - spark: {app: report, cluster: main, topics: [views], checkpoint: report/views, triggerInterval: 10s}
  objective: {maxLag: 2m}
  minReplicas: 1
  maxReplicas: 20
";

/// One workload with its world and its rivals.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The policy's name.
    pub name: &'static str,
    /// What Tidegate is asked.
    pub policy: &'static str,
    /// The world, the same for everybody.
    pub setup: Setup,
    /// What would size it otherwise.
    pub rule: Rule,
    /// The size that somebody who knows the day's peak would choose.
    pub fixed: u32,
}

impl Plan {
    /// The checked policy.
    pub fn read_policy(&self, interval: TimeSpan) -> Result<Policy, ScenarioError> {
        let wrong = |problem: String| ScenarioError::Policy { name: self.name, problem };
        let parsed = read_policies(self.name, self.policy, None, interval).into_iter().next();
        let problems = match parsed.map(|parsed| parsed.result) {
            Some(Ok(policy)) => return Ok(policy),
            Some(Err(problems)) => problems.iter().map(ToString::to_string).collect(),
            None => vec!["no document".to_owned()],
        };
        Err(wrong(problems.join("\n")))
    }
}

/// How much something that happens matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Trouble begins.
    Trouble,
    /// Trouble ends.
    Relief,
}

/// Something that happens to everybody's world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, in seconds from the start.
    pub second: i64,
    /// How much it matters.
    pub tone: Tone,
    /// What, in words.
    pub text: String,
}

/// The day's workloads; the first is the one that the demo looks at closely.
pub fn plans(seed: u64) -> Vec<Plan> {
    vec![orders(seed), invoices(hash(seed, 9, 9)), sessions(hash(seed, 9, 10)), report(hash(seed, 9, 11))]
}

fn orders(seed: u64) -> Plan {
    let hourly = [
        620, 480, 400, 360, 350, 400, 520, 720, 980, 1180, 1280, 1340, 1400, 1380, 1320, 1300, 1320, 1380,
        1480, 1580, 1600, 1400, 1100, 820,
    ];
    Plan {
        name: "orders",
        policy: ORDERS,
        setup: Setup {
            partitions: 48,
            load: Load::new(hourly, vec![SALE], 35, seed),
            capacity_milli: vec![130_000, 110_000],
            runtime: Runtime::Consumers,
            replicas: 8,
            starts_at: STARTS_AT,
            deploy_at: Some(DEPLOY_AT - STARTS_AT),
            outage: Some((OUTAGE.0 - STARTS_AT, OUTAGE.1 - STARTS_AT)),
            seed,
        },
        // Of 500 to 40,000 the one that held the objective best (seed 42).
        rule: Rule::Lag(LagRule::new(500, 2, 24)),
        fixed: 24,
    }
}

fn invoices(seed: u64) -> Plan {
    let batch = |hour: i64, minutes: i64| Pulse {
        from: hour * HOUR,
        until: hour * HOUR + minutes * MINUTE,
        height: 200,
        ramp: 30,
    };
    Plan {
        name: "invoices",
        policy: INVOICES,
        setup: Setup {
            partitions: 12,
            load: Load::new(
                [0; 24],
                vec![batch(2, 60), batch(8, 20), batch(12, 20), batch(18, 30)],
                35,
                seed,
            ),
            capacity_milli: vec![60_000],
            runtime: Runtime::Consumers,
            replicas: 0,
            starts_at: STARTS_AT,
            deploy_at: None,
            outage: Some((OUTAGE.0 - STARTS_AT, OUTAGE.1 - STARTS_AT)),
            seed,
        },
        // Of 500 to 40,000 the cheapest that held the objective (seed 42).
        rule: Rule::Lag(LagRule::new(10_000, 0, 6)),
        fixed: 4,
    }
}

fn sessions(seed: u64) -> Plan {
    let hourly = [
        260, 190, 150, 130, 130, 160, 260, 420, 560, 620, 640, 700, 820, 780, 680, 640, 660, 740, 880, 1020,
        1080, 900, 640, 400,
    ];
    Plan {
        name: "sessions",
        policy: SESSIONS,
        setup: Setup {
            partitions: 48,
            load: Load::new(hourly, Vec::new(), 60, seed),
            capacity_milli: vec![115_000],
            runtime: Runtime::FlinkJob,
            replicas: 4,
            starts_at: STARTS_AT,
            deploy_at: None,
            outage: Some((OUTAGE.0 - STARTS_AT, OUTAGE.1 - STARTS_AT)),
            seed,
        },
        rule: Rule::Lag(LagRule::new(1000, 1, 16)),
        fixed: 16,
    }
}

fn report(seed: u64) -> Plan {
    let hourly = [
        300, 240, 200, 180, 180, 200, 280, 420, 620, 760, 800, 820, 860, 840, 800, 780, 760, 800, 860, 940,
        960, 800, 600, 420,
    ];
    Plan {
        name: "report",
        policy: REPORT,
        setup: Setup {
            partitions: 60,
            load: Load::new(hourly, Vec::new(), 35, seed),
            capacity_milli: vec![140_000],
            runtime: Runtime::SparkQuery,
            replicas: 4,
            starts_at: STARTS_AT,
            deploy_at: None,
            outage: Some((OUTAGE.0 - STARTS_AT, OUTAGE.1 - STARTS_AT)),
            seed,
        },
        rule: Rule::Allocation(Allocation::new(1, 20)),
        fixed: 12,
    }
}

/// Everything that happens on the day, in order.
pub fn events() -> Vec<Event> {
    let event = |at: i64, tone: Tone, text: String| Event { second: at - STARTS_AT, tone, text };
    vec![
        event(
            DEPLOY_AT,
            Tone::Trouble,
            "deploy: a new version of orders rolls out, 15 % slower per replica; nobody is told".into(),
        ),
        event(SALE.from, Tone::Trouble, format!("flash sale: {} more orders a second", SALE.height)),
        event(SALE.until, Tone::Relief, "flash sale is over".into()),
        event(
            OUTAGE.0,
            Tone::Trouble,
            format!("broker {BROKEN} is down: one partition in {BROKERS} has no leader, its lag is unknown"),
        ),
        event(OUTAGE.1, Tone::Relief, format!("broker {BROKEN} is back")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Objective;

    #[test]
    fn the_policies_are_such_as_people_write() {
        let interval = TimeSpan::from_secs(15);
        let read: Vec<Policy> = plans(1).iter().map(|plan| plan.read_policy(interval).unwrap()).collect();
        assert_eq!(read[0].id.to_string(), "shop/orders");
        assert_eq!(read[1].rules.min_replicas.0, 0);
        assert!(matches!(read[0].rules.objective, Objective::MaxLag { .. }));
    }

    #[test]
    fn the_fixed_size_carries_the_day() {
        for plan in plans(1) {
            let peak = (0..86_400).map(|second| plan.setup.load.calm_milli(second)).max().unwrap();
            let slowest = *plan.setup.capacity_milli.iter().min().unwrap();
            assert!(peak <= i64::from(plan.fixed) * slowest, "{}: {peak}", plan.name);
        }
    }

    #[test]
    fn events_come_in_order() {
        assert!(events().is_sorted_by_key(|event| event.second));
    }
}
