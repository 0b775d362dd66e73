//! `probecard doctor`.

use std::path::PathBuf;
use std::process::ExitCode;

use card::machine::Machine;
use comfy_table::{ContentArrangement, Table, presets};
use probecard_probes::catalog;
use probecard_probes::harness::counters::EventFile;
use probecard_probes::run::checkup::{self, Check};
use probecard_probes::run::counter_support;

use super::list::obstacle;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print the checks and the machine as JSON.
    #[arg(long)]
    json: bool,
    /// File that says how this CPU calls its events, for a design that this program does not know.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let machine = probecard_probes::run::machine();
    let events = args.events.as_deref().map(EventFile::read).transpose()?;
    let counters = counter_support::take(&machine, events.as_ref());
    let checks = checkup::all(&machine, &counters);
    if args.json {
        let all = serde_json::json!({"machine": machine, "counters": counters, "checks": checks});
        super::print_json(&format!("{all:#}\n"))?;
    } else {
        super::print(&format!("{}\n", text(&machine, &checks)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(machine: &Machine, checks: &[Check]) -> String {
    let mut facts = table();
    for row in machine.rows() {
        facts.add_row([row.label, row.value]);
    }
    let mut found = table();
    for check in checks {
        let remedy = check.remedy.iter().map(|r| format!("\n→ {r}"));
        let said = remedy.fold(check.found.clone(), |text, r| text + &r);
        found.add_row([if check.good { "ok" } else { "!!" }, check.what, &said]);
    }
    let mut probes = table();
    for probe in catalog::ALL {
        let here = obstacle(probe, machine).unwrap_or_else(|| "can run".into());
        probes.add_row([probe.name.to_owned(), here]);
    }
    format!(
        "{}\n\nMachine\n{}\n\nChecks\n{}\n\nProbes\n{}",
        machine.title(),
        facts.trim_fmt(),
        found.trim_fmt(),
        probes.trim_fmt()
    )
}

fn table() -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(u16::try_from(super::width()).unwrap_or(80));
    table
}
