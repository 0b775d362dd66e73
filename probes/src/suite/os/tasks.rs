//! Threads, children and programs: started, and waited for until they have ended.

use std::io;

use super::refused;
use super::row::{Expect, fitting, sample};
use crate::harness::bench::Bench;
use crate::sys::memory::{Buffer, Pages};
use crate::sys::process::{TinyProgram, fork_each};
use crate::sys::thread::start_each;
use card::machine::human_bytes;
use card::record::Skip;

/// In use while the larger process forks.
const FOOTPRINT: usize = 64 << 20;

pub(super) fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    row(bench, "thread_create", "threads", threads)?;
    row(bench, "fork", "fork", fork_each)?;
    match TinyProgram::new() {
        Ok(tiny) => {
            row(bench, "spawn", "posix_spawn", |n| tiny.spawn_each(n))?;
        }
        Err(e) => {
            let unmet = refused(["spawn"], "a program in memory (memfd_create)", &e);
            bench.skip(if e.raw_os_error() == Some(libc::EACCES) {
                forbidden(unmet)
            } else {
                unmet
            })?;
        }
    }
    large(bench)
}

/// The kernel has one reason for that alone.
fn forbidden(unmet: Skip) -> Skip {
    Skip {
        reason: format!("vm.memfd_noexec forbids programs in memory: {}", unmet.reason),
        remedy: "set vm.memfd_noexec to 0 or 1 (sysctl, in this PID namespace)".into(),
        ..unmet
    }
}

/// What is copied of a process grows with what it uses: the entries of its page tables.
fn large(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let (quantity, what) = ("fork_64m", "fork with 64 MiB in use");
    let short = bench.machine.buffer_limit() < 2 * FOOTPRINT as u64;
    let too_much = || {
        let limit = human_bytes(bench.machine.buffer_limit());
        io::Error::new(io::ErrorKind::OutOfMemory, format!("buffers may have {limit}"))
    };
    let memory = if short { Err(too_much()) } else { Buffer::new(FOOTPRINT, Pages::Small) };
    let used = match memory {
        Ok(used) => used,
        Err(e) => return bench.skip(refused([quantity], what, &e)),
    };
    row(bench, quantity, what, fork_each)?;
    drop(used);
    Ok(())
}

fn row(
    bench: &mut Bench<'_>,
    quantity: &str,
    what: &str,
    mut each: impl FnMut(u64) -> io::Result<()>,
) -> anyhow::Result<()> {
    let done = match fitting(bench, &mut each) {
        Ok(ops) => {
            let act = |timed| if timed { each(ops) } else { Ok(()) };
            sample(bench, quantity, Expect::Switch(ops), None, act)?
        }
        Err(e) => Err(e),
    };
    match done {
        Ok(()) => Ok(()),
        Err(e) => bench.skip(refused([quantity], what, &e)),
    }
}

fn threads(times: u64) -> io::Result<()> {
    let ran = start_each(times)?;
    let right = ran == times;
    right.then_some(()).ok_or_else(|| io::Error::other(format!("{ran} of {times} threads ran")))
}
