//! The documents' JSON Schemas: for editors, and for the reader's own first look at a document.

use std::sync::LazyLock;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value as Json;

use super::document::PolicyDocument;
use super::settings::Settings;

static POLICY: LazyLock<Json> = LazyLock::new(generate::<PolicyDocument>);
static SETTINGS: LazyLock<Json> = LazyLock::new(generate::<Settings>);

/// The JSON Schema of a policy document.
pub fn policy() -> &'static Json {
    &POLICY
}

/// The JSON Schema of a settings document.
pub fn settings() -> &'static Json {
    &SETTINGS
}

fn generate<T: JsonSchema>() -> Json {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}
