//! What has happened so far, for both ways of telling it.

use jiff::Timestamp;

use crate::embedded::day::{Day, Glimpse, LaneTick, Tick};
use crate::embedded::scenario::Tone;
use crate::engine::{Decision, Reason, Verdict};
use crate::policy::TimeSpan;
use crate::policy::units::records_f64;
use crate::record::Outcome;

/// The day so far.
#[derive(Debug)]
pub(super) struct Story {
    length: i64,
    second: i64,
    /// Simulated time.
    pub(super) now: Timestamp,
    /// One entry per workload.
    pub(super) lanes: Vec<LaneStory>,
    /// Everything worth a line, oldest first.
    pub(super) news: Vec<News>,
}

/// One workload's day so far.
#[derive(Debug, Default)]
pub(super) struct LaneStory {
    /// One entry per simulated minute.
    pub(super) minutes: Vec<Moment>,
    /// What the last turn saw.
    pub(super) last: Option<Moment>,
    told: Option<(Reason, i64)>,
    late_since: Option<i64>,
    rolling: bool,
}

/// How a workload was doing at one time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Hours since the start.
    pub(super) hour: f64,
    /// Records per second that arrived.
    pub(super) load: f64,
    /// How everybody did.
    pub(super) sides: [Glimpse; 3],
}

/// Something worth a line.
#[derive(Debug, Clone)]
pub(super) struct News {
    /// Simulated time.
    pub(super) at: Timestamp,
    /// Whom it concerns; `None` for everybody.
    pub(super) who: Option<&'static str>,
    /// How it is to be read.
    pub(super) kind: Kind,
    /// What, in a sentence.
    pub(super) text: String,
}

/// How news is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The world.
    World(Tone),
    /// Tidegate moved something, or says why it does not.
    Decision,
}

impl Moment {
    /// Whether there was nothing to do, and nobody to do it.
    pub(super) fn idle(&self) -> bool {
        self.load < 0.5 && self.sides.iter().take(2).all(|side| side.replicas == 0)
    }
}

impl Story {
    /// A story of `length` seconds that has not begun.
    pub(super) fn new(day: &Day, starts: Timestamp, length: i64) -> Self {
        let lanes = day.lanes().iter().map(|_| LaneStory::default()).collect();
        Self { length, second: 0, now: starts, lanes, news: Vec::new() }
    }

    /// Whether the day is done.
    pub(super) fn over(&self) -> bool {
        self.second >= self.length
    }

    /// The share of the day that has passed.
    pub(super) fn share(&self) -> f64 {
        (hours(self.second) / self.hours()).min(1.0)
    }

    /// Hours that the day has.
    pub(super) fn hours(&self) -> f64 {
        hours(self.length)
    }

    /// What last happened to the whole world, if that is less than an hour ago.
    pub(super) fn event(&self) -> Option<&News> {
        let event = self.news.iter().rfind(|news| news.who.is_none())?;
        (self.now.duration_since(event.at).as_secs() < 3600).then_some(event)
    }

    /// Takes in one turn and returns what is new.
    pub(super) fn take(&mut self, day: &Day, tick: Tick) -> &[News] {
        let known = self.news.len();
        self.now = tick.at;
        self.second = day.second();
        self.news.extend(tick.events.into_iter().map(|event| News {
            at: tick.at,
            who: None,
            kind: Kind::World(event.tone),
            text: event.text,
        }));
        for ((story, lane), turn) in self.lanes.iter_mut().zip(day.lanes()).zip(&tick.lanes) {
            let scene = Scene { at: tick.at, second: self.second, name: lane.name() };
            story.remember(&scene, turn);
            let news = [
                story.rollout(&scene, lane.rolling()),
                story.lateness(&scene, lane.max_lag()),
                story.decision(&scene, turn),
            ];
            self.news.extend(news.into_iter().flatten());
        }
        self.news.get(known..).unwrap_or_default()
    }
}

/// When, and whose.
struct Scene {
    at: Timestamp,
    second: i64,
    name: &'static str,
}

impl Scene {
    fn news(&self, kind: Kind, text: String) -> News {
        News { at: self.at, who: Some(self.name), kind, text }
    }
}

impl LaneStory {
    fn remember(&mut self, scene: &Scene, tick: &LaneTick) {
        let load = records_f64(tick.load_milli.unsigned_abs()) / 1000.0;
        let moment = Moment { hour: hours(scene.second), load, sides: tick.sides };
        if scene.second % 60 == 0 {
            self.minutes.push(moment);
        }
        self.last = Some(moment);
    }

    /// A move, a write that failed, or the trouble that a hold is for.
    fn decision(&mut self, scene: &Scene, tick: &LaneTick) -> Option<News> {
        let decision = &tick.turn.decision;
        let head = match &tick.turn.outcome {
            Outcome::Applied => String::new(),
            Outcome::Held if self.worth_telling(scene, decision) => String::new(),
            Outcome::Held | Outcome::Recommended | Outcome::Deferred { .. } => return None,
            outcome @ (Outcome::Conflicted | Outcome::Yielded { .. } | Outcome::Failed { .. }) => {
                format!("{outcome}: ")
            }
        };
        Some(scene.news(Kind::Decision, head + &sentence(decision)))
    }

    /// Whether a hold is for a trouble that was not told within the last hour.
    fn worth_telling(&mut self, scene: &Scene, decision: &Decision) -> bool {
        let told =
            self.told.is_some_and(|(reason, at)| reason == decision.reason && scene.second - at < 3600);
        if !troubled(decision) || told {
            return false;
        }
        self.told = Some((decision.reason, scene.second));
        true
    }

    fn lateness(&mut self, scene: &Scene, max_lag: i64) -> Option<News> {
        let age = self.last?.sides[0].age;
        match (age > max_lag, self.late_since) {
            (true, None) => {
                self.late_since = Some(scene.second);
                let text = format!("late: the oldest record is older than {}", span(max_lag));
                Some(scene.news(Kind::World(Tone::Trouble), text))
            }
            (false, Some(since)) => {
                self.late_since = None;
                let text = format!(
                    "on time: every record is younger than {} again, after {}",
                    span(max_lag),
                    span(scene.second - since)
                );
                Some(scene.news(Kind::World(Tone::Relief), text))
            }
            (true, Some(_)) | (false, None) => None,
        }
    }

    fn rollout(&mut self, scene: &Scene, rolling: bool) -> Option<News> {
        let ended = std::mem::replace(&mut self.rolling, rolling) && !rolling;
        let text = "rolled out: every replica runs the new version".to_owned();
        ended.then(|| scene.news(Kind::World(Tone::Relief), text))
    }
}

/// Whether a hold is for a trouble that its reader should know of. Rollouts and rebalances are everyday,
/// and told by themselves.
fn troubled(decision: &Decision) -> bool {
    decision.verdict == Verdict::Hold && decision.reason.is_trouble()
}

fn sentence(decision: &Decision) -> String {
    if decision.sentence.is_empty() {
        let size = decision.desired.map_or("?".to_owned(), |size| size.to_string());
        format!("{size}: {}: {}", decision.reason, decision.reason.meaning())
    } else {
        decision.sentence.clone()
    }
}

/// Whole seconds as people write them.
pub(super) fn span(seconds: i64) -> String {
    TimeSpan::from_secs(seconds.unsigned_abs()).to_string()
}

fn hours(seconds: i64) -> f64 {
    records_f64(seconds.unsigned_abs()) / 3600.0
}
