//! One file per subcommand: its arguments and one `run`.

mod child;
mod completions;
mod doctor;
mod list;
mod man;
mod report;
mod run;
mod show;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};

/// Measures what a CPU really does, and draws it beside what it claims and what is published.
#[derive(Debug, Parser)]
#[command(
    name = "probecard",
    version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("PROBECARD_REVISION"), ")"),
    args_conflicts_with_subcommands = true,
    after_help = "Without a subcommand, `run` is meant: measure this machine, print the card, and \
                  write the card, a page and pictures to a new directory.\n\
                  Exit codes: 0 done; 2 wrong usage, unreadable input, interrupted, nothing measured, a \
                  file that could not be written, or a kernel that computed a wrong answer."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure this machine and write card, page and pictures (the default).
    Run(run::Args),
    /// The probes and their metrics, and whether they can run here.
    List(list::Args),
    /// What the machine is, what can be measured here, and what would help.
    Doctor(doctor::Args),
    /// Print a card in the terminal.
    Show(show::Args),
    /// Write the page and the pictures of a card.
    Report(report::Args),
    /// Print a completion script for a shell.
    Completions(completions::Args),
    /// Print the manual page.
    Man,
    /// One round of one probe; reads its assignment from standard input.
    #[command(hide = true)]
    Child,
}

/// Parses the command line and runs the subcommand.
pub fn main() -> ExitCode {
    probecard_probes::sys::process::limit_malloc_arenas();
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => run::run(&cli.run),
        Some(Command::Run(args)) => run::run(&args),
        Some(Command::List(args)) => list::run(&args),
        Some(Command::Doctor(args)) => doctor::run(&args),
        Some(Command::Show(args)) => show::run(&args),
        Some(Command::Report(args)) => report::run(&args),
        Some(Command::Completions(args)) => completions::run(&args, &mut Cli::command()),
        Some(Command::Man) => man::run(Cli::command()),
        Some(Command::Child) => child::run(),
    };
    match outcome {
        Ok(code) => code,
        // The reader of our output went away (`| head`); there is no one left to tell.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("probecard: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Writes a result to standard output.
fn print(text: &str) -> anyhow::Result<()> {
    let written = std::io::stdout().lock().write_all(text.as_bytes());
    written.context("cannot write to standard output")
}

/// Says something on standard error. Where no one can hear it, nothing is lost but that.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Columns of the terminal, or 80 where there is none.
fn width() -> usize {
    console::Term::stdout().size_checked().map_or(80, |(_, columns)| usize::from(columns)).max(60)
}

/// Colour only on a terminal, and not where the reader asked for none.
fn color() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}
