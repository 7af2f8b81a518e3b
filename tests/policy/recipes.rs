//! What people copy: `config/` is valid, complete, and in step with the code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tidegate::cli::schema::{self, Document};
use tidegate::cli::validate::{Input, Report, check, write_text};
use tidegate::policy::read::{read_policies, read_settings};

use super::INTERVAL;

fn config() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

fn input(path: &Path) -> Input {
    let file = path.strip_prefix(config()).unwrap().display().to_string();
    Input { file, text: std::fs::read_to_string(path).unwrap() }
}

fn recipes() -> Vec<Input> {
    let entries = config().join("policies").read_dir().unwrap().map(|entry| entry.unwrap().path());
    let files: BTreeSet<PathBuf> = entries.collect();
    assert!(files.len() >= 10);
    files.iter().map(|path| input(path)).collect()
}

fn settings() -> Input {
    input(&config().join("settings.yaml"))
}

fn shown(report: &Report) -> String {
    let mut out = Vec::new();
    write_text(report, false, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn every_recipe_is_admitted_beside_the_others() {
    let report = check(&recipes(), Some(&settings()), None);
    assert_eq!((report.exit_code(), report.problems.as_slice()), (0, [].as_slice()), "{}", shown(&report));
    assert_eq!(report.policies, recipes().len());
}

#[test]
fn the_settings_file_states_every_option() {
    let settings = settings();
    let read = read_settings(&settings.file, &settings.text).unwrap();
    let kafka = read.connections.kafka.values();
    assert!(kafka.clone().any(|each| each.sasl.is_some()) && kafka.clone().any(|each| each.tls.is_some()));
    for schema in [tidegate::policy::schema::settings()] {
        let roots = [schema].into_iter().chain(schema["$defs"].as_object().unwrap().values());
        for option in roots.filter_map(|each| each["properties"].as_object()).flatten().map(|(name, _)| name)
        {
            assert!(settings.text.contains(&format!("{option}:")), "config/settings.yaml lacks `{option}`");
        }
    }
}

#[test]
fn a_recipe_keeps_its_meaning_through_json() {
    for Input { file, text } in recipes() {
        let document: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        let one = read_policies(&file, &text, None, INTERVAL).remove(0).result.unwrap();
        let other = read_policies(&file, &document.to_string(), None, INTERVAL).remove(0).result.unwrap();
        assert_eq!(one, other);
    }
}

#[test]
fn the_schema_files_are_what_the_code_says() {
    let all = [("settings", Document::Settings), ("policy", Document::Policy), ("plant", Document::Plant)];
    for (name, document) in all {
        let path = config().join(format!("schema/{name}.json"));
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        let cure = format!("regenerate: cargo run -- schema {name} > config/schema/{name}.json");
        assert!(stored == schema::text(document), "config/schema/{name}.json is out of date; {cure}");
    }
}

#[test]
fn with_settings_connections_and_targets_are_checked_too() {
    let good = recipes().into_iter().find(|recipe| recipe.file.ends_with("deployment-max-lag.yaml")).unwrap();
    let twin = Input {
        file: "twin.yaml".to_owned(),
        text: good.text.replace("name: orders, namespace", "name: twin, namespace"),
    };
    let stray = Input {
        file: "stray.yaml".to_owned(),
        text: good.text.replace("name: orders", "name: stray").replace("cluster: main", "cluster: mian"),
    };
    let inputs = [good, twin, stray];
    assert_eq!(check(&inputs, None, None).exit_code(), 0);
    let report = check(&inputs, Some(&settings()), None);
    assert_eq!(report.exit_code(), 1);
    insta::assert_snapshot!(shown(&report));
}

#[test]
fn nothing_to_check_is_a_problem() {
    let empty = Input { file: "-".to_owned(), text: "# rendered nothing\n".to_owned() };
    let report = check(&[empty], None, None);
    assert_eq!((report.exit_code(), report.problems[0].message.as_str()), (1, "no document found"));
}

#[test]
fn a_policy_for_a_config_map_may_leave_its_namespace_out() {
    let mut recipe = recipes().remove(0);
    recipe.text = recipe.text.replace(", namespace: shop", "");
    assert_eq!(check(std::slice::from_ref(&recipe), None, None).exit_code(), 1);
    assert_eq!(check(&[recipe], None, Some("shop")).exit_code(), 0);
}
