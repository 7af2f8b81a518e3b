//! A KEDA ScaledObject (keda.sh/v1alpha1), typed as far as we know it. What we do not know is kept by name,
//! to be told.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

use crate::policy::behavior::{SelectPolicy, StepPolicy};

/// Fields that are not known here.
pub(super) type Others = BTreeMap<String, serde_json::Value>;

/// The object.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ScaledObject {
    pub(super) metadata: Metadata,
    pub(super) spec: Spec,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) annotations: Option<BTreeMap<String, Scalar>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    pub(super) scale_target_ref: ScaleTarget,
    pub(super) polling_interval: Option<u32>,
    pub(super) cooldown_period: Option<u32>,
    pub(super) initial_cooldown_period: Option<u32>,
    pub(super) idle_replica_count: Option<u32>,
    pub(super) min_replica_count: Option<u32>,
    pub(super) max_replica_count: Option<u32>,
    pub(super) fallback: Option<Fallback>,
    pub(super) advanced: Option<Advanced>,
    pub(super) triggers: Vec<Trigger>,
    #[serde(flatten)]
    pub(super) others: Others,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ScaleTarget {
    pub(super) api_version: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) name: String,
    pub(super) env_source_container_name: Option<String>,
    #[serde(flatten)]
    pub(super) others: Others,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fallback {
    pub(super) failure_threshold: u32,
    pub(super) replicas: u32,
    pub(super) behavior: Option<String>,
    #[serde(flatten)]
    pub(super) others: Others,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Advanced {
    pub(super) horizontal_pod_autoscaler_config: Option<HpaConfig>,
    pub(super) restore_to_original_replica_count: Option<bool>,
    pub(super) scaling_modifiers: Option<Others>,
    #[serde(flatten)]
    pub(super) others: Others,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct HpaConfig {
    pub(super) name: Option<String>,
    pub(super) behavior: Option<HpaBehavior>,
    #[serde(flatten)]
    pub(super) others: Others,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HpaBehavior {
    pub(super) scale_up: Option<HpaRules>,
    pub(super) scale_down: Option<HpaRules>,
    #[serde(flatten)]
    pub(super) others: Others,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HpaRules {
    pub(super) stabilization_window_seconds: Option<u32>,
    pub(super) select_policy: Option<SelectPolicy>,
    pub(super) policies: Option<Vec<StepPolicy>>,
    /// A Kubernetes quantity.
    pub(super) tolerance: Option<Scalar>,
    #[serde(flatten)]
    pub(super) others: Others,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Trigger {
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// For formulas; and what a schedule is called.
    pub(super) name: Option<String>,
    /// The scaler's options.
    pub(super) metadata: Option<BTreeMap<String, Scalar>>,
    pub(super) metric_type: Option<String>,
    pub(super) use_cached_metrics: Option<bool>,
    pub(super) authentication_ref: Option<AuthenticationRef>,
    #[serde(flatten)]
    pub(super) others: Others,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct AuthenticationRef {
    pub(super) name: String,
    pub(super) kind: Option<String>,
}

impl fmt::Display for AuthenticationRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind.as_deref().unwrap_or("TriggerAuthentication"), self.name)
    }
}

/// A text that people also write as a bare number or truth value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scalar(pub(super) String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar(text.to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar(value.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar(String::new()))
    }
}
