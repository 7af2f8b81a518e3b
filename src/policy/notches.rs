//! What self-tuning may turn on a preset, and how far it has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether the constants of the preset that a policy does not state are tuned on the workload's own history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, strum::Display)]
pub enum SelfTuning {
    /// One notch a day at the most, where both halves of the history say that it would have been cheaper and late
    /// no more often.
    Auto,
    /// The preset as it is.
    #[default]
    Off,
}

impl SelfTuning {
    /// The preset as it is.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    pub(crate) fn is_off(&self) -> bool {
        *self == Self::Off
    }
}

/// A constant of the preset that may be turned.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumIter,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum Knob {
    /// The share of `maxLag` that the oldest record may be expected to use up.
    UsableLag,
    /// The share of a replica's capacity that sizes are chosen for.
    TargetUtilization,
    /// How often a move down must be expected to pay for itself.
    Payback,
    /// Seconds that replicas beyond what keeps up are thought to stay.
    Stays,
    /// The share of times that the load may outrun the rate that a size is chosen for.
    Miss,
    /// Seconds that a rise is believed to go on for.
    Trend,
}

/// How many notches each constant is turned away from the preset's; 0 is the preset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Notches {
    #[serde(skip_serializing_if = "is_zero")]
    usable_lag: i8,
    #[serde(skip_serializing_if = "is_zero")]
    target_utilization: i8,
    #[serde(skip_serializing_if = "is_zero")]
    payback: i8,
    #[serde(skip_serializing_if = "is_zero")]
    stays: i8,
    #[serde(skip_serializing_if = "is_zero")]
    miss: i8,
    #[serde(skip_serializing_if = "is_zero")]
    trend: i8,
}

impl Notches {
    /// Nothing is turned.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The notches of one constant.
    pub fn get(&self, knob: Knob) -> i8 {
        match knob {
            Knob::UsableLag => self.usable_lag,
            Knob::TargetUtilization => self.target_utilization,
            Knob::Payback => self.payback,
            Knob::Stays => self.stays,
            Knob::Miss => self.miss,
            Knob::Trend => self.trend,
        }
    }

    /// The same with one constant so many notches from the preset.
    #[must_use]
    pub fn with(mut self, knob: Knob, notches: i8) -> Self {
        *match knob {
            Knob::UsableLag => &mut self.usable_lag,
            Knob::TargetUtilization => &mut self.target_utilization,
            Knob::Payback => &mut self.payback,
            Knob::Stays => &mut self.stays,
            Knob::Miss => &mut self.miss,
            Knob::Trend => &mut self.trend,
        } = notches;
        self
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(notches: &i8) -> bool {
    *notches == 0
}
