//! CPUs that are slower than their like.

use super::Finding;
use crate::file::Card;
use crate::format;
use crate::machine::format_list;
use crate::view::each_cpu::{Cpu, Slow, Trait, ranked};

/// CPUs that get a sentence each; of more the numbers are enough.
const MOST: usize = 4;

pub(super) fn find(card: &Card) -> Vec<Finding> {
    let slow: Vec<Cpu> = ranked(card).into_iter().filter(|cpu| !cpu.slow.is_empty()).collect();
    let mut found: Vec<Finding> = slow.iter().take(MOST).map(|cpu| one(card, cpu)).collect();
    if let Some(rest) = slow.get(MOST..).filter(|rest| !rest.is_empty()) {
        let mut numbers: Vec<usize> = rest.iter().map(|cpu| cpu.cpu).collect();
        numbers.sort_unstable();
        let (count, list) = (rest.len(), format_list(&numbers));
        let headline = format!("{count} more CPUs are slower than their kind: {list}");
        let measured = format!("{count} more are slower: {list}");
        found.push(Finding::claim(CODE, headline, ALIKE, measured));
    }
    found
}

const CODE: &str = "SLOW_CPU";

/// What is expected of CPUs of one kind.
const ALIKE: &str = "CPUs alike";

fn one(card: &Card, cpu: &Cpu) -> Finding {
    let at = |slow: &Slow| {
        let number = |value| format!("{} {}", format::number(value), slow.at.unit());
        let value = cpu.traits.get(&slow.at).map_or(f64::NAN, |spread| spread.value);
        format!(
            "{} {}, {:.0} % behind the median {} of {}",
            slow.at.title(),
            number(value),
            100.0 * (1.0 - slow.pace),
            number(slow.usual),
            slow.kind
        )
    };
    let name = card.header.machine.cpu_name(cpu.cpu);
    let measured = cpu.slow.iter().map(at).collect::<Vec<String>>().join("; ");
    let worst = cpu.slow.iter().map(|slow| 1.0 - slow.pace).fold(0.0, f64::max);
    let headline = format!("{name} is {:.0} % slower than the others of its kind", 100.0 * worst);
    let metric = |slow: &Slow| match slow.at {
        Trait::CoreGhz => "each_cpu.core_ghz_ratio",
        Trait::L1Load => "each_cpu.l1_ratio",
        Trait::Branch => "each_cpu.branch_ratio",
        Trait::Flop => "each_cpu.simd_ratio",
    };
    let metrics: Vec<&str> = cpu.slow.iter().map(metric).collect();
    let found = Finding::claim(CODE, headline, ALIKE, format!("{name} slower"));
    found.cause(format!("in all rounds {measured}")).of(&metrics)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::each_cpu::tests::card;

    #[test]
    fn a_slow_cpu_is_named_with_what_it_is_slow_at_and_many_are_listed() {
        let usual = |cpu| (cpu, 3.5, 3.0, 4.0);
        let found = find(&card(&[usual(0), usual(1), usual(2), (5, 3.2, 3.0, 4.4)]));
        let text = found[0].text();
        assert!(found.len() == 1 && text.starts_with("CPU 5 is 9 % slower"), "{found:?}");
        assert!(
            text.contains("core clock 3.21 GHz, 9 % behind the median 3.51 GHz of 4"),
            "{text}"
        );
        assert!(text.contains("load from L1 4.41 cycles"), "{text}");
        assert_eq!(found[0].evidence, ["each_cpu.core_ghz_ratio", "each_cpu.l1_ratio"]);
        let many = (0..20).map(|cpu| (cpu, if cpu < 6 { 3.0 } else { 3.5 }, 3.0, 4.0));
        let found = find(&card(&many.collect::<Vec<_>>()));
        assert_eq!(found.len(), 5);
        assert_eq!(found[4].headline, "2 more CPUs are slower than their kind: 4-5");
    }
}
