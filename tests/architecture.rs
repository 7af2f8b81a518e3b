//! The walls of the house: which room may look where, and what the pure rooms never touch.

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms from left to right; a room may use rooms of lesser rank, and its own.
const RANKS: [(&str, u32); 14] = [
    ("policy", 0),
    ("engine", 1),
    ("flink", 1),
    ("spark", 1),
    ("fluid", 2),
    ("tune", 3),
    ("sources", 4),
    ("actuators", 4),
    ("record", 4),
    ("daemon", 5),
    ("embedded", 6),
    ("simulate", 6),
    ("web", 6),
    ("cli", 7),
];

/// What would make a decision depend on more than its arguments.
const IMPURE: [&str; 16] = [
    "async fn",
    ".await",
    "tokio::",
    "futures::",
    "kube::",
    "k8s_openapi::",
    "reqwest::",
    "rdkafka::",
    "std::fs",
    "std::env",
    "std::net::Tcp",
    "HashMap",
    "HashSet",
    "Instant",
    "SystemTime",
    "crate::words",
];

/// Every Rust file of a room, with the text that is not comment.
fn files(room: &str) -> Vec<(PathBuf, String)> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room), &mut found);
    assert!(!found.is_empty(), "no such room: {room}");
    found.sort();
    found.into_iter().map(|path| (path.clone(), code(&fs::read_to_string(&path).unwrap()))).collect()
}

/// The text without line comments, up to the unit tests at its end.
fn code(text: &str) -> String {
    let lines = text.lines().take_while(|line| !line.trim_start().starts_with("#[cfg(test)]"));
    lines.map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

#[test]
fn rooms_only_look_to_their_left() {
    let mut broken = Vec::new();
    for (room, rank) in RANKS {
        for (path, text) in files(room) {
            for (other, other_rank) in RANKS {
                if other != room && other_rank >= rank && text.contains(&format!("crate::{other}")) {
                    broken.push(format!("{} uses {other}", path.display()));
                }
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn the_pure_rooms_touch_nothing_outside() {
    let mut broken = Vec::new();
    for room in ["policy", "engine", "fluid", "tune"] {
        for (path, text) in files(room) {
            for word in IMPURE.into_iter().filter(|word| text.contains(word)) {
                broken.push(format!("{} has {word}", path.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn only_one_file_reads_the_clock() {
    let mut readers = Vec::new();
    for (room, _) in RANKS {
        for (path, text) in files(room) {
            let reads = ["Timestamp::now()", "SystemTime::now()", "std::time::Instant", "Zoned::now()"];
            if reads.iter().any(|call| text.contains(call)) {
                readers.push(path.file_name().unwrap().to_string_lossy().into_owned());
            }
        }
    }
    assert_eq!(readers, ["clock.rs"]);
}

#[test]
fn only_the_cycle_sees_source_engine_and_actuator_together() {
    let evaluates = |text: &str| text.contains("engine::evaluate") || text.contains("evaluate(");
    let mut cycles = Vec::new();
    for room in ["sources", "actuators", "daemon"] {
        for (path, text) in files(room) {
            if evaluates(&text) {
                cycles.push(path.file_name().unwrap().to_string_lossy().into_owned());
            }
        }
    }
    assert_eq!(cycles, ["cycle.rs"]);
}

#[test]
fn comments_and_tests_are_not_code() {
    assert_eq!(code("a\n// tokio::\nb // kube::\n#[cfg(test)]\nmod tests { tokio:: }"), "a\n\nb ");
}
