use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::engine::observation::SourceReading;

const WINDOW: TimeSpan = TimeSpan::from_secs(60);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn spec() -> KafkaLag {
    KafkaLag {
        cluster: "main".into(),
        group: "g".into(),
        topics: vec!["t".into()],
        isolation_level: IsolationLevel::ReadUncommitted,
        offset_reset_policy: OffsetResetPolicy::Latest,
        scale_to_zero_on_invalid_offset: false,
        exclude_persistent_lag: false,
    }
}

fn raw(start: i64, end: i64, commit: Commit) -> Raw {
    Raw { start: known(start), end: known(end), since: Since::Nothing, commit }
}

fn look(second: i64, partitions: &[Raw]) -> Look {
    let keyed = (0..).zip(partitions).map(|(partition, raw)| (("t".to_owned(), partition), *raw));
    Look {
        at: at(second),
        group: GroupState::Stable,
        partitions: keyed.collect(),
        problems: Vec::new(),
        incomplete: false,
        as_of: None,
    }
}

/// The reading of the last of these looks.
fn last(spec: &KafkaLag, looks: Vec<Look>) -> BacklogReading {
    let mut memory = Memory::default();
    looks.into_iter().map(|look| read(spec, WINDOW, look, &mut memory)).last().unwrap()
}

fn one(spec: &KafkaLag, raw: Raw) -> PartitionReading {
    last(spec, vec![look(0, &[raw])]).partitions.remove(0)
}

#[rstest]
#[case::plain(raw(0, 100, Commit::At(30)), Some(70), Quality::Ok)]
#[case::nothing_to_do(raw(0, 100, Commit::At(100)), Some(0), Quality::Ok)]
#[case::retention_passed_the_commit(raw(60, 100, Commit::At(30)), Some(40), Quality::Ok)]
#[case::commit_beyond_the_end(raw(0, 7, Commit::At(90)), Some(1), Quality::Partial)]
#[case::no_commit(raw(0, 100, Commit::Nothing), Some(1), Quality::Ok)]
#[case::commit_unknown(raw(0, 100, Commit::Unknown), None, Quality::Partial)]
#[case::end_unknown(raw(0, -1, Commit::At(30)), None, Quality::Partial)]
#[case::end_unknown_without_commit(raw(0, -1001, Commit::Nothing), None, Quality::Partial)]
#[case::start_unknown(raw(-1, 100, Commit::At(30)), Some(70), Quality::Partial)]
#[case::all_unknown(raw(-1, -1, Commit::Unknown), None, Quality::Missing)]
#[case::start_after_end(raw(50, 20, Commit::At(10)), None, Quality::Rejected)]
fn lag_of_a_partition(#[case] raw: Raw, #[case] lag: Option<u64>, #[case] quality: Quality) {
    let reading = one(&spec(), raw);
    assert_eq!((reading.lag, reading.quality), (lag, quality));
}

#[rstest]
#[case::latest(OffsetResetPolicy::Latest, false, raw(10, 100, Commit::Nothing), Some(1))]
#[case::latest_to_zero(OffsetResetPolicy::Latest, true, raw(10, 100, Commit::Nothing), Some(0))]
#[case::earliest(OffsetResetPolicy::Earliest, false, raw(10, 100, Commit::Nothing), Some(90))]
#[case::earliest_to_zero(OffsetResetPolicy::Earliest, true, raw(10, 100, Commit::Nothing), Some(0))]
#[case::earliest_of_nothing(OffsetResetPolicy::Earliest, false, raw(100, 100, Commit::Nothing), Some(0))]
#[case::earliest_start_unknown(OffsetResetPolicy::Earliest, false, raw(-1, 100, Commit::Nothing), None)]
#[case::earliest_recreated(OffsetResetPolicy::Earliest, false, raw(2, 7, Commit::At(90)), Some(5))]
fn without_a_usable_commit_the_reset_policy_decides(
    #[case] policy: OffsetResetPolicy,
    #[case] to_zero: bool,
    #[case] raw: Raw,
    #[case] lag: Option<u64>,
) {
    let spec = KafkaLag { offset_reset_policy: policy, scale_to_zero_on_invalid_offset: to_zero, ..spec() };
    assert_eq!(one(&spec, raw).lag, lag);
}

#[rstest]
#[case::behind_the_window(100, Commit::At(30), Since::From(31), Some(true), Some(69))]
#[case::at_the_window(100, Commit::At(30), Since::From(30), Some(false), Some(70))]
#[case::nothing_new(100, Commit::At(30), Since::Nothing, Some(true), Some(0))]
#[case::nothing_to_do(100, Commit::At(100), Since::Nothing, Some(false), Some(0))]
#[case::no_answer(100, Commit::At(30), Since::Unknown, None, None)]
#[case::no_commit(100, Commit::Nothing, Since::From(50), Some(false), Some(50))]
#[case::commit_unknown(100, Commit::Unknown, Since::From(50), None, Some(50))]
#[case::arrived_after_the_end_was_read(100, Commit::At(30), Since::From(104), Some(true), Some(0))]
fn age_by_the_time_index(
    #[case] end: i64,
    #[case] commit: Commit,
    #[case] since: Since,
    #[case] overdue: Option<bool>,
    #[case] arrived_in_window: Option<u64>,
) {
    let reading = one(&spec(), Raw { since, ..raw(0, end, commit) });
    assert_eq!((reading.overdue, reading.arrived_in_window), (overdue, arrived_in_window));
}

#[rstest]
#[case::progress(raw(0, 100, Commit::At(30)), raw(0, 150, Commit::At(60)), Some(50), Some(30))]
#[case::rest(raw(0, 100, Commit::At(30)), raw(0, 100, Commit::At(30)), Some(0), Some(0))]
#[case::rewound(raw(0, 100, Commit::At(30)), raw(0, 150, Commit::At(10)), Some(50), None)]
#[case::first_commit(raw(0, 100, Commit::Nothing), raw(0, 150, Commit::At(10)), Some(50), None)]
#[case::was_unknown(raw(0, -1, Commit::Unknown), raw(0, 150, Commit::At(10)), None, None)]
#[case::is_unknown(raw(0, 100, Commit::At(10)), raw(0, -1, Commit::Unknown), None, None)]
#[case::retention_between(raw(0, 100, Commit::At(30)), raw(50, 150, Commit::At(60)), Some(50), Some(10))]
#[case::recreated(raw(0, 100, Commit::At(30)), raw(0, 7, Commit::Nothing), None, None)]
fn progress_between_two_looks(
    #[case] then: Raw,
    #[case] now: Raw,
    #[case] arrived: Option<u64>,
    #[case] consumed: Option<u64>,
) {
    let reading = last(&spec(), vec![look(0, &[then]), look(15, &[now])]);
    assert_eq!(reading.over_seconds, Some(15.0));
    assert_eq!((reading.partitions[0].arrived, reading.partitions[0].consumed), (arrived, consumed));
}

#[test]
fn a_first_look_has_no_progress() {
    let reading = last(&spec(), vec![look(0, &[raw(0, 100, Commit::At(30))])]);
    assert_eq!(reading.over_seconds, None);
    assert_eq!((reading.partitions[0].arrived, reading.partitions[0].consumed), (None, None));
    assert_eq!(reading.quality, Quality::Ok, "a first look is complete");
}

#[test]
fn an_added_partition_has_no_past_but_counts_at_once() {
    let old = raw(0, 100, Commit::At(100));
    let reading = last(&spec(), vec![look(0, &[old]), look(15, &[old, raw(0, 40, Commit::Nothing)])]);
    let added = &reading.partitions[1];
    assert_eq!((added.lag, added.arrived, added.uncommitted), (Some(1), None, true));
    assert_eq!(reading.quality, Quality::Ok);
}

#[test]
fn an_end_that_went_back_is_said_and_distrusted_once() {
    let looks = vec![look(0, &[raw(0, 100, Commit::At(90))]), look(15, &[raw(0, 5, Commit::Nothing)])];
    let reading = last(&spec(), looks.clone());
    assert_eq!(reading.quality, Quality::Partial);
    assert_eq!(
        reading.problem.as_deref(),
        Some("t-0: the log's end went back (was the topic recreated?): counted anew")
    );
    let settled = last(&spec(), [looks, vec![look(30, &[raw(0, 9, Commit::At(5))])]].concat());
    assert_eq!((settled.quality, settled.problem.as_deref()), (Quality::Ok, None));
    assert_eq!(settled.partitions[0].arrived, Some(4));
}

#[test]
fn a_topic_that_was_away_and_came_back_smaller_is_not_taken_for_idle() {
    let full = look(0, &[raw(0, 100, Commit::At(90))]);
    let gone = Look { incomplete: true, ..look(15, &[]) };
    let anew = look(30, &[raw(0, 0, Commit::Nothing)]);
    let reading = last(&spec(), vec![full, gone, anew]);
    assert_eq!((reading.partitions[0].lag, reading.quality), (Some(1), Quality::Partial));
    assert_eq!(reading.partitions[0].arrived, None);
    assert_eq!(
        reading.problem.as_deref(),
        Some("t-0: the log's end went back (was the topic recreated?): counted anew")
    );
}

#[test]
fn odd_partitions_are_counted_and_the_first_one_named() {
    let expired = raw(60, 100, Commit::At(30));
    let reading = last(&spec(), vec![look(0, &[expired, expired, expired])]);
    assert_eq!(
        reading.problem.as_deref(),
        Some(
            "t-0 and 2 more: retention removed records before the group read them: counted from the log's start"
        )
    );
}

#[rstest]
#[case::excluded(true, 30, true)]
#[case::moved(true, 31, false)]
#[case::not_asked_for(false, 30, false)]
fn lag_without_movement_is_persistent(#[case] exclude: bool, #[case] then: i64, #[case] persistent: bool) {
    let spec = KafkaLag { exclude_persistent_lag: exclude, ..spec() };
    let looks = vec![look(0, &[raw(0, 90, Commit::At(then))]), look(15, &[raw(0, 100, Commit::At(30))])];
    let reading = last(&spec, looks).partitions.remove(0);
    assert_eq!((reading.lag, reading.persistent), (Some(70), persistent));
    assert!(!one(&spec, raw(0, 100, Commit::At(30))).persistent, "one look shows no standstill");
}

#[test]
fn one_unknown_partition_spoils_only_itself() {
    let reading = last(&spec(), vec![look(0, &[raw(0, 100, Commit::At(30)), raw(-1, -1, Commit::At(5))])]);
    assert_eq!(reading.quality, Quality::Partial);
    assert_eq!(reading.partitions[0].lag, Some(70));
    assert_eq!((reading.partitions[1].lag, reading.partitions[1].overdue), (None, None));
}

#[test]
fn nothing_known_is_missing() {
    let reading = last(&spec(), vec![look(0, &[raw(0, 100, Commit::Unknown), raw(0, 5, Commit::Unknown)])]);
    assert_eq!(reading.quality, Quality::Missing, "no lag is known at all");
    assert_eq!(last(&spec(), vec![look(0, &[])]).quality, Quality::Missing);
    let incomplete = Look { incomplete: true, ..look(0, &[raw(0, 1, Commit::At(1))]) };
    assert_eq!(last(&spec(), vec![incomplete]).quality, Quality::Partial);
}

#[test]
fn age_follows_the_looks() {
    let looks = vec![
        look(0, &[raw(0, 100, Commit::At(100))]),
        look(10, &[raw(0, 110, Commit::At(100))]),
        look(20, &[raw(0, 110, Commit::At(104))]),
    ];
    let ages: Vec<_> = {
        let mut memory = Memory::default();
        let mut age = |look| read(&spec(), WINDOW, look, &mut memory).partitions[0].age_seconds;
        looks.into_iter().map(&mut age).collect()
    };
    // Record 100 is the first of ten that arrived between the looks; record 104 the fifth.
    assert_eq!(ages, [Some(0.0), Some(9.5), Some(15.5)]);
    assert_eq!(one(&spec(), raw(0, 100, Commit::At(30))).age_seconds, None, "before our time");
}

mod transaction_markers {
    use super::*;

    fn transactional() -> KafkaLag {
        KafkaLag { isolation_level: IsolationLevel::ReadCommitted, ..spec() }
    }

    fn tail(length: i64) -> Raw {
        raw(0, 100, Commit::At(100 - length))
    }

    fn lags(spec: &KafkaLag, looks: impl IntoIterator<Item = Look>) -> Vec<Option<u64>> {
        let mut memory = Memory::default();
        looks.into_iter().map(|look| read(spec, WINDOW, look, &mut memory).partitions[0].lag).collect()
    }

    #[test]
    fn a_short_tail_at_rest_is_no_backlog() {
        let looks = (0..6).map(|turn| look(turn * 15, &[tail(1)]));
        assert_eq!(lags(&transactional(), looks), [Some(1), Some(1), Some(1), Some(1), Some(0), Some(0)]);
    }

    #[test]
    fn three_looks_are_too_few_however_far_apart() {
        let looks = (0..4).map(|turn| look(turn * 600, &[tail(2)]));
        assert_eq!(lags(&transactional(), looks), [Some(2), Some(2), Some(2), Some(0)]);
    }

    #[rstest]
    #[case::a_longer_tail(transactional(), tail(3), GroupState::Stable)]
    #[case::no_transactions(spec(), tail(1), GroupState::Stable)]
    #[case::nobody_there_to_read_it(transactional(), tail(1), GroupState::Empty)]
    #[case::rebalancing(transactional(), tail(1), GroupState::Rebalancing)]
    fn what_may_be_records_stays_backlog(
        #[case] spec: KafkaLag,
        #[case] raw: Raw,
        #[case] group: GroupState,
    ) {
        let looks = (0..20).map(|turn| Look { group, ..look(turn * 15, &[raw]) });
        assert!(lags(&spec, looks).iter().all(|lag| lag.is_some_and(|lag| lag > 0)));
    }

    /// It may be a record: it is never hidden. But whether it is late is not known.
    #[test]
    fn without_transactions_in_the_policy_a_tail_at_rest_is_a_backlog_without_an_age() {
        let mut memory = Memory::default();
        let rest = Raw { since: Since::Nothing, ..tail(1) };
        let mut seen = |turn: i64, raw| {
            let reading = read(&spec(), WINDOW, look(turn * 15, &[raw]), &mut memory);
            let one = &reading.partitions[0];
            (one.lag, one.overdue, one.age_seconds.is_some(), reading.quality)
        };
        for turn in 0..4 {
            let (lag, overdue, _, quality) = seen(turn, rest);
            assert_eq!((lag, overdue, quality), (Some(1), Some(true), Quality::Ok), "look {turn}");
        }
        assert_eq!(seen(4, rest), (Some(1), None, false, Quality::Ok));
        // Something follows, and stays: that is late by all that is known.
        let more = Raw { since: Since::From(100), ..raw(0, 101, Commit::At(99)) };
        assert_eq!(seen(5, more).1, Some(true));
    }

    /// It may wait behind what the same member is at work on.
    #[test]
    fn while_somebody_commits_elsewhere_a_tail_is_late_all_the_same() {
        let mut memory = Memory::default();
        let rest = Raw { since: Since::Nothing, ..tail(1) };
        for turn in 0..20 {
            let busy = raw(0, 1000, Commit::At(turn * 10));
            let reading = read(&spec(), WINDOW, look(turn * 15, &[rest, busy]), &mut memory);
            assert_eq!(reading.partitions[0].overdue, Some(true), "look {turn}");
        }
    }

    #[test]
    fn it_stays_so_without_members_until_something_arrives() {
        let rest = (0..5).map(|turn| look(turn * 15, &[tail(1)]));
        let gone = Look { group: GroupState::Empty, ..look(75, &[tail(1)]) };
        let unseen = look(90, &[raw(-1, -1, Commit::Unknown)]);
        let still = Look { group: GroupState::Empty, ..look(105, &[tail(1)]) };
        let arrived = look(120, &[raw(0, 101, Commit::At(99))]);
        let lags = lags(&transactional(), rest.chain([gone, unseen, still, arrived]));
        assert_eq!(lags[4..], [Some(0), Some(0), None, Some(0), Some(2)]);
    }
}

fn offset() -> impl Strategy<Value = i64> {
    prop_oneof![-1001_i64..0, 0_i64..200, Just(i64::MAX), Just(i64::MIN)]
}

fn any_raw() -> impl Strategy<Value = Raw> {
    let commit = prop_oneof![
        offset().prop_map(|offset| known(offset).map_or(Commit::Unknown, Commit::At)),
        Just(Commit::Nothing),
        Just(Commit::Unknown),
    ];
    let since = prop_oneof![
        offset().prop_map(|offset| known(offset).map_or(Since::Unknown, Since::From)),
        Just(Since::Nothing),
        Just(Since::Unknown),
    ];
    (offset(), offset(), since, commit).prop_map(|(start, end, since, commit)| Raw {
        start: known(start),
        end: known(end),
        since,
        commit,
    })
}

proptest! {
    #[test]
    fn unknown_is_never_zero_and_lag_is_never_absurd(
        looks in prop::collection::vec(prop::collection::vec(any_raw(), 1..4), 1..8),
        level in prop_oneof![Just(IsolationLevel::ReadCommitted), Just(IsolationLevel::ReadUncommitted)],
        policy in prop_oneof![Just(OffsetResetPolicy::Latest), Just(OffsetResetPolicy::Earliest)],
    ) {
        let spec = KafkaLag { isolation_level: level, offset_reset_policy: policy, ..spec() };
        let mut memory = Memory::default();
        for (turn, raws) in (0..).zip(&looks) {
            let reading = read(&spec, WINDOW, look(turn * 15, raws), &mut memory);
            let text = serde_json::to_string(&SourceReading::Backlog(reading.clone())).unwrap();
            prop_assert!(!text.contains("NaN"));
            for (partition, raw) in reading.partitions.iter().zip(raws) {
                if raw.end.is_none() || raw.commit == Commit::Unknown {
                    prop_assert_eq!(partition.lag, None);
                    prop_assert_eq!(partition.overdue, None);
                    prop_assert_eq!(partition.age_seconds, None);
                    prop_assert!(partition.quality > Quality::Ok);
                    prop_assert!(reading.quality > Quality::Ok);
                }
                if let (Some(lag), Some(end)) = (partition.lag, raw.end) {
                    prop_assert!(lag <= u64::try_from(end).unwrap().max(1));
                }
                if raw.since == Since::Unknown {
                    prop_assert_eq!(partition.arrived_in_window, None);
                }
                prop_assert!(partition.age_seconds.is_none_or(|age| age >= 0.0 && age.is_finite()));
            }
        }
    }
}

/// A job that keeps up with 100 records/s and commits with a checkpoint every 5 s.
#[test]
fn a_staircase_of_commits_is_no_backlog() {
    let mut memory = Memory::default();
    let mut lags = Vec::new();
    for second in 0..30 {
        let step = second - second % 5;
        let mut look = look(second, &[raw(0, 100 * second, Commit::At(100 * step))]);
        look.as_of = Some(at(step));
        let reading = read(&spec(), WINDOW, look, &mut memory);
        lags.push(reading.partitions[0].lag);
    }
    // Before the first look that is as old as a checkpoint nothing is known of where the log ended then.
    assert_eq!(lags, vec![Some(0); 30]);
}

/// The same, where the job had fallen 300 records behind at the last checkpoint: that is not forgiven.
#[test]
fn what_waited_at_the_time_of_the_commit_is_a_backlog() {
    let mut memory = Memory::default();
    let mut last = None;
    for second in 0..10 {
        let mut look = look(second, &[raw(0, 300 + 100 * second, Commit::At(100 * (second - second % 5)))]);
        look.as_of = Some(at(second - second % 5));
        last = read(&spec(), WINDOW, look, &mut memory).partitions.pop();
    }
    let last = last.unwrap();
    assert_eq!((last.lag, last.committed), (Some(300), Some(500)));
    assert_eq!(last.age_seconds.map(f64::round), Some(3.0), "the oldest of them arrived three seconds ago");
}

#[test]
fn a_time_before_the_first_look_forgives_nothing() {
    let mut look = look(10, &[raw(0, 1000, Commit::At(400))]);
    look.as_of = Some(at(5));
    assert_eq!(last(&spec(), vec![look]).partitions[0].lag, Some(600));
}
