//! Every figure of a plant does what it says.

use tidegate::fluid::course::{Course, STEP};
use tidegate::fluid::plant::Plant;
use tidegate::fluid::run::{Run, by_engine, default_rules};
use tidegate::fluid::running::{Moment, Running};
use tidegate::fluid::sight::{Sight, Snapshot};
use tidegate::fluid::trace::Trace;
use tidegate::simulate::limit::{BUCKET, limit};
use tidegate::simulate::scorecard::figures;

/// A course of constant load on a plant of which one figure is set.
fn course(rate: f64, steps: usize, set: &[&str]) -> Course {
    let mut plant = Plant { capacity: 10.0, ..Plant::preset("consumer-eager").unwrap() };
    for assignment in set {
        plant.set(assignment).unwrap();
    }
    let trace = Trace { name: "flat".to_owned(), step: STEP, rates: vec![rate; steps] };
    Course::new(&trace, &plant, 1).unwrap()
}

/// Four replicas that are asked to be eight at step 4.
fn raised(course: &Course) -> Vec<Moment> {
    let mut plant = Running::new(course, 0, 4);
    (0..course.steps())
        .map(|step| {
            if step == 4 {
                plant.ask(8);
            }
            plant.advance()
        })
        .collect()
}

/// Records per second, whole.
fn capacities(moments: &[Moment]) -> Vec<i64> {
    let rate = |moment: &Moment| (moment.capacity / STEP).round();
    moments.iter().map(|moment| rate(moment).to_string().parse().unwrap()).collect()
}

/// What is seen at every step of a plant that nobody moves.
fn seen(course: &Course) -> Vec<Option<Snapshot>> {
    let (mut plant, mut sight) = (Running::new(course, 0, 6), Sight::new(course, 7));
    (0..course.steps())
        .map(|_| {
            let seen = sight.look(&plant);
            sight.note(plant.advance());
            seen
        })
        .collect()
}

#[test]
fn a_stop_a_start_and_a_warm_up_take_their_time() {
    let after = |set: &[&str]| capacities(&raised(&course(30.0, 12, set)))[3..].to_vec();
    assert_eq!(after(&["stop_seconds=0"]), [40, 80, 80, 80, 80, 80, 80, 80, 80]);
    assert_eq!(after(&["stop_seconds=30"]), [40, 0, 0, 80, 80, 80, 80, 80, 80]);
    assert_eq!(after(&["stop_seconds=15", "start_seconds=30"]), [40, 40, 40, 0, 80, 80, 80, 80, 80]);
    // From a half of 80 in a straight line over a minute.
    assert_eq!(after(&["stop_seconds=15", "warmup_seconds=60"]), [40, 0, 45, 55, 65, 75, 80, 80, 80]);
    let cold = ["stop_seconds=0", "warmup_seconds=30", "warmup_share=0"];
    assert_eq!(after(&cold), [40, 20, 60, 80, 80, 80, 80, 80, 80]);
}

#[test]
fn what_was_read_since_the_last_checkpoint_is_read_again() {
    let backlog = |set: &[&str]| raised(&course(30.0, 12, set))[4].backlog;
    assert!((backlog(&["reread_seconds=5"]) - backlog(&[]) - 150.0).abs() < 1e-6);
}

#[test]
fn scaling_skew_partitions_and_downstream_bound_what_replicas_do() {
    let of_eight = |set: &[&str]| course(30.0, 12, set).nominal(8) / STEP;
    assert!((of_eight(&[]) - 80.0).abs() < 1e-6);
    assert!((of_eight(&["scaling=0.5"]) - 10.0 * 8.0_f64.sqrt()).abs() < 1e-6);
    assert!((of_eight(&["downstream=55"]) - 55.0).abs() < 1e-6);
    assert!((of_eight(&["partitions=9"]) - 45.0).abs() < 1e-6);
    assert!(of_eight(&["skew=0.8"]) < 60.0);
}

#[test]
fn noise_moves_the_capacity_and_not_the_mean() {
    let paces: Vec<f64> = raised(&course(30.0, 4000, &["capacity_noise=0.2"]))
        .iter()
        .skip(6)
        .map(|one| one.capacity / 1200.0)
        .collect();
    let count = f64::from(u32::try_from(paces.len()).unwrap());
    let mean = paces.iter().sum::<f64>() / count;
    let deviation = (paces.iter().map(|pace| (pace - mean).powi(2)).sum::<f64>() / count).sqrt();
    assert!((mean - 1.0).abs() < 0.05 && (deviation - 0.2).abs() < 0.04, "{mean} {deviation}");
}

#[test]
fn what_is_seen_is_late_lost_or_old_as_asked() {
    let lag = |set: &[&str]| {
        let seen = seen(&course(30.0, 200, set));
        seen[100].map(|snapshot| 100 - snapshot.step)
    };
    assert_eq!(lag(&[]), Some(0));
    assert_eq!(lag(&["delay_seconds=60"]), Some(4));
    let lost = seen(&course(30.0, 4000, &["gap_share=0.05"])).iter().filter(|seen| seen.is_none()).count();
    assert!((150..250).contains(&lost), "{lost}");
    // The last ten minutes of every six hours.
    let frozen = seen(&course(30.0, 1440, &["stale_seconds=600"]));
    let ages: Vec<usize> = [1399, 1400, 1420, 1439].map(|step| step - frozen[step].unwrap().step).to_vec();
    assert_eq!(ages, [0, 1, 21, 40]);
}

#[test]
fn an_outage_lets_nothing_through() {
    let run = raised(&course(30.0, 800, &["outage_seconds=1200"]));
    let dark: Vec<usize> = (5..800).filter(|step| run[*step].capacity < 1e-9).collect();
    assert_eq!((dark[0], dark.len()), (600, 80));
}

fn ours(course: &Course) -> Run {
    by_engine(course, &default_rules(course), 1)
}

#[test]
fn weights_bounds_and_the_objective_decide_what_it_costs() {
    let cost = |set: &[&str]| {
        let course = course(30.0, 400, set);
        figures(&course, &ours(&course), 0, 400).cost_replica_hours
    };
    assert!(cost(&["min_replicas=12"]) > 12.0 * 400.0 * 15.0 / 3600.0 - 0.1);
    assert!(cost(&["max_replicas=2", "violation_cost=5"]) > 5.0 * 60.0);
    let moves = |set: &[&str]| limit(&course(30.0, 400, set), 0, 400, BUCKET).path.len();
    assert_eq!(moves(&["objective_seconds=15"]), 1);
    assert!(moves(&["objective_seconds=600", "rescale_cost=0", "stop_seconds=0", "partitions=2"]) > 1);
}

#[test]
fn who_may_rest_does_and_wakes() {
    let mut rates = vec![0.0; 400];
    rates[200..260].fill(30.0);
    let mut plant = Plant { capacity: 10.0, ..Plant::preset("consumer-eager").unwrap() };
    plant.set("min_replicas=0").unwrap();
    let trace = Trace { name: "rest".to_owned(), step: STEP, rates };
    let course = Course::new(&trace, &plant, 1).unwrap();
    let run = ours(&course);
    assert_eq!((run.moments[190].replicas, run.moments[399].replicas), (0, 0));
    assert!(run.moments[230].replicas >= 3, "{:?}", run.moments[230]);
    // The limit knows of the load, and rests before and after it.
    let path = limit(&course, 0, 400, BUCKET).path;
    assert_eq!((path.first().unwrap().1, path.last().unwrap().1), (0, 0));
}
