//! Every way to log in, against real servers: with the wrong secret, with the right one, and with one that
//! was right a moment ago. The cause is named, no secret is, and nothing moves down.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::steady::{Steady, lag_source};
use crate::support::daemon::{Daemon, at};
use crate::support::kafka::{Kafka, WATCHER};
use crate::support::objects::{Home, Image, policy, with};
use crate::support::prometheus::{Prometheus, READER};
use crate::support::replicas::ReplicaLog;
use crate::support::tls::{Authority, CLIENT};
use crate::support::waiting::eventually;
use crate::support::world::Case;

const PARTITIONS: i32 = 6;
/// A secret that opens nothing.
const MISTAKEN: &str = "mistaken-secret";

/// A connection with a workload of its own, and what is said while it does not get in.
const WAYS: [(&str, &str); 4] = [
    ("plain", "authentication failed as user watcher (PLAIN): check usernameFile and passwordFile"),
    ("sha-256", "authentication failed as user watcher (SCRAM-SHA-256): check usernameFile and passwordFile"),
    ("sha-512", "authentication failed as user watcher (SCRAM-SHA-512): check usernameFile and passwordFile"),
    ("certificate", "check tls.certificateFile and tls.keyFile"),
];

/// PLAIN, SCRAM and client certificates over TLS.
pub(super) async fn every_way_into_kafka(case: Case) -> Result<()> {
    let (kafka, home) = (case.kafka().await?, case.home().await?);
    let (topic, group) = (case.name, case.name);
    let admin = kafka.admin()?;
    admin.create(topic, PARTITIONS).await?;
    admin.commit_ends(group, topic, PARTITIONS).await?;
    admin.produce(topic, 0, 3).await?;
    let principals = [format!("User:{}", WATCHER.0), format!("User:CN={}", WATCHER.0)];
    kafka.may_describe(&principals.each_ref().map(String::as_str), topic, group).await?;
    let reader = Image::consumer(&kafka.bootstrap(), group, &[topic], 50).without_commits();
    home.deploy("reader", &reader, 1).await?;
    let mut logs = Vec::new();
    for (way, _) in WAYS {
        home.deploy(way, &Image::Pause, 2).await?;
        logs.push(ReplicaLog::follow(&home, way).await?);
    }
    let keys = Keys::new(&case, kafka).await?;
    keys.wrong()?;
    let mut setup = case.setup().await?;
    setup.connections = keys.connections(kafka);
    let daemon = Daemon::start(setup).await?;
    for (way, _) in WAYS {
        let spec = json!({
            "mode": "Apply",
            "target": {"scaleTargetRef": {"kind": "Deployment", "name": way}},
            "sources": [{"kafkaLag": {"cluster": way, "group": group, "topics": [topic]}}],
            "objective": {"lagPerReplica": 1}, "minReplicas": 1, "maxReplicas": PARTITIONS,
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
            "budget": {"changesPerHour": 100},
        });
        daemon.policies(&format!("{way}.yaml"), &policy(Some(case.name), way, &spec))?;
    }

    let case = &case;
    shut_out(case, &daemon, true).await?;
    ensure!(sizes(&home).await? == [2; 4], "moved blindly: {:?}", sizes(&home).await?);
    keys.right()?;
    let_in(&home, 3).await?;
    // Revoked while in use.
    keys.wrong()?;
    shut_out(case, &daemon, false).await?;
    for (way, _) in WAYS {
        daemon.turns_pass(case.name, way, 3).await?;
    }
    ensure!(sizes(&home).await? == [3; 4], "moved blindly: {:?}", sizes(&home).await?);
    keys.right()?;
    admin.produce(topic, 1, 1).await?;
    let_in(&home, 4).await?;
    for log in &logs {
        log.never_lowered()?;
    }
    untold(case, &[WATCHER.1, MISTAKEN, "PRIVATE KEY"])?;
    ensure!(daemon.stop().await?.success());
    Ok(())
}

async fn sizes(home: &Home) -> Result<[i32; 4]> {
    let mut sizes = [0; 4];
    for (size, (way, _)) in sizes.iter_mut().zip(WAYS) {
        *size = home.replicas(way).await?;
    }
    Ok(sizes)
}

/// Waits until everybody has got in: the size is that of the backlog, which takes offsets and commits.
async fn let_in(home: &Home, size: i32) -> Result<()> {
    for (way, _) in WAYS {
        home.has(way, size).await?;
    }
    Ok(())
}

/// Waits until nobody gets in, and every connection says why.
async fn shut_out(case: &Case, daemon: &Daemon, tell: bool) -> Result<()> {
    for (way, cause) in WAYS {
        daemon.says(case.name, way, "SignalMissing").await?;
        let problem = connection_says(daemon, way, cause).await?;
        ensure!(daemon.workload(case.name, way).await?.backlog.is_none(), "unknown became a number");
        if tell {
            case.figure(&problem);
        }
    }
    Ok(())
}

/// Waits for a problem of the connection `name` that names `cause`.
async fn connection_says(daemon: &Daemon, name: &str, cause: &str) -> Result<String> {
    eventually(&format!("the problem of {name} names {cause}"), || async {
        let status = daemon.json("/api/v1/connections").await?;
        let mut all = at(&status, "/connections").as_array().into_iter().flatten();
        let one = all.find(|one| at(one, "/name") == name).context("no such connection")?;
        let problem = at(one, "/problem").as_str().unwrap_or_default().to_owned();
        ensure!(problem.contains(cause), "it says: {one}");
        Ok(Some(problem))
    })
    .await
}

/// The files that hold the secrets.
struct Keys {
    dir: PathBuf,
    ours: Authority,
    strangers: Authority,
}

impl Keys {
    async fn new(case: &Case, kafka: &Kafka) -> Result<Self> {
        let strangers = Authority::create(case.path("strangers")).await?;
        for authority in [kafka.authority(), &strangers] {
            authority.sign(WATCHER.0, CLIENT).await?;
        }
        fs::write(case.path("username"), WATCHER.0)?;
        Ok(Self { dir: case.dir.clone(), ours: kafka.authority().clone(), strangers })
    }

    fn wrong(&self) -> Result<()> {
        self.put(&self.strangers, MISTAKEN)
    }

    fn right(&self) -> Result<()> {
        self.put(&self.ours, WATCHER.1)
    }

    fn put(&self, signer: &Authority, password: &str) -> Result<()> {
        fs::write(self.dir.join("password"), password)?;
        for end in ["pem", "key"] {
            fs::copy(signer.path(&format!("{}.{end}", WATCHER.0)), self.dir.join(format!("client.{end}")))?;
        }
        Ok(())
    }

    fn connections(&self, kafka: &Kafka) -> Value {
        let file = |name: &str| self.dir.join(name);
        let sasl = |mechanism: &str| {
            json!({
                "bootstrapServers": [kafka.secure_bootstrap()], "tls": {"caFile": kafka.ca()},
                "sasl": {
                    "mechanism": mechanism,
                    "usernameFile": file("username"), "passwordFile": file("password"),
                },
            })
        };
        let certificate = json!({
            "bootstrapServers": [kafka.mutual_bootstrap()],
            "tls": {
                "caFile": kafka.ca(),
                "certificateFile": file("client.pem"), "keyFile": file("client.key"),
            },
        });
        json!({"kafka": {
            "plain": sasl("PLAIN"), "sha-256": sasl("SCRAM-SHA-256"), "sha-512": sasl("SCRAM-SHA-512"),
            "certificate": certificate,
        }})
    }
}

/// Neither the daemon's log nor its journal holds any of these.
fn untold(case: &Case, secrets: &[&str]) -> Result<()> {
    for file in ["tidegate.log", "tidegate.out", "journal.jsonl"] {
        let text = fs::read_to_string(case.path("daemon").join(file)).with_context(|| file.to_owned())?;
        for secret in secrets {
            ensure!(!text.contains(secret), "{file} tells {secret}");
        }
    }
    Ok(())
}

/// TLS with an authority of our own, user and password.
pub(super) async fn into_prometheus_over_tls(case: Case) -> Result<()> {
    let rules = "groups:\n- {name: demand, rules: [{record: demand, expr: 'vector(2)'}]}\n";
    let authority = Authority::create(case.path("tls")).await?;
    let stranger = Authority::create(case.path("stranger")).await?;
    let dir = case.path("prometheus");
    let prometheus = Prometheus::start_secured(case.tools(), &dir, rules, &authority).await?;
    let trust = |authority: &Authority| fs::copy(authority.certificate(), case.path("ca.pem"));
    fs::write(case.path("username"), READER.0)?;
    fs::write(case.path("password"), READER.1)?;
    trust(&authority)?;
    let connection = json!({
        "url": prometheus.url(), "caFile": case.path("ca.pem"),
        "basicAuth": {"usernameFile": case.path("username"), "passwordFile": case.path("password")},
    });
    let mut setup = case.setup().await?;
    setup.connections = with(&setup.connections, &json!({"prometheus": {"metrics": connection}}));
    let over = json!({"sources": [
        lag_source(case.name),
        {"prometheus": {"server": "metrics", "query": "demand", "means": "demand"}},
    ]});
    let steady = Steady::start_with(&case, case.kafka().await?, case.home().await?, setup, &over).await?;

    fs::write(case.path("password"), MISTAKEN)?;
    steady.says("SignalMissing").await?;
    let refused = "HTTP 401: check bearerTokenFile or basicAuth";
    case.figure(&connection_says(&steady.daemon, "metrics", refused).await?);
    steady.turns_pass(3).await?;
    fs::write(case.path("password"), READER.1)?;
    steady.says("AtNeed").await?;

    // A server that cannot show that it is the one.
    trust(&stranger)?;
    steady.says("SignalMissing").await?;
    case.figure(&connection_says(&steady.daemon, "metrics", "check caFile").await?);
    steady.turns_pass(3).await?;
    trust(&authority)?;
    steady.says("AtNeed").await?;
    steady.rises_by_one().await?;
    untold(&case, &[READER.1, MISTAKEN])?;
    steady.end(&case).await
}
