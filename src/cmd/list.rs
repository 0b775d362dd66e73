//! `probecard list`.

use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets};
use probecard_probes::catalog;
use probecard_probes::machine::Machine;
use probecard_probes::probe::{Declaration, Probe};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print the declarations of all probes and metrics as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let text = if args.json {
        let all: Vec<Declaration> = catalog::ALL.iter().map(|p| p.declaration()).collect();
        serde_json::to_string_pretty(&all)?
    } else {
        table(&Machine::detect())
    };
    super::print(&format!("{text}\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn table(machine: &Machine) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(u16::try_from(super::width()).unwrap_or(80))
        .set_header(["probe", "metrics", "here", "what it measures"]);
    for probe in catalog::ALL {
        table.add_row([
            probe.name.to_owned(),
            probe.metrics.len().to_string(),
            obstacle(probe, machine).unwrap_or_else(|| "yes".into()),
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
