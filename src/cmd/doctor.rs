//! `probecard doctor`.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use card::machine::{Collection, Entry, Files, Machine, human_bytes};
use comfy_table::{ContentArrangement, Table, presets};
use probecard_probes::catalog;
use probecard_probes::harness::counters::EventFile;
use probecard_probes::run::checkup::{self, Check};
use probecard_probes::run::counter_support;
use probecard_probes::threads::pinning;

use super::list::obstacle;
use crate::archive;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print the checks and the machine as JSON.
    #[arg(long)]
    json: bool,
    /// File that says how this CPU calls its events, for a design that this program does not know.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Not this machine, but the one whose /proc, /sys and /etc were collected in this directory, or
    /// in the file that --gather wrote.
    #[arg(long, value_name = "DIR|FILE", conflicts_with_all = ["events", "gather"])]
    root: Option<PathBuf>,
    /// Collect, for a report of a fault, the files that the facts of this machine come from, without
    /// its name, serial numbers, UUIDs and hardware addresses.
    #[arg(long, value_name = "FILE.tar.zst", conflicts_with_all = ["events", "json"])]
    gather: Option<PathBuf>,
    /// Let the name of the host stay in what is gathered.
    #[arg(long, requires = "gather")]
    with_host_name: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let text = match (&args.gather, &args.root) {
        (Some(file), _) => gather(file, args.with_host_name)?,
        (None, Some(root)) => described(root, args.json)?,
        (None, None) => here(args)?,
    };
    let text = format!("{text}\n");
    if args.json {
        super::print_json(&text)?
    } else {
        super::print(&text)?
    }
    Ok(ExitCode::SUCCESS)
}

/// The machine that runs this.
fn here(args: &Args) -> anyhow::Result<String> {
    // Before anything spins, as in a run.
    let left_class = probecard_probes::run::leave_real_time();
    let mut machine = probecard_probes::run::machine();
    // The kind of core that would be measured: its facts, its counters.
    if let Some(&cpu) = machine.most_capable().first() {
        pinning::pin(cpu);
        machine.turn_to(cpu);
    }
    let events = args.events.as_deref().map(EventFile::read).transpose()?;
    let counters = counter_support::take(&machine, events.as_ref());
    let mut checks = checkup::all(&machine, &counters);
    checks.extend(checkup::scheduler(left_class));
    if args.json {
        let all = serde_json::json!({"machine": machine, "counters": counters, "checks": checks});
        return Ok(serde_json::to_string_pretty(&all)?);
    }
    Ok(text(&machine, &checks, false))
}

/// The machine whose files were collected there.
fn described(root: &Path, json: bool) -> anyhow::Result<String> {
    let files = if root.is_dir() {
        let any = ["proc", "sys"].iter().any(|folder| root.join(folder).is_dir());
        anyhow::ensure!(
            any,
            "{} has neither proc nor sys; give the directory that they were collected in",
            root.display()
        );
        Files::new(root)
    } else {
        Files::collected(archive::unpack(root)?)
    };
    let machine = Machine::described_by(&files);
    let checks = [checkup::memory(&machine)];
    if json {
        let all = serde_json::json!({"machine": machine, "checks": checks});
        return Ok(serde_json::to_string_pretty(&all)?);
    }
    Ok(text(&machine, &checks, true))
}

/// Writes what detection reads here; says what that was and what was left out.
fn gather(path: &Path, with_host_name: bool) -> anyhow::Result<String> {
    let mut collected = Collection::gather();
    let mut left_out = collected.anonymise(with_host_name);
    let bytes = archive::pack(&collected)?;
    let written = File::create_new(path).and_then(|mut file| {
        // Nothing half is left.
        file.write_all(&bytes).inspect_err(|_| _ = fs::remove_file(path))
    });
    written.with_context(|| format!("cannot write {}; give another name", path.display()))?;
    let of_kind = |kind: fn(&Entry) -> bool| collected.entries().filter(move |(_, e)| kind(e));
    let denied = of_kind(|entry| *entry == Entry::Denied).map(|(path, _)| path.to_owned());
    left_out.extend(denied.map(|path| format!("{path} (permission denied)")));
    if left_out.is_empty() {
        left_out.push("nothing".into());
    }
    Ok(format!(
        "wrote {} ({}): {} files, those of /proc, /sys and /etc that the facts of this machine come \
         from\nleft out: {}\nwhat it tells: probecard doctor --root {}",
        path.display(),
        human_bytes(bytes.len() as u64),
        of_kind(|entry| matches!(entry, Entry::File(_))).count(),
        left_out.join(", "),
        path.display()
    ))
}

fn text(machine: &Machine, checks: &[Check], from_files: bool) -> String {
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
    if from_files {
        found.add_row(["", "all others", "not known from files: they try the machine itself"]);
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
