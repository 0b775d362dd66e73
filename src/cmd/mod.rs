//! One file per subcommand: its arguments and one `run`.

mod baseline;
mod cards;
mod check;
mod child;
mod compare;
mod completions;
mod doctor;
mod export;
mod learn;
mod list;
mod man;
mod report;
mod run;
mod show;
mod simulate;
mod status;
mod watch;

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use card::clean;
use clap::{CommandFactory, Parser, Subcommand};
use probecard_probes::sys::{file, process};

use crate::files;

/// Measures what a CPU really does, and draws it beside what it claims and what is published.
#[derive(Debug, Parser)]
#[command(
    name = "probecard",
    version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("PROBECARD_REVISION"), ")"),
    args_conflicts_with_subcommands = true,
    after_help = "Without a subcommand, `run` is meant: measure this machine, print the card, and \
                  write the card, a page and pictures to a new directory.\n\
                  Exit codes: 0 done; 1 verdict FAIL (a wrong answer was computed, or a probe failed in half \
                  of its rounds); 2 wrong usage, unreadable input, interrupted, nothing measured, or a file \
                  that could not be written."
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
    #[command(after_help = show::CODES)]
    Show(show::Args),
    /// Write the page and the pictures of a card.
    Report(report::Args),
    /// Two sets of cards side by side: what changed, and what is within their noise.
    Compare(compare::Args),
    /// Whether this machine, or a card, got worse than its baseline.
    #[command(after_help = check::CODES)]
    Check(check::Args),
    /// Keep the cards of when a machine was well.
    #[command(subcommand)]
    Baseline(baseline::Command),
    /// Learn what noise is normal from the cards of machines that are well.
    Learn(learn::Args),
    /// Check this machine again and again, and keep the last judgement where others can read it.
    Watch(watch::Args),
    /// Cards of a machine like one that was measured, with a fault if asked for: to try judging out.
    Simulate(simulate::Args),
    /// A card for other programs: monitoring, health checks, databases, CI, a time line.
    Export(export::Args),
    /// How the machine is, by what is on file: for health checks that have no time to measure.
    #[command(after_help = status::CODES)]
    Status(status::Args),
    /// Print a completion script for a shell.
    Completions(completions::Args),
    /// Print the manual page.
    Man,
    /// One round of one probe; reads its assignment from standard input.
    #[command(hide = true)]
    Child,
}

/// What the page's template needs of a stack, and several times that.
const STACK: usize = 8 << 20;

/// Parses the command line and runs the subcommand, where the stack is small (`ulimit -s`) on another one.
pub fn main() -> ExitCode {
    process::limit_malloc_arenas();
    process::outlive_file_size_limit();
    if process::stack_limit() < STACK as u64 / 4 {
        let larger = std::thread::Builder::new().stack_size(STACK).spawn(start);
        // A panic has said what there is to say.
        return larger
            .map_or_else(|_| start(), |thread| thread.join().unwrap_or(ExitCode::from(101)));
    }
    start()
}

fn start() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // It repeats arguments, which may be names of files from anywhere.
        Err(error) if error.use_stderr() => {
            say(error.render().to_string().trim_end());
            return ExitCode::from(status::code_of_wrong_usage(std::env::args_os().skip(1)));
        }
        Err(help) => help.exit(),
    };
    let outcome = match cli.command {
        None => run::run(&cli.run),
        Some(Command::Run(args)) => run::run(&args),
        Some(Command::List(args)) => list::run(&args),
        Some(Command::Doctor(args)) => doctor::run(&args),
        Some(Command::Show(args)) => show::run(&args),
        Some(Command::Report(args)) => report::run(&args),
        Some(Command::Compare(args)) => compare::run(&args),
        Some(Command::Check(args)) => check::run(&args),
        Some(Command::Baseline(command)) => baseline::run(&command),
        Some(Command::Learn(args)) => learn::run(&args),
        Some(Command::Watch(args)) => watch::run(&args),
        Some(Command::Simulate(args)) => simulate::run(&args),
        Some(Command::Export(args)) => export::run(&args),
        Some(Command::Status(args)) => status::run(&args),
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
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes a result to standard output.
fn print(text: &str) -> anyhow::Result<()> {
    print_as_is(&clean::lines(text))
}

/// The same with JSON.
fn print_json(json: &str) -> anyhow::Result<()> {
    print_as_is(&clean::json(json))
}

/// The same with a text that is our own, or in which all that is not was cleaned.
fn print_as_is(text: &str) -> anyhow::Result<()> {
    let written = write_patiently(&mut io::stdout().lock(), text.as_bytes());
    written.map_err(|error| {
        let remedy = files::remedy(&error).map(|r| format!("; {r}")).unwrap_or_default();
        anyhow::Error::new(error).context(format!("cannot write to standard output{remedy}"))
    })
}

/// Writes all of it, also where the other side has made a pipe or a terminal non-blocking: what takes no
/// more for now is waited for.
fn write_patiently(to: &mut (impl Write + AsFd), mut rest: &[u8]) -> io::Result<()> {
    loop {
        let written = if rest.is_empty() { to.flush().map(|()| 0) } else { to.write(rest) };
        match written {
            Ok(0) if rest.is_empty() => return Ok(()),
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                file::wait_until_writable(to.as_fd())?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Says something on standard error. Where no one can hear it, nothing is lost but that.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{}", clean::lines(text));
}

/// Columns of the terminal, or 80 where there is none or it does not say.
fn width() -> usize {
    console::Term::stdout().size_checked().map_or(80, |(_, columns)| usize::from(columns)).max(60)
}

/// Whether the locale is one without other letters, such as C or POSIX. None at all tells nothing.
fn knows_ascii_only() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    locale.is_some_and(|locale| {
        let locale = locale.to_lowercase();
        !locale.contains("utf-8") && !locale.contains("utf8")
    })
}

/// Colour only on a terminal that knows it, and not where the reader asked for none.
fn color() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    io::stdout().is_terminal() && !console::is_dumb() && !unwanted
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_stream_that_takes_no_more_for_now_is_waited_for() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let text: Vec<u8> = (0..2_000_000).map(|i: u32| (i % 251) as u8).collect();
        let reader = std::thread::spawn(move || {
            let mut read = Vec::new();
            std::thread::sleep(Duration::from_millis(30));
            theirs.read_to_end(&mut read).unwrap();
            read
        });
        write_patiently(&mut ours, &text).unwrap();
        drop(ours);
        assert!(reader.join().unwrap() == text);
    }
}
