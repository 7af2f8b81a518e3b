//! KEDA's objects as policies, and what is said of the rest.

mod keda;
mod random;

use tidegate::cli::import::{Choices, Report, import};
use tidegate::cli::validate::Input;
use tidegate::policy::read::{read_policies, read_settings};
use tidegate::policy::settings::Settings;
use tidegate::policy::{Mode, Policy, TimeSpan};

/// The policies of a report, all of which must be sound and only recommend.
fn policies(report: &Report) -> Vec<Policy> {
    let parsed = read_policies("-", &report.documents, None, TimeSpan::from_secs(15));
    let policies: Vec<Policy> = parsed.into_iter().map(|one| one.result.unwrap()).collect();
    assert!(policies.iter().all(|policy| policy.mode == Mode::Recommend));
    policies
}

/// The settings that the comments propose, which must be sound too.
fn settings(report: &Report) -> Settings {
    let proposed: Vec<&str> = report
        .documents
        .lines()
        .skip_while(|line| *line != "#   connections:")
        .map_while(|line| line.strip_prefix("#   "))
        .collect();
    let text = format!("apiVersion: tidegate.dev/v1alpha1\nkind: Settings\n{}\n", proposed.join("\n"));
    read_settings("settings", &text).unwrap()
}

fn of_text(text: &str, choices: &Choices) -> Report {
    import(&[Input { file: "keda.yaml".to_owned(), text: text.to_owned() }], choices).unwrap()
}
