//! Price lists: what operations cost, in groups, each a dot with its spread on one logarithmic axis
//! of time. Another list is another table below.

use card::declare::Unit;
use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing, wrap};
use super::frame::{LEFT, WIDTH, heading, time_label};
use super::scale::{Axis, decades};
use super::theme::{Align, BLUE, BODY, FAINT, GRID, MUTED, SMALL, TICK};
use super::{Picture, picture};
use card::format;
use card::metrics::{State, Value};
use card::summary::Summary;

/// What a picture lists.
pub(super) struct List {
    /// Stem of its files.
    name: &'static str,
    title: &'static str,
    /// How to read it, beyond what is true of every list.
    caption: &'static str,
    /// A metric of which every time is also given as a multiple, and what that is called.
    base: (&'static str, &'static str),
    groups: &'static [Group],
}

/// Its heading, and for each line the metric and what it is called here.
struct Group(&'static str, &'static [(&'static str, &'static str)]);

/// What the kernel asks for.
pub(super) const OS: List = List {
    name: "os",
    title: "The operating system's price list",
    caption: "Everything runs on one CPU: a new thread or child does not have to wake up another \
              one. Faults are counted by the kernel and each is one fault, whatever it maps.",
    base: ("os.syscall_ns", "system calls"),
    groups: &[
        Group(
            "Calls",
            &[
                ("os.clock_gettime_ns", "read the clock (vDSO: no call)"),
                ("os.clock_gettime_syscall_ns", "read the clock by a system call"),
                ("os.syscall_invalid_ns", "system call that does not exist"),
                ("os.syscall_inline_ns", "system call, no function around it"),
                ("os.syscall_ns", "system call (getppid)"),
                ("os.signal_ns", "signal to oneself, handled"),
            ],
        ),
        Group(
            "Writing one byte",
            &[
                ("os.write_1b_buffered_ns", "through a buffer of 8 KiB"),
                ("os.write_1b_null_ns", "to /dev/null"),
                ("os.write_1b_ns", "to a file in memory"),
            ],
        ),
        Group(
            "Memory",
            &[
                ("os.page_fault_4k_ns", "first touch, 4 KiB used just before"),
                ("os.page_fault_4k_uncached_ns", "first touch, 4 KiB out of the caches"),
                ("os.page_fault_16k_ns", "first touch, 16 KiB used just before"),
                ("os.page_fault_16k_uncached_ns", "first touch, 16 KiB out of the caches"),
                ("os.page_fault_64k_ns", "first touch, 64 KiB used just before"),
                ("os.page_fault_64k_uncached_ns", "first touch, 64 KiB out of the caches"),
                ("os.page_fault_cold_ns", "first touch, page the host must find"),
                ("os.page_fault_file_ns", "first touch, page of a file"),
                ("os.page_fault_cow_ns", "first write to a shared page"),
                ("os.page_fault_2m_ns", "first touch, huge page of 2 MiB"),
                ("os.page_fault_32m_ns", "first touch, huge page of 32 MiB"),
                ("os.mprotect_ns", "mprotect of a page in use"),
                ("os.mmap_ns", "mmap and munmap, page untouched"),
                ("os.mmap_touch_ns", "mmap, touch and munmap of a page"),
            ],
        ),
        Group(
            "Start something and wait for its end",
            &[
                ("os.thread_create_ns", "thread"),
                ("os.spawn_ns", "smallest program, by posix_spawn"),
                ("os.fork_ns", "child, by fork"),
                ("os.fork_64m_ns", "child, by fork with 64 MiB in use"),
            ],
        ),
        Group(
            "Waking up from a sleep: how late",
            &[
                ("os.timer_lateness_1us_ns", "sleep of 1 µs"),
                ("os.timer_lateness_ns", "sleep of 100 µs"),
                ("os.timer_lateness_p99_ns", "the same, latest hundredth"),
                ("os.timer_lateness_10ms_ns", "sleep of 10 ms"),
                ("os.timer_lateness_tight_ns", "sleep of 100 µs without timer slack"),
            ],
        ),
    ],
};

/// What locks cost.
pub(super) const LOCKS: List = List {
    name: "locks",
    title: "What locks cost",
    caption: "With all CPUs at one lock, the time is from one lock to the next, whoever has it; the \
              work inside is part of it. A lock that changes hands takes from the unlock to the \
              first thing that the other CPU does with it.",
    base: ("locks.mutex_uncontended_ns", "mutexes"),
    groups: &[
        Group(
            "Nobody else wants it",
            &[
                ("locks.atomic_ns", "atomic addition, no lock"),
                ("locks.spin_uncontended_ns", "spin lock"),
                ("locks.mutex_uncontended_ns", "mutex"),
                ("locks.rwlock_read_ns", "read lock"),
            ],
        ),
        Group(
            "All CPUs want it",
            &[
                ("locks.spin_contended_ns", "spin lock"),
                ("locks.spin_work_100_ns", "spin lock, 100 ns of work inside"),
                ("locks.spin_work_1000_ns", "spin lock, 1 µs of work inside"),
                ("locks.mutex_contended_ns", "mutex"),
                ("locks.mutex_work_100_ns", "mutex, 100 ns of work inside"),
                ("locks.mutex_work_1000_ns", "mutex, 1 µs of work inside"),
                ("locks.rwlock_read_contended_ns", "read lock, all reading"),
            ],
        ),
        Group(
            "It changes hands",
            &[
                ("locks.handoff_spin_ns", "to a CPU that spins for it"),
                ("locks.handoff_ns", "to a thread that sleeps for it"),
            ],
        ),
        Group(
            "Who had it least, of an even share",
            &[("locks.spin_fairness_ratio", "spin lock"), ("locks.mutex_fairness_ratio", "mutex")],
        ),
    ],
};

const TOP: f64 = 104.0;
const ROW: f64 = 27.0;
/// A heading with the space above it.
const HEAD: f64 = 40.0;
/// Right edge of the column of values.
const VALUE: f64 = 366.0;
/// The plot's ends.
const PLOT: (f64, f64) = (392.0, 772.0);
const MARK: f64 = 5.0;

/// One line of a picture.
struct Line {
    label: &'static str,
    unit: Unit,
    /// What was measured, with the ends of its spread, or why not.
    measured: Result<Measured, String>,
}

struct Measured {
    value: f64,
    low: f64,
    high: f64,
    noisy: bool,
}

/// The data of the picture.
pub(super) struct Prices {
    list: &'static List,
    groups: Vec<(&'static str, Vec<Line>)>,
    base: Option<f64>,
    machine: String,
}

impl Prices {
    /// `None` where nothing of the list was measured as a time.
    pub(super) fn of(summary: &Summary, list: &'static List) -> Option<Prices> {
        let line = |&(id, label): &(&str, &'static str)| {
            let value = summary.metrics.get(id)?;
            Some(Line { label, unit: value.unit, measured: measured(value) })
        };
        let groups: Vec<(&str, Vec<Line>)> = list
            .groups
            .iter()
            .map(|Group(head, lines)| (*head, lines.iter().filter_map(line).collect()))
            .filter(|(_, lines): &(&str, Vec<Line>)| !lines.is_empty())
            .collect();
        let base = summary.metrics.get(list.base.0).and_then(|value| measured(value).ok());
        let machine = summary.card.header.machine.title();
        let prices = Prices { list, groups, base: base.map(|b| b.value), machine };
        let any = prices.times().next().is_some();
        any.then_some(prices)
    }

    pub(super) fn picture(self) -> Picture {
        let List { name, title, caption, base, .. } = self.list;
        let caption = format!(
            "Further right is slower, each grid line ten times the one before. The dot is the middle \
             of the rounds (hollow where they disagree), the bar goes from the lowest to the highest; \
             at the right how many {} that is. {caption}",
            base.1
        );
        picture(name, title, caption, self)
    }

    /// What stands on the axis.
    fn times(&self) -> impl Iterator<Item = &Measured> {
        let lines = self.groups.iter().flat_map(|group| &group.1);
        lines.filter(|line| line.unit == Unit::Ns).filter_map(|line| line.measured.as_ref().ok())
    }

    fn axis(&self) -> (Axis, Vec<f64>) {
        let low = self.times().map(|m| m.low).fold(f64::MAX, f64::min);
        let high = self.times().map(|m| m.high).fold(f64::MIN_POSITIVE, f64::max);
        let low = 10f64.powf(low.log10().floor());
        let high = 10f64.powf(high.log10().ceil()).max(low * 10.0);
        (Axis::log((low, high), PLOT), decades(low, high))
    }

    fn bottom(&self) -> f64 {
        let rows: usize = self.groups.iter().map(|group| group.1.len()).sum();
        TOP + HEAD * self.groups.len() as f64 + ROW * rows as f64
    }
}

/// Values that no axis has a place for were not measured.
fn measured(value: &Value) -> Result<Measured, String> {
    let positive = |v: Option<f64>| v.filter(|v| v.is_finite() && *v > 0.0);
    match format::believable(value).and_then(|v| positive(Some(v))) {
        Some(middle) => Ok(Measured {
            value: middle,
            low: positive(value.low).unwrap_or(middle),
            high: positive(value.high).unwrap_or(middle),
            noisy: value.state == State::Noisy,
        }),
        None => Err(short(value.reason.as_deref().unwrap_or("nothing was measured"))),
    }
}

/// What is missing, without which metrics and why: the page says all of it elsewhere.
fn short(reason: &str) -> String {
    let end = reason.find([':', '(']).unwrap_or(reason.len());
    reason[..end].trim().to_owned()
}

impl Drawing for Prices {
    fn size(&self) -> (f64, f64) {
        (WIDTH, (self.bottom() + 48.0).ceil())
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, self.list.title, &self.machine);
        let (axis, ticks) = self.axis();
        for tick in &ticks {
            let x = axis.at(*tick);
            c.line((x, TOP - 4.0), (x, self.bottom() + 6.0), 1.0, GRID);
            for y in [TOP - 12.0, self.bottom() + 22.0] {
                c.text((x, y), &time_label(*tick), TICK.align(Align::Center));
            }
        }
        if self.base.is_some() {
            let words = format!("in {}", self.list.base.1);
            c.text((WIDTH - LEFT, TOP - 12.0), &words, SMALL.align(Align::Right));
        }
        c.text(
            (PLOT.1, self.bottom() + 40.0),
            "time per operation, logarithmic",
            SMALL.align(Align::Right),
        );
        let mut y = TOP;
        for (head, lines) in &self.groups {
            c.tag((LEFT, y + HEAD - 12.0), head, BODY.bold());
            y += HEAD;
            for line in lines {
                self.row(c, &axis, line, y + ROW / 2.0);
                y += ROW;
            }
        }
    }
}

impl Prices {
    fn row<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>, axis: &Axis, line: &Line, middle: f64) {
        c.line((LEFT, middle + ROW / 2.0), (WIDTH - LEFT, middle + ROW / 2.0), 1.0, GRID);
        let baseline = middle + 5.0;
        let measured = match &line.measured {
            Ok(measured) => measured,
            Err(why) => {
                c.text((LEFT + 12.0, baseline), line.label, BODY.ink(MUTED));
                for text in wrap(why, PLOT.1 - PLOT.0 - 20.0, 1, SMALL) {
                    c.tag((PLOT.0 + 10.0, baseline), &text, SMALL);
                }
                return;
            }
        };
        c.text((LEFT + 12.0, baseline), line.label, BODY);
        let value = format::quantity(measured.value, line.unit);
        c.text((VALUE, baseline), &value, BODY.bold().align(Align::Right));
        if line.unit != Unit::Ns {
            return;
        }
        marks(c, axis, measured, middle);
        if let Some(base) = self.base {
            let times = format!("{}×", format::number(measured.value / base));
            c.text((WIDTH - LEFT, baseline), &times, SMALL.align(Align::Right));
        }
    }
}

fn marks<DB: DrawingBackend>(c: &Canvas<'_, DB>, axis: &Axis, measured: &Measured, middle: f64) {
    let (low, high) = (axis.at(measured.low), axis.at(measured.high));
    c.line((axis.at(f64::MIN_POSITIVE), middle), (low, middle), 1.0, FAINT);
    c.line((low, middle), (high, middle), 2.4, BLUE);
    for end in [low, high] {
        c.line((end, middle - MARK + 1.0), (end, middle + MARK - 1.0), 1.4, BLUE);
    }
    let center = (axis.at(measured.value), middle);
    if measured.noisy { c.ring(center, MARK, BLUE) } else { c.dot(center, MARK, BLUE) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plots::canvas::svg;
    use card::fixture;

    #[test]
    fn every_line_is_a_declared_metric_and_every_metric_a_line() {
        for (list, probe) in [(&OS, "os"), (&LOCKS, "locks")] {
            let declared = fixture::declared(probe);
            let mut listed: Vec<&str> =
                list.groups.iter().flat_map(|group| group.1).map(|line| line.0).collect();
            let ids = declared.metrics.iter().map(|m| m.id.as_ref());
            // A line is a time: what it is in cycles needs none of its own.
            let mut declared: Vec<&str> =
                ids.filter(|id: &&str| !id.ends_with("_cycles")).collect();
            if probe == "os" {
                // What a kernel with larger pages has instead.
                declared.extend([
                    "os.page_fault_16k_ns",
                    "os.page_fault_16k_uncached_ns",
                    "os.page_fault_32m_ns",
                    "os.page_fault_64k_ns",
                    "os.page_fault_64k_uncached_ns",
                ]);
            }
            listed.sort_unstable();
            declared.sort_unstable();
            assert_eq!(listed, declared);
            assert!(listed.contains(&list.base.0));
        }
    }

    #[test]
    fn prices_are_drawn_with_their_numbers_and_what_is_missing() {
        let summary = fixture::recorded();
        let cost = |id| format::quantity(summary.metrics.number(id).unwrap(), Unit::Ns);
        let drawn = svg(&Prices::of(&summary, &OS).unwrap(), OS.title);
        let fork = cost("os.fork_64m_ns");
        for text in ["system call (getppid)", &fork, "in system calls", "1.00×", "Memory"] {
            assert!(drawn.contains(text), "{text}");
        }
        let missing = "needs memory that this guest has not used before";
        assert!(drawn.contains(missing) && !drawn.contains("os.page_fault_cold_ns"), "{missing}");
        let drawn = svg(&Prices::of(&summary, &LOCKS).unwrap(), LOCKS.title);
        let handoff = cost("locks.handoff_ns");
        for text in ["to a CPU that spins for it", &handoff, "in mutexes", "spin lock"] {
            assert!(drawn.contains(text), "{text}");
        }
    }

    #[test]
    fn without_a_single_time_there_is_no_picture() {
        assert!(Prices::of(&fixture::empty(), &OS).is_none());
        let mut card = fixture::recorded().card;
        card.points.retain(|p| p.unit == Unit::Ratio);
        assert!(Prices::of(&Summary::of(card), &LOCKS).is_none());
    }

    #[test]
    fn one_price_is_enough() {
        let mut card = fixture::recorded().card;
        card.points.retain(|p| p.quantity == "fork");
        let drawn = svg(&Prices::of(&Summary::of(card), &OS).unwrap(), OS.title);
        assert!(
            drawn.contains("child, by fork")
                && drawn.contains(" µs")
                && !drawn.contains("in system calls")
        );
    }

    #[test]
    fn reasons_are_short() {
        assert_eq!(short("needs 2 CPUs (a, b): the mask allows 1"), "needs 2 CPUs");
        assert_eq!(short("not measured in this run"), "not measured in this run");
    }
}
