//! Runs of the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use card::file::Card;
use card::metrics::{self, Metrics};
use card::record::{Param, Point};

use super::{card_in, program, turn};

/// The program, with the arguments for a quick run of these probes, of all if none is named.
pub(crate) fn quick(probes: &[&str]) -> Command {
    with_quick(Command::new(program()), probes)
}

/// The same behind a wrapper such as taskset or prlimit.
pub(crate) fn quick_under(wrapper: &[&str], probes: &[&str]) -> Command {
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]).arg(program());
    with_quick(command, probes)
}

/// The same by a command that ends in the program.
pub(crate) fn with_quick(mut command: Command, probes: &[&str]) -> Command {
    command.args(["run", "--tier", "quick"]);
    command.args(probes.iter().flat_map(|probe| ["--only", probe]));
    command
}

/// A run that has ended: what it printed, and the card that it left.
pub(crate) struct Run {
    pub(crate) output: Output,
    pub(crate) path: PathBuf,
    pub(crate) card: Card,
    pub(crate) metrics: Metrics,
    whole: String,
}

impl Run {
    /// The run that has left its card in this directory, whatever became of it.
    pub(crate) fn ended(output: Output, out: &Path) -> Run {
        let path = card_in(out).unwrap_or_else(|| panic!("no card: {output:?}"));
        let card = Card::read(&path).unwrap();
        let metrics = metrics::evaluate(&card);
        let all = Command::new(program()).args(["show", "--all"]).arg(&path).output().unwrap();
        let whole = String::from_utf8(all.stdout).unwrap();
        Run { output, path, card, metrics, whole }
    }

    /// One of which every round must have succeeded, even if there was nothing to be measured.
    pub(crate) fn completed(output: Output, out: &Path) -> Run {
        let run = Run::ended(output, out);
        assert!(run.card.is_complete() && run.card.fails.is_empty(), "{:?}", run.card.fails);
        run
    }

    /// One that must have succeeded in all.
    pub(crate) fn succeeded(output: Output, out: &Path) -> Run {
        assert!(output.status.success(), "{output:?}");
        Run::completed(output, out)
    }

    /// Runs this, which must succeed, and puts the card into this directory.
    pub(crate) fn into(out: &Path, command: &mut Command) -> Run {
        Run::succeeded(command.arg("--out").arg(out).output().unwrap(), out)
    }

    /// Runs this, which must succeed, for the sake of what it says.
    pub(crate) fn of(mut command: Command) -> Run {
        let out = tempfile::tempdir().unwrap();
        Run::into(out.path(), &mut command)
    }

    /// All that its card says; what it printed itself is the card in short.
    pub(crate) fn text(&self) -> &str {
        &self.whole
    }

    pub(crate) fn points<'a>(&'a self, quantity: &'a str) -> impl Iterator<Item = &'a Point> {
        self.card.points.iter().filter(move |p| p.quantity == quantity)
    }

    /// Every declared metric has an answer or a reason.
    pub(crate) fn answers_everything(&self) {
        for metric in self.card.header.declarations.iter().flat_map(|d| d.metrics.iter()) {
            let value = self.metrics.get(&metric.id).expect("a declared metric");
            assert!(value.value.is_some() || value.reason.is_some(), "{} has no reason", metric.id);
        }
    }

    /// The number of a metric, unless others left no quiet moment to sample it in.
    pub(crate) fn measured(&self, id: &str) -> Option<f64> {
        let value = self.metrics.get(id).unwrap();
        let disturbed = ["no sample of ", "sibling was busy", "core clock moved"];
        let reason = value.reason.as_deref().unwrap_or_default();
        let taken = !reason.contains("none was taken");
        let disturbed = taken && disturbed.iter().any(|words| reason.contains(words));
        assert!(value.value.is_some() || disturbed, "{value:?}");
        value.value
    }

    /// The metric has no number, for a reason that says this.
    pub(crate) fn lacks(&self, id: &str, why: &str) {
        let value = self.metrics.get(id).unwrap();
        assert_eq!(value.value, None, "{id}");
        assert!(value.reason.as_ref().is_some_and(|r| r.contains(why)), "{value:?}");
    }
}

/// A number among the settings of a point.
pub(crate) fn number(point: &Point, name: &str) -> Option<i64> {
    match point.params.get(name)? {
        Param::Int(n) => Some(*n),
        Param::Text(_) => None,
    }
}

/// A quick run of every probe, alone on the machine, with its files; there is one of it, for all who
/// only look at it. Who calls this holds no turn.
pub(crate) fn measured_once() -> &'static Run {
    static ONCE: LazyLock<Run> = LazyLock::new(|| {
        let _turn = turn::alone();
        // What is static is not dropped: the next run of the tests takes the place of this one.
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("measured-once");
        let _ = fs::remove_dir_all(&dir);
        Run::into(&dir, &mut quick(&[]))
    });
    &ONCE
}
