//! `probecard list`.

use std::process::ExitCode;

use card::declare::Declaration;
use card::machine::Machine;
use comfy_table::{ContentArrangement, Table, presets};
use probecard_probes::catalog;
use probecard_probes::probe::Probe;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print the declarations of all probes and metrics as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.json {
        super::print_json(&format!("{}\n", json(&declarations())?))?;
    } else {
        super::print(&format!("{}\n", table(&probecard_probes::run::machine())))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What every probe declares.
fn declarations() -> Vec<Declaration> {
    catalog::ALL.iter().chain(catalog::ASKED).map(|p| p.declaration()).collect()
}

/// A probe, a metric or a proof on each line: as good to compare as to parse.
fn json(all: &[Declaration]) -> anyhow::Result<String> {
    let items = |items: &serde_json::Value| -> Vec<String> {
        items.as_array().into_iter().flatten().map(|item| format!("   {item}")).collect()
    };
    let probe = |declaration: &Declaration| -> anyhow::Result<String> {
        let fields: Vec<String> = serde_json::to_value(declaration)?
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| match value {
                serde_json::Value::Array(_) => {
                    format!("  \"{name}\": [\n{}\n  ]", items(value).join(",\n"))
                }
                _ => format!("  \"{name}\": {value}"),
            })
            .collect();
        Ok(format!(" {{\n{}\n }}", fields.join(",\n")))
    };
    let probes = all.iter().map(probe).collect::<anyhow::Result<Vec<String>>>()?;
    Ok(format!("[\n{}\n]", probes.join(",\n")))
}

fn table(machine: &Machine) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(u16::try_from(super::width()).unwrap_or(80))
        .set_header(["probe", "metrics", "here", "what it measures"]);
    for probe in catalog::ALL.iter().chain(catalog::ASKED) {
        table.add_row([
            probe.name.to_owned(),
            probe.declaration().metrics.len().to_string(),
            obstacle(probe, machine).unwrap_or_else(|| {
                if catalog::EACH_CPU == probe.name { "by --each-cpu".into() } else { "yes".into() }
            }),
            probe.summary.to_owned(),
        ]);
    }
    table.trim_fmt()
}

/// Why a probe cannot run here, if so.
pub(super) fn obstacle(probe: &Probe, machine: &Machine) -> Option<String> {
    let unmet = probe.needs.iter().find_map(|n| n.unmet(machine))?;
    Some(format!("no: needs {}, but {}", unmet.need, unmet.reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readers rely on ids and on how metrics are derived: what changes here is on purpose, and in
    /// the file that `probecard list --json` writes.
    #[test]
    fn declarations_are_those_that_are_kept() {
        // Names of metrics say the kernel's page size.
        if std::env::consts::ARCH != "x86_64" {
            return;
        }
        let now = json(&declarations()).unwrap() + "\n";
        let kept = include_str!("../../card/src/declarations.json");
        for (now, kept) in now.lines().zip(kept.lines()) {
            assert_eq!(now, kept);
        }
        assert_eq!(now.len(), kept.len());
    }
}
