//! The cards of machines that are not at hand, as files for `scripts/gallery.sh`: recorded ones, and what
//! the tests make of them. `cargo run --example cards DIR`.

use std::path::Path;

use card::file::{Card, Line, Writer};
use card::fixture;

fn main() -> anyhow::Result<()> {
    let folder = std::env::args().nth(1);
    let folder = folder.ok_or_else(|| anyhow::anyhow!("name a directory for the cards"))?;
    let cards = [
        ("two-nodes", fixture::two_nodes().card),
        ("neon", fixture::neon().card),
        ("sve", fixture::sve().card),
        ("counted", fixture::counted().card),
        ("failures", fixture::summary().card),
        ("16-cpus", with_cpus(16)),
        ("512-cpus", with_cpus(512)),
        ("nothing-measured", fixture::empty().card),
    ];
    for (name, card) in cards {
        write(&Path::new(&folder).join(format!("{name}.card.jsonl")), card)?;
    }
    Ok(())
}

/// The recorded card with so many CPUs at one line.
fn with_cpus(cpus: usize) -> Card {
    let many = fixture::cores(cpus).card;
    let mut card = fixture::recorded().card;
    card.header.machine.topology = many.header.machine.topology;
    card.points.retain(|p| !["false-sharing", "core-to-core"].contains(&p.probe.as_str()));
    card.points.extend(many.points);
    card
}

fn write(path: &Path, card: Card) -> anyhow::Result<()> {
    let mut writer = Writer::create(path, &card.header, true)?;
    let Card { points, skips, fails, rounds, end, .. } = card;
    let lines = points.into_iter().map(Line::Point);
    let lines = lines.chain(skips.into_iter().map(Line::Skip));
    let lines = lines.chain(fails.into_iter().map(Line::Fail));
    let lines = lines.chain(rounds.into_iter().map(Line::Round));
    for line in lines.chain(end.map(Line::End)) {
        writer.append(line)?;
    }
    Ok(())
}
