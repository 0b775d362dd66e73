//! Every CPU by itself.

use std::collections::BTreeMap;
use std::process::Command;

use card::machine::Machine;
use card::record::FailKind;

use crate::common::program;
use crate::common::run::{Run, number, quick};
use crate::common::turn::{alone, beside_others};

#[test]
fn every_cpu_is_visited_in_every_round_and_ranked() {
    let _turn = alone();
    let out = tempfile::tempdir().unwrap();
    let mut command = Command::new(program());
    command.args(["run", "--tier", "quick", "--each-cpu"]);
    let run = Run::into(out.path(), &mut command);
    let allowed = run.card.header.machine.allowed_cpus().to_vec();
    let mut visits: BTreeMap<i64, u32> = BTreeMap::new();
    for point in run.points("core_ghz") {
        assert_eq!(point.probe, "each-cpu");
        *visits.entry(number(point, "cpu").unwrap()).or_default() += 1;
    }
    let seen: Vec<usize> = visits.keys().map(|&cpu| usize::try_from(cpu).unwrap()).collect();
    assert_eq!(seen, allowed);
    assert!(visits.values().all(|&visits| visits == 3), "{visits:?}");
    // On a busy machine a visit may find no quiet moment, but the clock is always there.
    let ratio = run.metrics.number("each_cpu.core_ghz_ratio").unwrap();
    assert!(ratio > 0.0 && ratio <= 1.0, "{ratio}");
    run.answers_everything();
    let (text, first) = (run.text(), format!("CPU {}", allowed[0]));
    assert!(text.contains("Every CPU") && text.contains(&first), "{text}");

    let shown = Command::new(program()).arg("show").arg("--json").arg(&run.path).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let rows = json["each_cpu"].as_array().unwrap();
    let mut cpus: Vec<u64> = rows.iter().map(|row| row["cpu"].as_u64().unwrap()).collect();
    cpus.sort_unstable();
    assert_eq!(cpus, allowed.iter().map(|&cpu| cpu as u64).collect::<Vec<u64>>());
    assert!(
        rows[0]["traits"]["core_ghz"]["value"].is_f64() && rows[0]["pace"].is_f64(),
        "{rows:?}"
    );
}

#[test]
fn a_wrong_answer_is_caught_on_the_cpu_that_gave_it() {
    let _turn = beside_others();
    let last = *Machine::detect().allowed_cpus().last().unwrap();
    let out = tempfile::tempdir().unwrap();
    let output = quick(&["fault-wrong-cpu"]).arg("--out").arg(out.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "a wrong answer is no success");
    let run = Run::ended(output, out.path());
    assert_eq!(run.card.fails.len(), 3);
    for fail in &run.card.fails {
        assert_eq!((fail.cpu, fail.cause), (Some(last), FailKind::Corruption));
    }
    let named = format!("fault-wrong-cpu on CPU {last}: wrong answer");
    assert!(run.text().contains(&named), "{}", run.text());
    // The others were measured.
    let elsewhere = run.points("core_ghz").filter(|p| number(p, "cpu") != Some(last as i64));
    assert_eq!(elsewhere.count(), 3 * (run.card.header.machine.allowed_cpus().len() - 1));
    assert!(run.points("flop").all(|p| number(p, "cpu") != Some(last as i64)));
}
