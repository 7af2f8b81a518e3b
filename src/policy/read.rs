//! Text to checked policies and settings, with every error of every document at once.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::document::PolicyDocument;
use super::form::{self, Form};
use super::hints::{nearest, one_of};
use super::problem::{Fault, Flaw, Problem};
use super::settings::Settings;
use super::tree::{Excerpt, Node};
use super::units::TimeSpan;
use super::{Policy, WorkloadId, check, shape};

const SETTINGS: &str = "Settings";
const POLICY: &str = "ScalingPolicy";

/// More than anybody reads: a document may be hostile.
const MOST_PROBLEMS: usize = 100;

/// What became of one policy document.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// Whose policy, where the document gets far enough to tell.
    pub id: Option<WorkloadId>,
    /// The document's first line in its file, from 1.
    pub line: usize,
    /// The policy, or all that is wrong with it.
    pub result: Result<Policy, Vec<Problem>>,
    /// The text, to point at in what is found later.
    document: Arc<Document>,
}

impl Parsed {
    /// A file that could not be read: whatever policies it held keep their last good version.
    pub fn unreadable(file: &str, problem: &str) -> Self {
        let document = Arc::new(Document::unreadable(file));
        let problems = vec![Problem::whole(file, problem)];
        Self { id: None, line: 1, result: Err(problems), document }
    }

    /// A problem at a dotted path such as `spec.sources[0].kafkaLag.cluster` of this document.
    pub(crate) fn problem_at(&self, flaw: &Flaw) -> Problem {
        self.document.problem_at(flaw)
    }
}

/// Reads all policies of a text. `file` is what problems call it, `home` the namespace of the ConfigMap
/// that it is from, `interval` the settings'.
pub fn read_policies(file: &str, text: &str, home: Option<&str>, interval: TimeSpan) -> Vec<Parsed> {
    documents(file, text).into_iter().map(|document| document.into_policy(home, interval)).collect()
}

/// Reads the settings: one document.
pub fn read_settings(file: &str, text: &str) -> Result<Settings, Vec<Problem>> {
    let mut documents = documents(file, text).into_iter();
    let Some(first) = documents.next() else {
        return Err(vec![Problem::whole(file, "no document in this file: expected one of kind Settings")]);
    };
    let extra = documents.map(|other| other.whole("a second document: settings are one"));
    match (first.settings(), extra.collect::<Vec<_>>()) {
        (Ok(settings), extra) if extra.is_empty() => Ok(settings),
        (Ok(_), extra) => Err(extra),
        (Err(mut problems), extra) => {
            problems.extend(extra);
            Err(problems)
        }
    }
}

/// One document of a file, parsed but not yet understood.
#[derive(Debug, Clone)]
pub struct Document {
    excerpt: Excerpt,
    root: Result<Node, Box<Problem>>,
}

/// The documents of a text, without the empty ones.
pub fn documents(file: &str, text: &str) -> Vec<Document> {
    let excerpts = Excerpt::split(file, text).into_iter();
    excerpts.map(|excerpt| Document { root: excerpt.parse(), excerpt }).collect()
}

impl Document {
    fn unreadable(file: &str) -> Self {
        let excerpt = Excerpt::begin(file, 1);
        Self { root: excerpt.parse(), excerpt }
    }

    /// Whether the document says that it is settings.
    pub fn is_settings(&self) -> bool {
        self.root.as_ref().is_ok_and(|root| root.text(&["kind"]) == Some(SETTINGS))
    }

    /// The settings, or all that is wrong with them.
    pub fn settings(&self) -> Result<Settings, Vec<Problem>> {
        self.understand(&form::SETTINGS, |settings: Settings| match check::settings(&settings) {
            flaws if flaws.is_empty() => Ok(settings),
            flaws => Err(flaws),
        })
    }

    /// The policy, or all that is wrong with it.
    pub fn into_policy(self, home: Option<&str>, interval: TimeSpan) -> Parsed {
        let result = self
            .understand(&form::POLICY, |document: PolicyDocument| check::policy(document, home, interval));
        Parsed { id: self.id(home), line: self.excerpt.line, result, document: Arc::new(self) }
    }

    /// Whose policy. One from a ConfigMap belongs to the ConfigMap's namespace, whatever it claims.
    fn id(&self, home: Option<&str>) -> Option<WorkloadId> {
        let root = self.root.as_ref().ok()?;
        let namespace = home.or_else(|| root.text(&["metadata", "namespace"]))?.to_owned();
        Some(WorkloadId { namespace, name: root.text(&["metadata", "name"])?.to_owned() })
    }

    /// Shape first, meaning second. What is wrong with the shape is mended as far as possible, so that
    /// faults of meaning come to light in the same go.
    fn understand<T: DeserializeOwned, U>(
        &self,
        form: &Form,
        check: impl FnOnce(T) -> Result<U, Vec<Flaw>>,
    ) -> Result<U, Vec<Problem>> {
        let written = self.root.as_ref().map_err(|problem| vec![Problem::clone(problem)])?;
        if let Some(stranger) = stranger(written) {
            return Err(vec![self.excerpt.problem(&stranger)]);
        }
        let mut mended = written.clone();
        let mut faults = shape::check(form, &mut mended);
        let more = faults.len().saturating_sub(MOST_PROBLEMS);
        faults.truncate(MOST_PROBLEMS);
        match serde_json::from_value::<T>(mended.to_json()).map(check) {
            Ok(Ok(value)) if faults.is_empty() => return Ok(value),
            Ok(Err(flaws)) => {
                // What only follows from a fault of the shape is not worth a second message.
                let follows = |flaw: &&Flaw| {
                    let mark = mended.locate(&flaw.path).1;
                    let nodes = [written, &mended].map(|root| root.locate(&flaw.path).0);
                    let within = |fault: &Fault| nodes.iter().flatten().any(|node| node.holds(fault.mark));
                    faults.iter().any(|fault| fault.mark == mark || within(fault))
                };
                let own: Vec<&Flaw> = flaws.iter().filter(|flaw| !follows(flaw)).collect();
                faults.extend(own.into_iter().map(|flaw| fault_at(&mended, flaw)));
            }
            Err(error) if faults.is_empty() => faults.push(Fault::new(mended.mark, error.to_string())),
            Ok(Ok(_)) | Err(_) => {}
        }
        faults.sort_by_key(|fault| fault.mark);
        let last = (more > 0).then(|| Fault::new(mended.mark, format!("{more} more problems are not shown")));
        Err(faults.iter().chain(&last).map(|fault| self.excerpt.problem(fault)).collect())
    }

    fn problem_at(&self, flaw: &Flaw) -> Problem {
        match &self.root {
            Ok(root) => self.excerpt.problem(&fault_at(root, flaw)),
            Err(problem) => Problem::clone(problem),
        }
    }

    fn whole(&self, message: &str) -> Problem {
        self.problem_at(&Flaw::new("", message))
    }
}

fn fault_at(root: &Node, flaw: &Flaw) -> Fault {
    let Flaw { path, message, expected, hint } = flaw.clone();
    Fault { mark: root.locate(&path).1, message, expected, hint }
}

/// A document of somebody else's kind gets one answer, not one for each of its fields.
fn stranger(root: &Node) -> Option<Fault> {
    let kind = root.text(&["kind"])?;
    if nearest(kind, [SETTINGS, POLICY]).is_some() {
        return None;
    }
    let fault = Fault::new(root.locate("kind").1, format!("a {kind} is not for Tidegate to read"));
    let hint = match kind {
        "ScaledObject" | "HorizontalPodAutoscaler" => "a policy may have it as its target",
        "ConfigMap" => "check the documents that it holds, not their wrapping",
        _ => "keep other manifests out of this place",
    };
    Some(fault.expected(one_of(&[SETTINGS, POLICY])).hint(Some(hint.to_owned())))
}
