//! Sources against servers that behave as told.

mod kafka;
mod prometheus;
mod spark;
mod tls;

use tidegate::policy::settings::Settings;

/// Settings with these connections and limits.
fn settings(connections: &serde_json::Value, limits: &serde_json::Value) -> Settings {
    serde_json::from_value(serde_json::json!({
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "Settings",
        "connections": connections,
        "limits": limits,
    }))
    .unwrap()
}
