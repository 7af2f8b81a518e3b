//! What somebody may have meant by a name that is not one of ours.

/// The nearest of some names, if it is near enough to be a slip, or the only one that holds the word or
/// is held by it.
pub(crate) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    let wanted = plain(word);
    if wanted.len() > 64 {
        return None;
    }
    let room = (wanted.chars().count() / 3).max(1);
    let names: Vec<&str> = names.into_iter().collect();
    let slip = names
        .iter()
        .copied()
        .map(|name| (strsim::damerau_levenshtein(&wanted, &plain(name)), name))
        .filter(|(distance, name)| *distance <= room && *distance < name.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name);
    let holds = |long: &str, short: &str| short.len() >= 4 && long.contains(short);
    let mut holders = names.into_iter().filter(|name| {
        let name = plain(name);
        holds(&name, &wanted) || holds(&wanted, &name)
    });
    slip.or_else(|| holders.next().filter(|_| holders.next().is_none()))
}

/// ``did you mean `NAME`?``
pub(crate) fn did_you_mean(word: &str, names: &[&str]) -> Option<String> {
    nearest(word, names.iter().copied()).map(|name| format!("did you mean `{name}`?"))
}

/// The names in a row: `` `a`, `b` or `c` ``.
pub(crate) fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => "nothing".to_owned(),
    }
}

/// The cure for a field of a policy that other autoscalers have under this name, or in this place, and
/// we elsewhere.
pub(crate) fn familiar(holder: &str, field: &str) -> Option<&'static str> {
    // In the settings, the connections' own fields are right or merely misspelt.
    let in_policy = POLICY_MAPPINGS.contains(&holder);
    FAMILIAR.iter().find(|(name, _)| in_policy && *name == field).map(|(_, cure)| *cure)
}

const POLICY_MAPPINGS: &[&str] = &[
    "spec",
    "metadata",
    "target",
    "sources",
    "kafkaLag",
    "spark",
    "objective",
    "fallback",
    "scaleTargetRef",
    "flinkCluster",
    "taskManagers",
    "schedules",
    "flinkDeployment",
    "flinkSessionJob",
];

/// Names of KEDA and HPA, and where their meaning lives here.
const FAMILIAR: &[(&str, &str)] = &[
    ("minReplicaCount", "here it is `spec.minReplicas`"),
    ("maxReplicaCount", "here it is `spec.maxReplicas`"),
    ("idleReplicaCount", "write `minReplicas: 0`: an idle workload then rests at 0"),
    ("cooldownPeriod", "here it is `spec.cooldown`, with a unit"),
    ("pollingInterval", "every policy is evaluated at the settings' `interval`"),
    ("triggers", "here they are `spec.sources`"),
    ("metrics", "here they are `spec.sources`"),
    ("advanced", "here damping is `spec.behavior`"),
    ("lagThreshold", "here it is `spec.objective.lagPerReplica`"),
    ("activationLagThreshold", "here it is `spec.activation.lag`"),
    ("bootstrapServers", "servers stand in the settings: name one of `connections.kafka` in `cluster`"),
    ("serverAddress", "servers stand in the settings: name one of `connections.prometheus` in `server`"),
    ("consumerGroup", "here it is `group`"),
    ("topic", "here it is `topics`, a list: `topics: [orders]`"),
    ("authenticationRef", "credentials stand in the settings, as files of the connection"),
    ("sasl", "credentials stand in the settings, as files of the connection"),
    ("tls", "TLS stands in the settings, at the connection"),
    ("allowIdleConsumers", "write `spec.partitions: allowIdleConsumers`"),
    ("limitToPartitionsWithLag", "write `spec.partitions: limitToPartitionsWithLag`"),
    ("ensureEvenDistributionOfPartitions", "write `spec.partitions: evenDistribution`"),
    ("failureThreshold", "here it is a time: `spec.fallback.afterSeconds`"),
    ("scaleTargetRef", "it goes under `target`: `target: {scaleTargetRef: {kind: Deployment, name: ...}}`"),
    ("namespace", "the target is in the policy's own namespace, `metadata.namespace`"),
    ("dryRun", "write `mode: Recommend`"),
    ("parallelism", "a Flink job's parallelism is its replicas: `spec.minReplicas` and `spec.maxReplicas`"),
    ("jobId", "a job is named by its name, which it keeps: `job`"),
    ("targetUtilization", "here it is `spec.knobs.targetUtilization`, in percent"),
    ("rescaleCost", "here it is `spec.knobs.rescaleCost`"),
    ("suspend", "write `paused: true`"),
    ("cron", "here it is `start`, with `end` or `duration`"),
    ("schedule", "here it is `start`, with `end` or `duration`"),
    ("desiredReplicas", "here it is `minReplicas`: a floor, and the load may ask for more"),
    ("durationSeconds", "here it is `duration`, with a unit"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_a_stranger_none() {
        let names = ["maxReplicas", "minReplicas", "mode"];
        assert_eq!(nearest("maxReplica", names), Some("maxReplicas"));
        assert_eq!(nearest("max_replicas", names), Some("maxReplicas"));
        assert_eq!(nearest("MODE", names), Some("mode"));
        assert_eq!(nearest("dome", names), None);
        assert_eq!(nearest("rate", ["arrivalRate", "backlog"]), Some("arrivalRate"));
        assert_eq!(nearest("repl", names), None, "two hold it");
        assert_eq!(nearest("x", names), None);
        assert_eq!(nearest("", names), None);
    }

    #[test]
    fn names_in_a_row() {
        assert_eq!(one_of(&["a"]), "`a`");
        assert_eq!(one_of(&["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(one_of(&[]), "nothing");
    }
}
