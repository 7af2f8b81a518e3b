//! The demo: the same day for the same seed, honest figures, and no move down in the dark.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

use jiff::Timestamp;
use tidegate::embedded::day::{Day, Lane, Tick};

const MORNING: i64 = 1_772_431_200;

fn day(seed: u64) -> Day {
    Day::new(Timestamp::from_second(MORNING).expect("a time"), seed).expect("a day")
}

/// Every tick of the first `hours`.
async fn live(day: &mut Day, hours: usize) -> Vec<Tick> {
    let mut ticks = Vec::new();
    for _ in 0..hours * 240 {
        ticks.push(day.turn().await);
    }
    ticks
}

#[tokio::test]
async fn the_same_seed_gives_the_same_day_to_the_byte() {
    let (mut one, mut two, mut other) = (day(7), day(7), day(8));
    let (first, second, third) =
        (live(&mut one, 3).await, live(&mut two, 3).await, live(&mut other, 3).await);
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
    assert_ne!(format!("{first:?}"), format!("{third:?}"));
}

#[tokio::test]
async fn the_figures_are_counted() {
    let mut day = day(7);
    let ticks = live(&mut day, 2).await;
    let [orders, invoices, ..] = day.lanes() else { panic!("two groups") };
    assert!(day.lanes().iter().flat_map(Lane::scores).all(|score| score.seconds == 7200));
    assert_eq!(invoices.scores()[2].replica_seconds, 4 * 7200);
    let moves = ticks
        .windows(2)
        .filter(|pair| pair[0].lanes[0].sides[1].replicas != pair[1].lanes[0].sides[1].replicas);
    // The first turn's own move has no tick before it.
    let first = u32::from(ticks[0].lanes[0].sides[1].replicas != 8);
    assert_eq!(orders.scores()[1].moves(), u32::try_from(moves.count()).unwrap() + first);
}

#[tokio::test]
async fn nothing_goes_down_while_a_broker_is_down() {
    let mut day = day(7);
    let ticks = live(&mut day, 11).await;
    let (from, until) = (37_200 + MORNING, 37_920 + MORNING);
    let dark: Vec<&Tick> = ticks.iter().filter(|tick| (from..until).contains(&tick.at.as_second())).collect();
    assert_eq!(dark.len(), 48);
    for lane in 0..day.lanes().len() {
        let sizes = dark.iter().map(|tick| tick.lanes[lane].sides[0].replicas);
        assert!(sizes.is_sorted(), "{}", day.lanes()[lane].name());
    }
    let unknown = |tick: &&&Tick| {
        let sources = &tick.lanes[0].turn.observation.sources;
        sources.iter().any(|source| source.quality() != tidegate::engine::observation::Quality::Ok)
    };
    assert_eq!(dark.iter().filter(unknown).count(), dark.len());
}

/// A job that is rescaled in place stops for seconds, a query whose workers come and go for none: what a move is
/// believed to take stays near what it takes.
#[tokio::test]
async fn a_move_is_priced_by_what_it_stops() {
    let mut day = day(7);
    let ticks = live(&mut day, 9).await;
    let longest = |lane: usize| {
        let said = ticks.iter().filter_map(|tick| tick.lanes[lane].turn.decision.estimate.raise_seconds);
        said.fold(0.0, f64::max)
    };
    let lanes: Vec<&str> = day.lanes().iter().map(Lane::name).collect();
    assert_eq!(lanes, ["orders", "invoices", "sessions", "report"]);
    assert!(longest(2) < 45.0, "slots are free, and it stops for 1 to 4 s: {}", longest(2));
    assert!(
        longest(3) < 120.0,
        "workers take 30 to 60 s to start, and are seen at the next turn: {}",
        longest(3)
    );
    for lane in [2, 3] {
        assert!(day.lanes()[lane].scores()[0].moves() > 2, "{} was moved", lanes[lane]);
    }
}

fn demo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .arg("demo")
        .args(arguments)
        .output()
        .expect("the binary runs")
}

#[test]
fn the_lines_end_with_a_summary_and_exit_code_0() {
    let output = demo(&["--hours", "5", "--seed", "3"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("10:30 !           deploy: a new version of orders"), "{text}");
    assert!(text.contains("After 5 simulated hours"), "{text}");
    assert!(text.contains("shop/orders: no record older than 2m"), "{text}");
    let summary = text.lines().skip_while(|line| !line.starts_with("After"));
    assert!(summary.clone().count() > 20, "{text}");
    for line in summary {
        assert!(line.chars().count() <= 80, "wider than a terminal: {line}");
    }
    assert!(!text.contains('\u{1b}'), "no escape sequences in a pipe");
    let again = demo(&["--hours", "5", "--seed", "3"]);
    assert_eq!(text.as_bytes(), again.stdout);
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["demo", "--hours", "24"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

/// Ends the process with the test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn the_endpoints_answer_when_the_day_is_over() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["demo", "--hours", "1", "--serve", "127.0.0.1:0"]).stdout(Stdio::piped());
    let mut running = Running(command.spawn().unwrap());
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let over = lines.find(|line| line.contains("stays up")).expect("it says where");
    let address = over.trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let get = |path: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(get("/readyz").starts_with("HTTP/1.1 200 "), "{}", get("/readyz"));
    let workloads = get("/api/v1/workloads");
    for name in ["orders", "invoices", "sessions", "report"] {
        assert!(workloads.contains(&format!("\"{name}\"")), "{workloads}");
    }
    assert!(get("/metrics").contains("tidegate_"));
}
