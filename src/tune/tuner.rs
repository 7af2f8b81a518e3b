//! What has come of tuning one workload so far.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use strum::IntoEnumIterator;

use super::choice::{Choice, Turn, choose};
use super::glimpse::Glimpse;
use super::history::History;
use super::rehearsal::Rehearsal;
use crate::engine::tuning;
use crate::policy::notches::{Knob, Notches, SelfTuning};
use crate::policy::preset::{Knobs, Preset};
use crate::policy::{Objective, Rules};

/// Minutes that must be known before anything is turned: a day.
pub const LEAST: usize = 1440;
/// Hours from one look at the neighbours to the next.
const EVERY: i64 = 24;
/// The most turns that are remembered, the newest.
const TURNS: usize = 16;

/// The history of one workload, how far its preset is turned, and by what.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tuner {
    history: History,
    notches: Notches,
    /// What the notches are turned on: with anything else they mean nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    ground: Option<Ground>,
    /// When the neighbours were last looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    looked: Option<Timestamp>,
    turns: Vec<Turned>,
    /// What came of the last look.
    #[serde(skip_serializing_if = "Option::is_none")]
    came: Option<Choice>,
}

/// What notches are turned on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Ground {
    preset: Preset,
    knobs: Knobs,
    objective: Objective,
}

impl Ground {
    fn of(rules: &Rules) -> Self {
        Self { preset: rules.preset, knobs: rules.knobs, objective: rules.objective }
    }
}

/// A turn that was made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Turned {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub turn: Turn,
}

/// A look at the neighbours that is due. Takes seconds of a processor; knows nothing of the workload but this.
#[derive(Debug, Clone)]
pub struct Look {
    history: History,
    rules: Rules,
    notches: Notches,
}

impl Look {
    /// Looks.
    pub fn run(&self) -> Choice {
        match Rehearsal::of(&self.history, &self.rules) {
            Some(rehearsal) => choose(&rehearsal, &self.rules, self.notches),
            None => Choice::TooLittle,
        }
    }
}

impl Tuner {
    /// Takes in what a turn told at `now`.
    pub fn note(&mut self, glimpse: &Glimpse, now: Timestamp) {
        self.history.note(glimpse, now);
    }

    /// When the neighbours were last looked at.
    pub fn looked(&self) -> Option<Timestamp> {
        self.looked
    }

    /// What was turned, the newest last.
    pub fn turns(&self) -> &[Turned] {
        &self.turns
    }

    /// How far the preset is turned under these rules: not at all, where they do not ask for it or are others than
    /// those it was turned under.
    pub fn notches(&self, rules: &Rules) -> Notches {
        let stands = rules.tuning == SelfTuning::Auto && self.ground == Some(Ground::of(rules));
        if stands { self.notches } else { Notches::default() }
    }

    /// Whether the neighbours are to be looked at: once a day, and not before a day is known.
    pub fn due(&self, rules: &Rules, now: Timestamp) -> Option<Look> {
        let rested = |looked: Timestamp| now.duration_since(looked) >= SignedDuration::from_hours(EVERY);
        let due = rules.tuning == SelfTuning::Auto
            && self.looked.is_none_or(rested)
            && self.history.known_minutes() >= LEAST;
        due.then(|| Look {
            history: self.history.clone(),
            rules: rules.clone(),
            notches: self.notches(rules),
        })
    }

    /// Takes in what a look came to. Says what is turned now, if anything.
    pub fn settle(&mut self, rules: &Rules, choice: Choice, now: Timestamp) -> Option<Turn> {
        let notches = self.notches(rules);
        if self.ground != Some(Ground::of(rules)) {
            self.turns.clear();
        }
        (self.notches, self.ground, self.looked) = (notches, Some(Ground::of(rules)), Some(now));
        self.came = Some(choice);
        let turn = choice.turn()?;
        self.notches = notches.with(turn.knob, turn.notches.1);
        if self.turns.len() == TURNS {
            self.turns.remove(0);
        }
        self.turns.push(Turned { at: now, turn });
        Some(turn)
    }

    /// What there is to say of it under these rules.
    pub fn report(&self, rules: &Rules) -> Report {
        let notches = self.notches(rules);
        let stands = self.ground == Some(Ground::of(rules));
        let in_force = Knob::iter().filter(|knob| notches.get(*knob) != 0).filter_map(|knob| {
            let latest = self.turns.iter().rfind(|turned| turned.turn.knob == knob)?;
            let (preset, value) =
                (tuning::value(rules, knob, 0), tuning::value(rules, knob, notches.get(knob)));
            Some(Tuned { knob, preset, value, since: latest.at, saves: latest.turn.saves })
        });
        Report {
            in_force: in_force.collect(),
            looked: self.looked.filter(|_| stands),
            came: self.came.filter(|_| stands),
            known_hours: hours(self.history.known_minutes()),
        }
    }

    /// Keeps so many hours of the history at the most.
    pub fn shorten(&mut self, hours: usize) {
        self.history.shorten(hours);
    }
}

/// What self-tuning has come to on one workload.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The constants that are not the preset's.
    pub in_force: Vec<Tuned>,
    /// When the neighbours were last looked at.
    pub looked: Option<Timestamp>,
    /// What came of it.
    pub came: Option<Choice>,
    /// Hours of history, the one under way not counted.
    pub known_hours: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Self-tuning: ")?;
        for Tuned { knob, preset, value, since, saves: [older, newer] } in &self.in_force {
            write!(
                f,
                "{knob} is {value} instead of the preset's {preset} since {since:.0} (the last notch: {:+.1} % of the \
                 cost on the older half of the history, {:+.1} % on the newer); ",
                -100.0 * older,
                -100.0 * newer
            )?;
        }
        match (self.looked, &self.came) {
            (Some(looked), Some(came)) => write!(f, "last looked at {looked:.0}: {came}."),
            _ => write!(f, "looked at once a day is known, and {:.1} hours are.", self.known_hours),
        }
    }
}

/// A constant that is not the preset's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tuned {
    /// Which.
    pub knob: Knob,
    /// The preset's.
    pub preset: f64,
    /// What it is now.
    pub value: f64,
    /// Since when.
    pub since: Timestamp,
    /// What the last notch saved of the cost of the older and of the newer half of the history.
    pub saves: [f64; 2],
}

fn hours(minutes: usize) -> f64 {
    crate::fluid::numbers::real(minutes) / 60.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fluid::course::Course;
    use crate::fluid::plant::Plant;
    use crate::fluid::run::{Loop, default_rules};
    use crate::fluid::trace::Trace;
    use crate::policy::rules::PartitionRule;

    const HOUR: usize = 240;

    /// A smooth day, with as much room as `latency` keeps: each notch of utilization saves some of it, and nothing is
    /// late.
    fn rules() -> Rules {
        let rules = default_rules(&course(1, |_| 1.0));
        Rules { preset: Preset::Latency, tuning: SelfTuning::Auto, ..rules }
    }

    fn course(hours: usize, load: impl Fn(f64) -> f64) -> Course {
        let rates = (0..hours * HOUR).map(|step| {
            let hour = crate::fluid::numbers::real(step) / crate::fluid::numbers::real(HOUR);
            load(hour)
        });
        let trace = Trace { name: "t".to_owned(), step: 15.0, rates: rates.collect() };
        let plant = Plant { partitions: 0, capacity: 100.0, ..Plant::preset("consumer-eager").unwrap() };
        Course::new(&trace, &plant, 1).unwrap()
    }

    fn smooth(hour: f64) -> f64 {
        1200.0 + 500.0 * (hour / 24.0 * std::f64::consts::TAU).sin()
    }

    /// What the engine lived through under these rules.
    fn lived(course: &Course, rules: &Rules, applied: bool) -> Tuner {
        let mut tuner = Tuner::default();
        let mut under_way = Loop::new(course, rules, 1);
        for step in 0..course.steps() {
            let turned = under_way.turn(rules);
            tuner.note(&Glimpse::of(turned.observation, &turned.decision, applied), course.time(step));
        }
        tuner
    }

    /// What a look comes to an hour after the end.
    fn look(tuner: &Tuner, rules: &Rules, course: &Course) -> Choice {
        tuner.due(rules, course.time(course.steps())).unwrap().run()
    }

    fn turned(knob: Knob, notches: i8, rules: &Rules, at: Timestamp, tuner: &mut Tuner) {
        for notch in 1..=notches.abs() {
            let step = notches.signum();
            let from = (notch - 1) * step;
            let values = (0.0, 0.0);
            let turn = Turn { knob, notches: (from, from + step), values, saves: [0.1, 0.1] };
            tuner.settle(rules, Choice::Turn(turn), at);
        }
    }

    #[test]
    fn what_wins_on_both_halves_is_turned_by_one_notch_a_day() {
        let (course, rules) = (course(26, smooth), rules());
        let mut tuner = lived(&course, &rules, true);
        let choice = look(&tuner, &rules, &course);
        let turn = choice.turn().unwrap();
        assert!(matches!(choice, Choice::Turn(_)) && !turn.is_back(), "{choice}");
        assert!(turn.saves.iter().all(|saved| *saved >= 0.03), "{choice}");
        assert_eq!(turn.notches.1.abs(), 1, "{choice}");
        let now = course.time(course.steps());
        assert_eq!(tuner.settle(&rules, choice, now), Some(turn));
        assert_eq!(tuner.notches(&rules), Notches::default().with(turn.knob, turn.notches.1));
        let later = |hours: i64| now.checked_add(SignedDuration::from_hours(hours)).unwrap();
        assert!(tuner.due(&rules, later(23)).is_none());
        assert!(tuner.due(&rules, later(24)).is_some());
        let said = tuner.report(&rules).to_string();
        assert!(
            said.contains(&format!(
                "{} is {} instead of the preset's {}",
                turn.knob, turn.values.1, turn.values.0
            )),
            "{said}"
        );
        // A restart changes nothing.
        let back: Tuner = serde_json::from_str(&serde_json::to_string(&tuner).unwrap()).unwrap();
        assert_eq!(back, tuner);
        // The preset is back at once; and other ground is no ground for it.
        assert!(tuner.notches(&Rules { tuning: SelfTuning::Off, ..rules.clone() }).is_none());
        assert!(tuner.notches(&Rules { preset: Preset::Cost, ..rules.clone() }).is_none());
        assert!(!tuner.notches(&rules).is_none(), "and here again, where it is asked for again");
    }

    #[test]
    fn noise_turns_nothing() {
        for seed in 1..=3 {
            let mut random = crate::random::Random::new(seed);
            let noise: Vec<f64> =
                (0..27 * 60).map(|_| 1.0 + 0.1 * crate::random::normal(&mut random)).collect();
            let minute = |hour: f64| crate::fluid::numbers::count((hour * 60.0).floor());
            let course = course(26, |hour| 1000.0 * noise.get(minute(hour)).copied().unwrap_or(1.0));
            let rules = Rules { preset: Preset::Balanced, ..rules() };
            let choice = look(&lived(&course, &rules, true), &rules, &course);
            assert_eq!(choice, Choice::Keep, "seed {seed}: {choice}");
        }
    }

    #[test]
    fn what_a_policy_states_is_not_turned() {
        let course = course(26, smooth);
        let knobs = Knobs {
            target_utilization: Some(80),
            usable_lag: Some(70),
            payback: Some(1.0),
            ..Knobs::default()
        };
        let rules = Rules { knobs, ..rules() };
        let choice = look(&lived(&course, &rules, true), &rules, &course);
        let stated = [Knob::TargetUtilization, Knob::UsableLag, Knob::Payback];
        assert!(choice.turn().is_none_or(|turn| !stated.contains(&turn.knob)), "{choice}");
        let notches = Notches::default().with(Knob::TargetUtilization, 3);
        let value = tuning::value(&Rules { notches, ..rules.clone() }, Knob::TargetUtilization, 3);
        assert!((value - 0.8).abs() < 1e-9, "a stated one stands above any notch");
    }

    #[test]
    fn what_loses_later_goes_back() {
        let course = course(30, smooth);
        let rules =
            Rules { preset: Preset::Balanced, partitions: PartitionRule::AllowIdleConsumers, ..rules() };
        let start = course.time(0);
        let mut tuner = Tuner::default();
        turned(Knob::TargetUtilization, -3, &rules, start, &mut tuner);
        let notches = tuner.notches(&rules);
        assert_eq!(notches.get(Knob::TargetUtilization), -3);
        let live = lived(&course, &Rules { notches, ..rules.clone() }, true);
        tuner.history = live.history;
        let choice = look(&tuner, &rules, &course);
        let turn = choice.turn().unwrap();
        assert!(turn.is_back() && turn.notches == (-3, -2), "{choice}");
        tuner.settle(&rules, choice, course.time(course.steps()));
        assert_eq!(tuner.notches(&rules).get(Knob::TargetUtilization), -2);
    }

    #[test]
    fn a_run_that_does_not_resemble_what_was_teaches_nothing_and_undoes() {
        let (course, rules) = (course(26, smooth), rules());
        // Nothing was carried out.
        let mut tuner = lived(&course, &rules, false);
        assert_eq!(look(&tuner, &rules, &course), Choice::Unlike(None));
        // Somebody else keeps twice as many.
        let mut twice = Tuner::default();
        let mut under_way = Loop::new(&course, &rules, 1);
        for step in 0..course.steps() {
            let turned = under_way.turn(&rules);
            let seen = Glimpse::of(turned.observation, &turned.decision, true);
            let replicas = seen.replicas.map(|replicas| 2 * replicas);
            twice.note(&Glimpse { replicas, ..seen }, course.time(step));
        }
        assert_eq!(look(&twice, &rules, &course), Choice::Unlike(None));
        turned(Knob::UsableLag, 2, &rules, course.time(0), &mut tuner);
        let choice = look(&tuner, &rules, &course);
        assert!(matches!(choice, Choice::Unlike(Some(turn)) if turn.notches == (2, 1)), "{choice}");
    }

    #[test]
    fn a_day_has_to_be_known_first_and_gaps_do_not_count() {
        let (course, rules) = (course(23, smooth), rules());
        let tuner = lived(&course, &rules, true);
        assert!(tuner.due(&rules, course.time(course.steps())).is_none());
        assert!(tuner.report(&rules).to_string().contains("22.0 hours"), "{}", tuner.report(&rules));
    }
}
