//! The Kubernetes objects of a text, or of a cluster, and where each of their options stands.

use serde_json::Value as Json;

use crate::policy::problem::Problem;
use crate::policy::tree::{Excerpt, Node, Value};

/// One object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) json: Json,
    /// Nothing for an object of a cluster.
    source: Option<Source>,
}

#[derive(Debug, Clone)]
struct Source {
    file: String,
    /// The document's first line in the file, from 1.
    first_line: usize,
    node: Node,
}

impl Object {
    /// As the API server gave it. Objects of a list come without their kind.
    pub(super) fn of_cluster(mut json: Json) -> Self {
        if let Some(fields) = json.as_object_mut() {
            fields.insert("apiVersion".to_owned(), "keda.sh/v1alpha1".into());
            fields.insert("kind".to_owned(), "ScaledObject".into());
        }
        Self { json, source: None }
    }

    pub(super) fn text(&self, pointer: &str) -> &str {
        self.json.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
    }

    /// File and line of the option at a dotted path, or of the deepest part of the path that exists.
    pub(super) fn place(&self, path: &str) -> Option<(&str, usize)> {
        let Source { file, first_line, node } = self.source.as_ref()?;
        Some((file, first_line + line(node, path).saturating_sub(1)))
    }
}

/// The line in the document, from 1.
fn line(root: &Node, path: &str) -> usize {
    const ANNOTATIONS: &str = "metadata.annotations";
    let annotation = path.strip_prefix(ANNOTATIONS).and_then(|rest| rest.strip_prefix('.'));
    match annotation {
        // Their names have dots of their own.
        Some(name) => {
            let (node, mark) = root.locate(ANNOTATIONS);
            node.and_then(|node| node.entry(name)).map_or(mark, |entry| entry.mark).line
        }
        None if path.is_empty() => root.mark.line,
        None => root.locate(path).1.line,
    }
}

/// All objects of a text, lists opened; a document that does not parse leaves its neighbours alone.
pub(super) fn objects(file: &str, text: &str) -> Vec<Result<Object, Box<Problem>>> {
    Excerpt::split(file, text)
        .into_iter()
        .flat_map(|excerpt| match excerpt.parse() {
            Ok(root) => opened(root).into_iter().map(|node| Ok(of_node(file, excerpt.line, node))).collect(),
            Err(problem) => vec![Err(problem)],
        })
        .collect()
}

/// The objects of a `List`, as `kubectl get -o yaml` writes them; any other object by itself.
fn opened(root: Node) -> Vec<Node> {
    let is_list = root.text(&["kind"]).is_some_and(|kind| kind == "List" || kind == "ScaledObjectList");
    match root.entry("items").map(|items| &items.node.value) {
        Some(Value::List(items)) if is_list => items.clone(),
        _ => vec![root],
    }
}

fn of_node(file: &str, first_line: usize, node: Node) -> Object {
    let source = Source { file: file.to_owned(), first_line, node };
    Object { json: source.node.to_json(), source: Some(source) }
}
