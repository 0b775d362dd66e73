//! The words before a command.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::sys;

/// How a command is run.
#[derive(Default)]
pub(crate) struct How {
    /// `plain-user`: as one, whom the kernel does not let count.
    plain_user: bool,
    /// `real-time`: in a class of the scheduler that goes before all others.
    real_time: bool,
    /// `mask=0,2`: on these CPUs.
    mask: Option<CpuSet>,
    /// `on=2`: after this CPU was switched on.
    on: Option<usize>,
    /// What happens when the second round of a run begins.
    pub(crate) in_second_round: Option<Act>,
}

/// Something that befalls a run.
#[derive(Clone, Copy)]
pub(crate) enum Act {
    /// `first-round`: it is ended as Ctrl-C does, when each probe has had its first round: a slow
    /// machine has no time for more.
    Interrupt,
    /// `off=1`: this CPU is switched off.
    SwitchOff(usize),
}

/// The first child of the round is at work by then.
const UNDER_WAY: Duration = Duration::from_secs(1);

impl How {
    /// What the words say, and the command after them.
    pub(crate) fn of(words: &[String]) -> anyhow::Result<(How, &[String])> {
        let mut how = How::default();
        for (at, word) in words.iter().enumerate() {
            match word.split_once('=').unwrap_or((word, "")) {
                ("plain-user", _) => how.plain_user = true,
                ("real-time", _) => how.real_time = true,
                ("first-round", _) => how.in_second_round = Some(Act::Interrupt),
                ("off", cpu) => how.in_second_round = Some(Act::SwitchOff(cpu.parse()?)),
                ("on", cpu) => how.on = Some(cpu.parse()?),
                ("mask", cpus) => {
                    let mut mask = CpuSet::new();
                    cpus.split(',').try_for_each(|cpu| anyhow::Ok(mask.set(cpu.parse()?)?))?;
                    how.mask = Some(mask);
                }
                _ => return Ok((how, &words[at..])),
            }
        }
        anyhow::bail!("no command after {words:?}")
    }

    /// Makes the calling thread, whose child it will be, and the command so.
    pub(crate) fn prepare(&self, command: &mut Command) -> anyhow::Result<()> {
        if let Some(cpu) = self.on {
            switch(cpu, true)?;
        }
        if let Some(mask) = &self.mask {
            sched_setaffinity(Pid::from_raw(0), mask).context("setting the affinity mask")?;
        }
        if self.real_time {
            sys::enter_real_time().context("entering a real-time class")?;
        }
        if self.plain_user {
            // Debian's kernels have a level that forbids everything to everyone.
            std::fs::write("/proc/sys/kernel/perf_event_paranoid", "3")
                .context("forbidding to count")?;
            command.uid(1000).gid(1000);
        }
        Ok(())
    }
}

impl Act {
    /// Lets it happen to that process.
    pub(crate) fn on(self, id: u32) -> anyhow::Result<()> {
        match self {
            Act::Interrupt => {
                let id = Pid::from_raw(i32::try_from(id)?);
                kill(id, Signal::SIGINT).context("interrupting it")
            }
            Act::SwitchOff(cpu) => {
                std::thread::sleep(UNDER_WAY);
                switch(cpu, false)
            }
        }
    }
}

fn switch(cpu: usize, on: bool) -> anyhow::Result<()> {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/online");
    std::fs::write(&path, if on { "1" } else { "0" }).context(path)
}
