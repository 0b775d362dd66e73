use crate::declare::{Declaration, Derive, Estimator, Mode, Select, Text};
use crate::record::{Fail, FailKind, Param, Point, PointState, Skip};

use super::*;
use crate::fixture::{blank, declared, metric, point, with};

/// A card with one probe `p`, one metric `m` of it, and these points.
fn card(unit: Unit, from: Derive, points: Vec<Point>) -> Card {
    let mut card = blank("test");
    let declared = metric("m", "a metric", unit, Better::Lower, NoiseClass::T1, "family", from);
    card.header.declarations = vec![Declaration {
        probe: "p".into(),
        method: 1,
        quantities: Vec::new(),
        summary: "a probe".into(),
        metrics: vec![declared],
        proofs: Vec::new(),
    }];
    card.points = points;
    card
}

fn of(card: &Card) -> Value {
    evaluate(card).get("m").expect("the declared metric").clone()
}

fn ns(round: u32, samples: Vec<f64>) -> Point {
    point("p", "q", round, Unit::Ns, samples)
}

fn quartile() -> Derive {
    Derive::Value(Select::of("q", &[]), Estimator::LowerQuartile)
}

#[test]
fn a_metric_is_the_median_over_rounds_with_their_spread() {
    let points = (0..5).map(|r| ns(r, vec![10.0 + 0.1 * f64::from(r), 50.0, 50.0])).collect();
    let value = of(&card(Unit::Ns, quartile(), points));
    assert_eq!((value.state, value.rounds), (State::Ok, 5));
    let quartile = |low: f64| low + 0.5 * (50.0 - low);
    assert_eq!(value.value, Some(quartile(10.2)));
    assert_eq!((value.low, value.high), (Some(quartile(10.0)), Some(quartile(10.4))));
}

#[test]
fn rounds_that_differ_by_more_than_five_percent_are_noisy() {
    let rounds = |last| vec![ns(0, vec![100.0; 3]), ns(1, vec![100.0; 3]), ns(2, vec![last; 3])];
    assert_eq!(of(&card(Unit::Ns, quartile(), rounds(103.0))).state, State::Ok);
    let noisy = of(&card(Unit::Ns, quartile(), rounds(106.0)));
    assert_eq!(noisy.state, State::Noisy);
    assert!(noisy.reason.unwrap().contains("3 rounds differ by 6.0 %"));
    assert_eq!(noisy.value, Some(100.0));
}

#[test]
fn few_rounds_must_agree_better_than_many() {
    let rounds = |n: u32, last: f64| {
        let value = |r| if r == 0 { last } else { 100.0 };
        of(&card(Unit::Ns, quartile(), (0..n).map(|r| ns(r, vec![value(r); 3])).collect()))
    };
    for (count, within, beyond) in [(2, 100.3, 100.5), (3, 103.5, 103.8), (5, 104.9, 105.1)] {
        assert_eq!(rounds(count, within).grade, Some(Grade::Within5), "{count}");
        assert_eq!(rounds(count, beyond).grade, Some(Grade::Within25), "{count}");
    }
    assert_eq!(rounds(2, 112.0).grade, Some(Grade::Within25));
    assert_eq!(rounds(2, 113.0).grade, Some(Grade::Wider));
    assert_eq!(rounds(5, 124.0).grade, Some(Grade::Within25));
    assert_eq!(rounds(5, 126.0).grade, Some(Grade::Wider));
    let one = rounds(1, 100.0);
    assert_eq!((one.state, one.grade, one.value), (State::Noisy, None, Some(100.0)));
    assert!(one.reason.unwrap().contains("one round"));
}

#[test]
fn what_is_next_to_nothing_excuses_no_spread_of_more() {
    let shares = |values: [f64; 3]| {
        let points =
            values.iter().zip(0..).map(|(v, r)| point("p", "q", r, Unit::Ratio, vec![*v; 3]));
        of(&card(Unit::Ratio, quartile(), points.collect())).grade
    };
    assert_eq!(shares([0.0, 0.001, 0.0]), Some(Grade::Within5));
    assert_eq!(shares([0.0100, 0.0088, 0.0102]), Some(Grade::Within25));
}

#[test]
fn a_property_takes_more_than_a_bare_majority() {
    let sizes = |values: [f64; 5]| {
        let points =
            values.iter().zip(0..).map(|(v, r)| point("p", "q", r, Unit::Bytes, vec![*v; 3]));
        let mut card = card(Unit::Bytes, quartile(), points.collect());
        card.header.declarations[0].metrics[0].better = Better::Same;
        of(&card)
    };
    let sure = sizes([4.0, 4.0, 4.0, 4.0, 7.0]);
    assert_eq!((sure.state, sure.value, sure.rounds), (State::Ok, Some(4.0), 4));
    let doubtful = sizes([4.0, 4.0, 4.0, 5.0, 7.0]);
    assert_eq!((doubtful.state, doubtful.grade), (State::Noisy, Some(Grade::Wider)));
}

#[test]
fn rounds_without_clean_samples_count_only_where_there_is_nothing_better() {
    let spoiled = |r, ns_per_op| Point { state: PointState::Noisy, ..ns(r, vec![ns_per_op; 2]) };
    let two_clean = vec![ns(0, vec![10.0; 9]), ns(1, vec![10.0; 9]), spoiled(2, 30.0)];
    let value = of(&card(Unit::Ns, quartile(), two_clean.clone()));
    assert_eq!((value.state, value.value, value.rounds), (State::Ok, Some(10.0), 2));
    // Two of five are too few to be sure of.
    let two_of_five = [two_clean, vec![spoiled(3, 31.0), spoiled(4, 29.0)]].concat();
    let value = of(&card(Unit::Ns, quartile(), two_of_five));
    assert_eq!((value.state, value.value, value.rounds), (State::Noisy, Some(10.0), 2));
    assert!(value.reason.unwrap().contains("2 of 5"));
    let one_clean = vec![ns(0, vec![10.0; 9]), spoiled(1, 30.0), spoiled(2, 30.0)];
    let value = of(&card(Unit::Ns, quartile(), one_clean));
    assert_eq!((value.state, value.value, value.rounds), (State::Noisy, Some(30.0), 3));
}

#[test]
fn nothing_accepted_is_unavailable_and_says_what_was_in_the_way() {
    let mut point = Point { state: PointState::Noisy, ..ns(0, vec![]) };
    (point.disturbances.sibling, point.disturbances.rejected) = (40, 44);
    let value = of(&card(Unit::Ns, quartile(), vec![point]));
    assert_eq!((value.state, value.value), (State::Unavailable, None));
    let reason = value.reason.unwrap();
    assert!(reason.contains("sibling was active in 40 of 44"), "{reason}");
}

#[test]
fn what_was_skipped_or_failed_gives_the_reason() {
    let mut skipped = card(Unit::Ns, quartile(), vec![]);
    let skip = Skip::new("2 CPUs", "there is one", "another");
    skipped.skips.push(Skip { probe: "p".into(), ..skip });
    assert_eq!(of(&skipped).reason.unwrap(), "needs 2 CPUs: there is one");
    let mut failed = card(Unit::Ns, quartile(), vec![]);
    let how = "killed by SIGSEGV".to_owned();
    failed.fails.push(Fail {
        cpu: None,
        probe: "p".into(),
        round: 0,
        cause: FailKind::Killed,
        how,
        stderr: String::new(),
    });
    assert_eq!(of(&failed).reason.unwrap(), "killed by SIGSEGV");
    let never = of(&card(Unit::Ns, quartile(), vec![]));
    assert_eq!(never.reason.unwrap(), "p was not measured in this run");
}

#[test]
fn a_probe_that_ran_says_which_metrics_it_skipped_a_part_for() {
    let mut card =
        card(Unit::Ns, Derive::Highest(Select::of("other", &[])), vec![ns(0, vec![1.0])]);
    let skip = |need: &str, metrics: &[&str]| {
        let skip = Skip::new(need, "there is one", "none").of(metrics);
        Skip { probe: "p".into(), ..skip }
    };
    card.skips.push(skip("2 CPUs for another thing", &[]));
    assert_eq!(of(&card).reason.unwrap(), "no other was recorded");
    card.skips.push(skip("AVX", &["n*", "x.m*"]));
    assert_eq!(of(&card).reason.unwrap(), "no other was recorded");
    card.skips.push(skip("a second node", &["l", "m"]));
    assert_eq!(of(&card).reason.unwrap(), "needs a second node: there is one");
}

#[test]
fn the_extremes_of_all_settings_are_those_of_clean_points() {
    let at = |n: i64, value: f64| with(ns(0, vec![value; 3]), &[("n", Param::Int(n))]);
    let spoiled = |n, value| Point { state: PointState::Noisy, ..at(n, value) };
    let points = vec![at(0, 5.0), at(1, 7.0), spoiled(2, 9.0), spoiled(3, 3.0)];
    let extreme = |from: fn(Select) -> Derive, points: &[Point]| {
        of(&card(Unit::Ns, from(Select::of("q", &[])), points.to_vec())).value
    };
    assert_eq!(extreme(Derive::Lowest, &points), Some(5.0));
    assert_eq!(extreme(Derive::Highest, &points), Some(7.0));
    assert_eq!(extreme(Derive::Highest, &points[2..]), Some(9.0));
    assert_eq!(extreme(Derive::Highest, &[]), None);
}

#[test]
fn cycles_come_from_the_clock_around_each_sample() {
    let points = |r| Point { core_ghz: vec![2.0, 4.0], ..ns(r, vec![10.0, 5.0]) };
    let value = of(&card(Unit::Cycles, quartile(), (0..3).map(points).collect()));
    assert_eq!(value.value, Some(20.0));
    // What is recorded in another unit stays.
    let ghz = |r| point("p", "q", r, Unit::Ghz, vec![3.7]);
    let value = of(&card(Unit::Ghz, quartile(), (0..3).map(ghz).collect()));
    assert_eq!(value.value, Some(3.7));
}

#[test]
fn a_time_without_a_clock_is_no_number_of_cycles() {
    let mut points: Vec<Point> =
        (0..3).map(|r| Point { core_ghz: vec![4.0], ..ns(r, vec![10.0; 3]) }).collect();
    points[1].core_ghz.clear();
    let value = of(&card(Unit::Cycles, quartile(), points.clone()));
    assert_eq!((value.value, value.low, value.rounds), (Some(40.0), Some(40.0), 2));
    let value = of(&card(Unit::Ns, quartile(), points.clone()));
    assert_eq!((value.value, value.rounds), (Some(10.0), 3));
    points.iter_mut().for_each(|p| p.core_ghz.clear());
    let value = of(&card(Unit::Cycles, quartile(), points));
    assert_eq!(value.value, None);
    assert!(value.reason.unwrap().contains("core clock beside q is not known"));
}

#[test]
fn a_metric_of_several_states_is_that_of_the_largest_and_its_interval_is_of_all_rounds() {
    let rounds = [1.93, 2.17, 1.93, 2.17, 2.17, 1.93];
    let points = rounds.iter().zip(0..).map(|(v, r)| ns(r, vec![*v; 3])).collect();
    let value = of(&card(Unit::Ns, quartile(), points));
    // As many rounds: the better one.
    assert_eq!((value.value, value.low, value.high), (Some(1.93), Some(1.93), Some(2.17)));
    assert_eq!((value.state, value.grade), (State::Noisy, Some(Grade::Within25)));
    let states: Vec<(f64, u32)> = value.states.iter().map(|s| (s.value, s.rounds)).collect();
    assert_eq!(states, [(1.93, 3), (2.17, 3)]);
    assert!(value.states.iter().all(|s| s.share == 0.5));
    let even = [10.0, 10.1, 27.0, 105.0];
    let points = even.iter().zip(0..).map(|(v, r)| ns(r, vec![*v; 3])).collect();
    let value = of(&card(Unit::Ns, quartile(), points));
    assert_eq!((value.value, value.grade), (Some(10.1), Some(Grade::Wider)));
    assert!(value.states.is_empty());
}

#[test]
fn the_median_of_samples_is_that_of_their_largest_state() {
    let samples = |low: usize| [vec![10.0; low], vec![27.0; 10 - low]].concat();
    let median = || Derive::Value(Select::of("q", &[]), Estimator::Median);
    let points: Vec<Point> = [5, 5, 9].iter().zip(0..).map(|(n, r)| ns(r, samples(*n))).collect();
    let value = of(&card(Unit::Ns, median(), points.clone()));
    assert_eq!((value.value, value.low, value.high), (Some(10.0), Some(10.0), Some(10.0)));
    let shares: Vec<(f64, u32)> = value.states.iter().map(|s| (s.share, s.rounds)).collect();
    assert_eq!(shares, [(19.0 / 30.0, 3), (11.0 / 30.0, 3)]);
    // A rate of it has the states of the rate.
    let rate = of(&card(Unit::Gbs, Derive::Rate(270.0, vec![median()]), points));
    let rates: Vec<f64> = rate.states.iter().map(|s| s.value).collect();
    assert_eq!((rate.value, rates), (Some(27.0), vec![10.0, 27.0]));
}

/// A step at `line` in the quantity of the given name, in two rounds.
fn steps(name: &str, line: i64) -> Vec<Point> {
    let all = (0..2).flat_map(|round| (1..=32).map(move |i| (round, i * 8)));
    all.map(|(round, distance)| {
        let height = if distance < line { 50.0 } else { 5.0 };
        let point = point("p", name, round, Unit::Ns, vec![height; 5]);
        with(point, &[("distance", Param::Int(distance))])
    })
    .collect()
}

fn vote_of(lines: [i64; 3]) -> Value {
    let names = ["first", "second", "third"];
    let method = |name: &'static str| Derive::StepDown(Select::of(name, &[]), "distance".into());
    let from = Derive::Vote(names.map(method).to_vec());
    let points = names.iter().zip(lines).flat_map(|(name, line)| steps(name, line)).collect();
    of(&card(Unit::Bytes, from, points))
}

#[test]
fn a_vote_needs_a_majority_and_reports_dissent() {
    let agreed = vote_of([64, 64, 64]);
    assert_eq!((agreed.state, agreed.value), (State::Ok, Some(64.0)));
    assert_eq!(agreed.reason.unwrap(), "3 of 3 methods agree");
    let outvoted = vote_of([64, 64, 128]);
    assert_eq!((outvoted.state, outvoted.value), (State::Ok, Some(64.0)));
    let note = outvoted.reason.unwrap();
    assert!(note.contains("2 of 3 methods agree") && note.contains("third says 128"), "{note}");
    let split = vote_of([64, 128, 192]);
    assert_eq!((split.state, split.value), (State::Inconsistent, None));
    let reason = split.reason.unwrap();
    assert!(reason.contains("first says 64"), "{reason}");
}

#[test]
fn three_methods_that_agree_are_sure_however_noisy_their_points() {
    let names = ["first", "second", "third"];
    let method = |name: &'static str| Derive::StepDown(Select::of(name, &[]), "distance".into());
    let vote = |methods: &[&'static str]| {
        let from = Derive::Vote(methods.iter().map(|n| method(n)).collect());
        let mut points: Vec<Point> = names.iter().flat_map(|name| steps(name, 64)).collect();
        points.iter_mut().for_each(|p| p.state = PointState::Noisy);
        of(&card(Unit::Bytes, from, points)).state
    };
    assert_eq!(vote(&names), State::Ok);
    assert_eq!(vote(&names[..2]), State::Noisy);
}

#[test]
fn what_is_in_cycles_of_a_clock_that_is_not_known_is_inconsistent() {
    let in_round = |r, unit, doubted| Point {
        core_ghz: vec![if doubted { 1.9 } else { 3.7 }],
        clock_doubt: doubted.then(|| "2.40 additions".into()),
        ..point("p", "q", r, unit, vec![if doubted { 5.0 } else { 10.0 }; 3])
    };
    let value = |points, of_metric| of(&card(of_metric, quartile(), points));
    let rounds = |unit, first| (0..3).map(|r| in_round(r, unit, r >= first)).collect();
    for (unit, of_metric) in [(Unit::Ns, Unit::Cycles), (Unit::Ghz, Unit::Ghz)] {
        let all = value(rounds(unit, 0), of_metric);
        assert_eq!(all.state, State::Inconsistent, "{of_metric:?}");
        assert!(all.value.is_some() && all.reason.unwrap() == "2.40 additions");
        // Beside rounds that know it, the others do not count.
        let one = value(rounds(unit, 2), of_metric);
        let right = if of_metric == Unit::Ghz { 10.0 } else { 37.0 };
        assert_eq!((one.state, one.value), (State::Ok, Some(right)), "{of_metric:?}");
    }
    // The time itself is as good as ever.
    let alike = (0..3).map(|r| Point { samples: vec![7.0; 3], ..in_round(r, Unit::Ns, true) });
    assert_eq!(value(alike.collect(), Unit::Ns).state, State::Ok);
}

#[test]
fn a_method_without_an_answer_does_not_vote() {
    // 1000 bytes: beyond the sweep, so that this curve has no step.
    let value = vote_of([64, 64, 1000]);
    assert_eq!((value.state, value.value), (State::Ok, Some(64.0)));
    assert!(value.reason.unwrap().contains("third has no answer"));
}

#[test]
fn a_step_that_no_line_has_is_no_answer() {
    let from = || Derive::StepDown(Select::of("step", &[]), "distance".into());
    for from in [from(), Derive::Times(2.0, vec![from()])] {
        let value = of(&card(Unit::Bytes, from, steps("step", 72)));
        assert_eq!((value.state, value.value), (State::Inconsistent, None));
        assert_eq!(value.reason.unwrap(), "a step at 72 bytes, which no line is long");
    }
    // A distance that is none of memory may be any.
    assert_eq!(of(&card(Unit::Count, from(), steps("step", 72))).value, Some(72.0));
    // One round of many is outvoted, and such votes do not count.
    let mut rounds: Vec<Point> = Vec::new();
    for (round, line) in [64, 72, 64, 64].into_iter().enumerate() {
        let at = |point| Point { round: round as u32, ..point };
        rounds.extend(steps("step", line).into_iter().map(at));
    }
    let value = of(&card(Unit::Bytes, from(), rounds));
    assert_eq!((value.state, value.value), (State::Ok, Some(64.0)));
    let value = vote_of([72, 72, 64]);
    assert_eq!(value.value, None);
    assert!(value.reason.unwrap().contains("first has no answer (a step at 72 bytes"));
}

#[test]
fn slope_and_intercept_of_a_line() {
    let points: Vec<Point> = [0, 4, 8, 16]
        .into_iter()
        .map(|d| with(ns(0, vec![7.0 + 0.5 * d as f64; 3]), &[("delay", Param::Int(d))]))
        .collect();
    let delay = || Text::Borrowed("delay");
    let twice = |from| Derive::Times(2.0, vec![from]);
    let slope = twice(Derive::Slope(Select::of("q", &[]), delay()));
    let intercept = twice(Derive::Intercept(Select::of("q", &[]), delay()));
    assert!((of(&card(Unit::Ns, slope, points.clone())).value.unwrap() - 1.0).abs() < 1e-9);
    assert!((of(&card(Unit::Ns, intercept, points)).value.unwrap() - 14.0).abs() < 1e-9);
}

#[test]
fn differences_quotients_and_malformed_declarations() {
    const A: &[(&str, &str)] = &[("arm", "a")];
    const B: &[(&str, &str)] = &[("arm", "b")];
    let arm = |name, value| with(ns(0, vec![value; 3]), &[("arm", Param::from(name))]);
    let points = vec![arm("a", 12.0), arm("b", 4.0)];
    let parts = || [A, B].map(|s| Derive::Value(Select::of("q", s), Estimator::Median)).to_vec();
    let value = |from| of(&card(Unit::Ns, from, points.clone()));
    assert_eq!(value(Derive::Difference(parts())).value, Some(8.0));
    assert_eq!(value(Derive::Quotient(parts())).value, Some(3.0));
    let malformed = value(Derive::Quotient(parts()[..1].to_vec()));
    assert!(malformed.reason.unwrap().contains("malformed"));
}

#[test]
fn two_states_are_told_apart_over_all_rounds_and_never_averaged() {
    // Three rounds met the fast state only, one met both half and half.
    let fast = |i: usize| 17.0 + 0.01 * (i % 7) as f64;
    let slow = |i: usize| 22.0 + 0.01 * (i % 7) as f64;
    let mut points: Vec<Point> = (0..3).map(|r| ns(r, (0..20).map(fast).collect())).collect();
    points.push(ns(3, (0..20).map(|i| if i < 10 { fast(i) } else { slow(i) }).collect()));
    let value = |from| of(&card(Unit::Ns, from, points.clone()));
    let select = || Select::of("q", &[]);
    let mode = |mode| value(Derive::ModeValue(select(), mode));
    assert!((mode(Mode::Fast).value.unwrap() - 17.0).abs() < 0.1);
    let slow = mode(Mode::Slow);
    assert!((slow.value.unwrap() - 22.0).abs() < 0.1);
    assert_eq!(slow.rounds, 1, "only one round met it");
    let share = value(Derive::SlowShare(select()));
    assert_eq!(share.value, Some(10.0 / 80.0), "of all samples together");
    assert_eq!((share.low, share.high), (Some(0.0), Some(0.5)), "and each round has its own");
    assert_eq!(share.grade, Some(Grade::Wider));
    // One state only: there is no slow one.
    points.pop();
    let one = of(&card(Unit::Ns, Derive::ModeValue(select(), Mode::Slow), points));
    assert_eq!(one.state, State::Unavailable);
    assert!(one.reason.unwrap().contains("one state only"));
}

/// The declared metrics of a real probe over a made-up latency curve.
fn staircase(l3_end: f64, end: f64) -> Card {
    let mut card = blank("test");
    card.header.declarations = vec![declared("memory-latency")];
    let height = |bytes: f64| match bytes {
        b if b <= 32.0 * 1024.0 => 1.0,
        b if b <= 1024.0 * 1024.0 => 3.5,
        b if b <= l3_end => 12.5,
        _ => 110.0,
    };
    for (round, variant) in
        (0..5).flat_map(|r| ["random_2m", "random_4k"].map(move |variant| (r, variant)))
    {
        let sizes = (0..).map(|i| 4096.0 * (f64::from(i) / 4.0).exp2());
        for bytes in sizes.take_while(|&b| b <= end) {
            let mut point =
                point("memory-latency", "latency", round, Unit::Ns, vec![height(bytes); 9]);
            point.core_ghz = vec![4.0];
            let params =
                [("variant", Param::from(variant)), ("working_set", Param::from(bytes as u64))];
            card.points.push(with(point, &params));
        }
    }
    card
}

#[test]
fn a_staircase_gives_plateaus_in_both_units_and_capacities() {
    let card = staircase(16.0 * 1024.0 * 1024.0, 128.0 * 1024.0 * 1024.0);
    let metrics = evaluate(&card);
    for (id, expected) in [
        ("memory.latency.l1_cycles", 4.0),
        ("memory.latency.l2_cycles", 14.0),
        ("memory.latency.l3_ns", 12.5),
        ("memory.latency.dram_ns", 110.0),
        ("memory.latency.dram_4k_cycles", 440.0),
        ("cache.l1d_knee_bytes", 32.0 * 1024.0),
        ("cache.l2_knee_bytes", 1024.0 * 1024.0),
        ("cache.l3_knee_bytes", 16.0 * 1024.0 * 1024.0),
    ] {
        let value = metrics.get(id).unwrap();
        assert_eq!((value.state, value.value), (State::Ok, Some(expected)), "{id}");
    }
    let read = metrics.get("memory.read_1m_sequential_ns").unwrap();
    assert_eq!(read.state, State::Unavailable);
    let select = Select::of("latency", &[]);
    let levels: Vec<Level> =
        plateaus(&card, "memory-latency", &select).iter().map(|p| p.level).collect();
    assert_eq!(levels, [Level::L1, Level::L2, Level::L3, Level::Dram]);
}

#[test]
fn many_rounds_are_not_noisier_than_few() {
    let rounds = |n: u32| {
        let odd = |r| if r == 0 { 120.0 } else { 100.0 + 0.1 * f64::from(r) };
        (0..n).map(|r| ns(r, vec![odd(r); 3])).collect::<Vec<_>>()
    };
    assert_eq!(of(&card(Unit::Ns, quartile(), rounds(5))).state, State::Noisy);
    assert_eq!(of(&card(Unit::Ns, quartile(), rounds(11))).state, State::Ok);
}

#[test]
fn a_sweep_that_ends_early_claims_no_main_memory() {
    // The machine claims 32 MiB of cache; what looks like memory at 48 MiB may be that.
    let doubtful = evaluate(&staircase(16.0 * 1024.0 * 1024.0, 48.0 * 1024.0 * 1024.0));
    let dram = doubtful.get("memory.latency.dram_ns").unwrap();
    assert!(dram.reason.as_ref().unwrap().contains("twice the claimed last cache"));
    let metrics = evaluate(&staircase(16.0 * 1024.0 * 1024.0, 8.0 * 1024.0 * 1024.0));
    let dram = metrics.get("memory.latency.dram_ns").unwrap();
    assert_eq!(dram.state, State::Unavailable);
    let l3 = metrics.get("cache.l3_knee_bytes").unwrap();
    assert!(l3.reason.as_ref().unwrap().contains("ended before"), "{l3:?}");
}

#[test]
fn a_curve_takes_all_rounds_together() {
    let card = staircase(16.0 * 1024.0 * 1024.0, 128.0 * 1024.0 * 1024.0);
    const VARIANT: &[(&str, &str)] = &[("variant", "random_2m")];
    let select = Select::of("latency", VARIANT);
    let curve = series::curve(&card, "memory-latency", &select, "working_set");
    assert_eq!(curve.len(), 15 * 4 + 1);
    assert!(curve.windows(2).all(|w| w[0].x < w[1].x));
    assert_eq!((curve[0].low, curve[0].value, curve[0].high), (1.0, 1.0, 1.0));
}

#[test]
fn settings_are_medians_over_the_rounds_of_one_probe() {
    let at = |round, probe: &str, size: u64, ns: f64| {
        let mut point = point(probe, "q", round, Unit::Ns, vec![ns; 3]);
        point.core_ghz = vec![2.0];
        with(point, &[("size", Param::from(size)), ("width", Param::from("avx"))])
    };
    let mut card = blank("test");
    card.points = vec![at(0, "p", 64, 3.0), at(1, "p", 64, 5.0), at(2, "p", 64, 4.0)];
    card.points.extend([at(0, "p", 8, 1.0), at(0, "other", 64, 9.0)]);
    // What cannot be drawn is no setting.
    card.points.extend([at(0, "p", 128, f64::NAN), at(0, "p", 256, 0.0)]);
    let found = series::settings(&card, "p", "q");
    assert_eq!(found.iter().map(|s| s.int("size")).collect::<Vec<_>>(), [Some(8), Some(64)]);
    let s = &found[1];
    assert_eq!((s.value, s.low, s.high, s.cycles), (4.0, 3.0, 5.0, Some(8.0)));
    assert!(s.is("width", "avx") && !s.is("width", "sse") && s.int("width").is_none());
}

#[test]
fn a_share_of_what_is_published_needs_the_microarchitecture() {
    let part = vec![quartile()];
    let id = "simd.peak.f32_fma_flops_per_cycle".into();
    // The blank card is of a Zen 5, for which 64 are published.
    let mut card = card(
        Unit::Ratio,
        Derive::OfPublished(part, id),
        vec![ns(0, vec![32.0]), ns(1, vec![32.0])],
    );
    assert_eq!(of(&card).value, Some(0.5));
    card.header.machine.cpu.microarchitecture = Default::default();
    let unknown = of(&card);
    assert_eq!(unknown.state, State::Unavailable);
    assert!(unknown.reason.unwrap().contains("nothing is published"));
}

#[test]
fn a_quotient_is_of_cycles_or_of_nanoseconds_and_never_of_both() {
    let at = |how| Derive::Value(Select::of("q", &[("how", how)]), Estimator::Median);
    let quotient = Derive::Quotient(vec![at("switch"), at("call")]);
    let how = |point, how: &str| with(point, &[("how", Param::from(how))]);
    let mut points = Vec::new();
    for round in 0..3 {
        points.push(how(ns(round, vec![300.0; 5]), "switch"));
        let call = how(ns(round, vec![2.0; 5]), "call");
        points.push(Point { core_ghz: vec![4.0], ..call });
    }
    let of = |points: Vec<Point>| of(&card(Unit::Ratio, quotient.clone(), points)).value;
    assert_eq!(of(points.clone()), Some(150.0));
    // Where both are known in cycles, a clock that wandered in between does not matter.
    for point in points.iter_mut().filter(|p| p.core_ghz.is_empty()) {
        point.core_ghz = vec![2.0];
    }
    assert_eq!(of(points), Some(75.0));
}
