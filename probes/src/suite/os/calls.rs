//! System calls that one thread makes in a row.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, Write};

use super::refused;
use crate::harness::bench::{Arm, Bench, Kernel, params};
use crate::harness::sampling::SamplingPlan;
use crate::sys::file::{Content, largest_file, memfd};
use crate::sys::map::Mapping;
use crate::sys::memory::Pages;
use crate::sys::signal::Counted;
use crate::sys::{call, process};

/// Bytes that are written before the file begins anew: it stays small.
const FILE: u64 = 64 << 10;

/// Size of the buffer, which is the standard library's.
const BUFFER: u64 = 8 << 10;

/// What two of the rows need.
const IN_MEMORY: &str = "a file in memory (memfd_create)";

/// A call, how often it is made, and how often it came out right.
type Each<'a> = Box<dyn FnMut(u64) -> io::Result<u64> + 'a>;

/// A row of the list: the quantity, what it needs in words, and how it is done.
struct Row<'a>(&'static str, &'static str, io::Result<Each<'a>>);

fn each<'a>(each: impl FnMut(u64) -> io::Result<u64> + 'a) -> Each<'a> {
    Box::new(each)
}

/// A row that nothing has to be made for.
fn plain<'a>(
    (quantity, what): (&'static str, &'static str),
    call: impl FnMut(u64) -> io::Result<u64> + 'a,
) -> Row<'a> {
    Row(quantity, what, Ok(each(call)))
}

pub(super) fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let clock = "clock_gettime";
    let rows = vec![
        plain(("syscall", "getppid"), |n| Ok(call::getppid_each(n))),
        plain(("syscall_inline", "getppid"), |n| Ok(call::getppid_inline_each(n))),
        invalid(bench),
        plain((clock, clock), |n| Ok(call::clock_each(n))),
        plain(("clock_gettime_syscall", clock), |n| Ok(call::clock_by_call_each(n))),
        signal(),
        plain(("mmap", "mmap"), |n| {
            (0..n).try_for_each(|_| Mapping::anonymous(Pages::Small.bytes()).map(drop)).map(|()| n)
        }),
        mprotect(),
        write_null(),
        write_file(),
        write_buffered(),
    ];
    measure(bench, rows)
}

/// Tries each row, skips those that are refused and samples the others in turn.
fn measure(bench: &mut Bench<'_>, rows: Vec<Row<'_>>) -> anyhow::Result<()> {
    let mut arms = Vec::new();
    for Row(quantity, what, each) in rows {
        let tried = each.and_then(|mut each| {
            let right = each(2)?;
            let all = right == 2;
            all.then_some(each).ok_or_else(|| io::Error::other(format!("{right} of 2 were right")))
        });
        let each = match tried {
            Ok(each) => each,
            Err(error) => {
                bench.skip(refused([quantity], what, &error))?;
                continue;
            }
        };
        let block = if quantity == "write_1b_buffered" { BUFFER } else { 2 };
        let calls = Calls { each, what, wrong: None };
        arms.push(Arm::of(quantity, params([]), calls).in_blocks_of(block));
    }
    let policy = SamplingPlan { max_samples: 9, ..SamplingPlan::structural(bench.share(0.1)) };
    bench.interleave(arms, &policy)
}

/// Calls that were right when they were tried. One that is wrong later is no matter of permission.
struct Calls<'a> {
    each: Each<'a>,
    what: &'static str,
    wrong: Option<String>,
}

impl Kernel for Calls<'_> {
    fn run(&mut self, ops: u64) {
        let said = match (self.each)(ops) {
            Ok(right) if right == ops => return,
            Ok(right) => format!("{right} of {ops} were right"),
            Err(error) => error.to_string(),
        };
        self.wrong = Some(format!("{}: {said}", self.what));
    }

    fn check(&mut self) -> Result<(), String> {
        self.wrong.take().map_or(Ok(()), Err)
    }
}

/// A filter may kill who makes an unknown call: a child finds out.
fn invalid<'a>(bench: &Bench<'_>) -> Row<'a> {
    let filtered = bench.machine.limits.seccomp.known().is_some_and(|mode| mode != "off");
    let made = if filtered { survives() } else { Ok(()) };
    Row(
        "syscall_invalid",
        "a system call that does not exist",
        made.map(|()| each(|n| Ok(call::invalid_each(n)))),
    )
}

fn survives() -> io::Result<()> {
    let lives = process::survives_invalid_call()?;
    let died = || io::Error::other("the seccomp filter kills who makes it");
    lives.then_some(()).ok_or_else(died)
}

fn signal<'a>() -> Row<'a> {
    let made = Counted::install();
    let each = made.map(|counted| each(move |n| counted.send_each(n)));
    Row("signal", "signals to oneself", each)
}

fn mprotect<'a>() -> Row<'a> {
    // Its neighbours keep their protection: the first of two calls cuts the mapping into three, the
    // second joins them again. What is measured is the mean of the two.
    let made = Mapping::anonymous(3 * Pages::Small.bytes()).map(|mut map| {
        map.write_each_page();
        map
    });
    let each = made.map(|mut map| each(move |n| map.protect_each(n).map(|()| n)));
    Row("mprotect", "mprotect", each)
}

fn write_null<'a>() -> Row<'a> {
    let made = OpenOptions::new().write(true).open("/dev/null");
    let each = made.map(|mut null| {
        each(move |n| (0..n).try_fold(0, |written, _| Ok(written + null.write(b"x")? as u64)))
    });
    Row("write_1b_null", "/dev/null", each)
}

fn write_file<'a>() -> Row<'a> {
    let made = in_memory();
    let each = made.map(|mut file| each(move |n| write_bytes(&mut file, n)));
    Row("write_1b", IN_MEMORY, each)
}

fn write_buffered<'a>() -> Row<'a> {
    let made = in_memory();
    let buffered = made.map(|file| BufWriter::with_capacity(BUFFER as usize, file));
    let each = buffered.map(|mut file| each(move |n| write_bytes(&mut file, n)));
    Row("write_1b_buffered", IN_MEMORY, each)
}

/// So many bytes, one at a time, over and over the same part of the file.
fn write_bytes(to: &mut (impl Write + Seek), n: u64) -> io::Result<u64> {
    let mut written = 0;
    while written < n {
        // This also empties a buffer.
        to.rewind()?;
        let part = written;
        while written < n && written - part < FILE {
            let one = to.write(b"x")?;
            written += one as u64;
        }
    }
    to.flush()?;
    Ok(written)
}

/// A file in memory, of the size that will be needed.
fn in_memory() -> io::Result<File> {
    if largest_file() < FILE {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    }
    let mut file = memfd(Content::Data)?;
    file.write_all(&[b' '; FILE as usize])?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_turns_wrong_is_told_once() {
        let mut answers = vec![Err(io::ErrorKind::NotFound.into()), Ok(7), Ok(8)];
        let each = each(|_| answers.pop().unwrap());
        let mut calls = Calls { each, what: "getppid", wrong: None };
        calls.run(8);
        assert_eq!(calls.check(), Ok(()));
        calls.run(8);
        assert_eq!(calls.check(), Err("getppid: 7 of 8 were right".into()));
        assert_eq!(calls.check(), Ok(()));
        calls.run(8);
        assert_eq!(calls.check(), Err("getppid: entity not found".into()));
    }

    #[test]
    fn bytes_are_written_one_at_a_time_within_a_small_file() {
        let mut file = in_memory().unwrap();
        assert_eq!(write_bytes(&mut file, 2 * FILE + 5).unwrap(), 2 * FILE + 5);
        assert_eq!(file.metadata().unwrap().len(), FILE);
        let mut buffered = BufWriter::new(file);
        assert_eq!(write_bytes(&mut buffered, 3 * FILE).unwrap(), 3 * FILE);
        assert_eq!(buffered.get_ref().metadata().unwrap().len(), FILE);
    }
}
