//! Policies that change while the daemon runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use tidegate::daemon::reload::configmaps::{PolicyMap, Scopes, scopes};
use tidegate::daemon::reload::{self, Known};
use tidegate::policy::read::read_settings;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::support::START;

/// A directory of policies and a watched namespace, kept as the daemon keeps them.
struct Desk {
    directory: TempDir,
    scopes: watch::Sender<Scopes>,
    known: watch::Receiver<Option<Known>>,
}

impl Desk {
    fn open(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let text = format!(
            "apiVersion: tidegate.dev/v1alpha1\nkind: Settings\nwatchNamespaces: [shop]\npolicyPaths: [{}]\n\
             connections:\n  kafka:\n    main: {{bootstrapServers: ['kafka:9092']}}\n",
            directory.path().display()
        );
        let settings = read_settings("settings.yaml", &text).unwrap();
        let (scopes, seen) = watch::channel(scopes(&settings.watch_namespaces));
        let (sender, known) = watch::channel(None);
        tokio::spawn(reload::keep(Arc::new(settings), seen, sender, CancellationToken::new()));
        Self { directory, scopes, known }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces what the watched namespace holds.
    fn maps(&self, maps: &[(&str, &str)]) {
        self.scopes.send_modify(|scopes| {
            let scope = scopes.get_mut("shop").unwrap();
            scope.listed = true;
            let read = |(name, text): &(&str, &str)| {
                let data = [("p.yaml".to_owned(), (*text).to_owned())].into();
                let map = PolicyMap { created: START.parse().unwrap(), data };
                (("shop".to_owned(), (*name).to_owned()), map)
            };
            scope.maps = maps.iter().map(read).collect();
        });
    }

    /// What is known next.
    async fn next(&mut self) -> Known {
        self.known.changed().await.unwrap();
        self.known.borrow_and_update().clone().unwrap()
    }
}

pub(super) fn policy(name: &str, max: &str) -> String {
    format!(
        "apiVersion: tidegate.dev/v1alpha1\nkind: ScalingPolicy\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec:\n  target: {{scaleTargetRef: {{kind: Deployment, name: {name}}}}}\n  \
         sources: [{{kafkaLag: {{cluster: main, group: {name}}}}}]\n  \
         objective: {{maxLag: 60s}}\n  maxReplicas: {max}\n"
    )
}

/// The policies in force, by name and most replicas, with a star where it is the last good version.
fn in_force(known: &Known) -> Vec<String> {
    let words = known.admission.policies.iter().map(|admitted| {
        let star = if admitted.stale { "*" } else { "" };
        format!("{} {}{star}", admitted.policy.id.name, admitted.policy.rules.max_replicas)
    });
    words.collect()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_known_before_every_namespace_was_asked() {
    let mut desk = Desk::open(&[("a.yaml", &policy("orders", "5"))]);
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    assert!(desk.known.borrow().is_none());
    desk.maps(&[("team", &policy("invoices", "7"))]);
    let known = desk.next().await;
    assert_eq!(in_force(&known), ["invoices 7", "orders 5"]);
    assert!(known.complete);
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_namespace_holds_nobody_up_and_is_named() {
    let mut desk = Desk::open(&[("a.yaml", &policy("orders", "5"))]);
    desk.scopes.send_modify(|scopes| scopes.get_mut("shop").unwrap().problem = Some("refused".into()));
    let known = desk.next().await;
    assert_eq!(in_force(&known), ["orders 5"]);
    assert!(!known.complete);
    assert_eq!(known.problems, ["ConfigMaps with policies in shop: refused"]);
}

#[tokio::test(start_paused = true)]
async fn edits_are_followed_and_a_bad_one_keeps_the_last_good_version() {
    let mut desk = Desk::open(&[("a.yaml", &policy("orders", "5"))]);
    desk.maps(&[("team", &policy("invoices", "7"))]);
    assert_eq!(in_force(&desk.next().await), ["invoices 7", "orders 5"]);

    fs::write(desk.file("a.yaml"), policy("orders", "6")).unwrap();
    assert_eq!(in_force(&desk.next().await), ["invoices 7", "orders 6"]);

    fs::write(desk.file("a.yaml"), policy("orders", "many")).unwrap();
    let known = desk.next().await;
    assert_eq!(in_force(&known), ["invoices 7", "orders 6*"]);
    assert_eq!(known.admission.rejections.len(), 1);

    desk.maps(&[("team", &policy("invoices", "8"))]);
    assert_eq!(in_force(&desk.next().await), ["invoices 8", "orders 6*"], "the others go on");

    fs::remove_file(desk.file("a.yaml")).unwrap();
    let known = desk.next().await;
    assert_eq!(in_force(&known), ["invoices 8"]);
    assert!(known.admission.rejections.is_empty());
}

#[tokio::test(start_paused = true)]
async fn whose_policies_are_refused_is_told_where_it_can_be() {
    let mut desk = Desk::open(&[("a.yaml", &policy("orders", "many"))]);
    desk.maps(&[]);
    let refused = desk.next().await.refused().unwrap();
    assert_eq!(refused.iter().map(ToString::to_string).collect::<Vec<_>>(), ["shop/orders"]);

    fs::write(desk.file("b.yaml"), "kind: [").unwrap();
    assert_eq!(desk.next().await.refused(), None, "it may be anybody's");

    fs::remove_file(desk.file("b.yaml")).unwrap();
    fs::write(desk.file("a.yaml"), policy("orders", "5")).unwrap();
    assert_eq!(desk.next().await.refused(), Some(BTreeSet::new()));
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_api_server_keeps_what_was_known() {
    let mut desk = Desk::open(&[]);
    desk.maps(&[("team", &policy("invoices", "7"))]);
    desk.next().await;
    desk.scopes.send_modify(|scopes| scopes.get_mut("shop").unwrap().problem = Some("refused".into()));
    let known = desk.next().await;
    assert_eq!(in_force(&known), ["invoices 7"]);
    assert!(known.complete, "what is not here still does not exist");
}
