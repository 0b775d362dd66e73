//! Hardware counters around timed work.
//!
//! Events are counted in pinned groups, which the kernel counts whole or not at all, of this thread
//! in user space only. A sample is counted by one group, the next sample by the next group. Counts
//! whose group did not run all the time it was enabled are thrown away, never scaled. Counters are
//! read before the first and after the last stamp of a sample: from user space (`rdpmc`) where the
//! kernel allows that and a trial has shown that it is right, else by read(2).

mod events;

use std::fs::File;
use std::time::Duration;
use std::{fmt, io};

use card::counters::{Counting, Counts, Event, Wanted};
use perf_event::events::Raw;
use perf_event::{Builder, Counter, ReadFormat, Sampler, UserReadData};

use crate::sys::file;

pub use events::{EventFile, RawEvent, aperf, wanted};

/// Whether the event can be opened, alone, as it will be.
///
/// # Errors
///
/// What the kernel said, or that the counter never ran.
pub fn opens(wanted: &Wanted) -> io::Result<()> {
    Group::open(&[wanted], false).map(drop)
}

/// Groups of counters that take turns.
#[derive(Debug, Default)]
pub struct Session {
    groups: Vec<Group>,
    turn: usize,
    /// Counts whatever the turn: what disturbs a sample.
    watch: Option<Group>,
}

impl Session {
    /// Opens as many groups as the events need; those that nothing can be done for are left out.
    pub fn open(counting: &Counting) -> Session {
        let those = |of: fn(Event) -> bool| -> Vec<&Wanted> {
            counting.events.iter().filter(|w| of(w.event)).collect()
        };
        let mut rest = those(|event| !event.is_software() && event != Event::Interrupts);
        // A sample with an interrupt is a disturbed one, whatever else is counted.
        let always = those(|event| event == Event::Interrupts);
        let mut groups = Vec::new();
        while !rest.is_empty() {
            let together = [&always[..], &rest[..]].concat();
            // Pages to read from user space are limited; what finds none is read by calls.
            let direct = counting.direct.then(|| Group::largest(&together, true)).flatten();
            match direct.or_else(|| Group::largest(&together, false)) {
                Some(group) if group.members.len() > always.len() => {
                    rest.drain(..group.members.len() - always.len());
                    groups.push(group);
                }
                // The first of them cannot be counted now: another program may hold its counter.
                _ => drop(rest.remove(0)),
            }
        }
        let of_kernel = those(|event| event.is_software() && event != Event::Migrations);
        groups.extend(Group::largest(&of_kernel, false));
        let watch = Group::largest(&those(|event| event == Event::Migrations), false);
        Session { groups, turn: 0, watch }
    }

    /// Whether it counts that event in some samples.
    pub fn counts(&self, event: Event) -> bool {
        self.groups.iter().any(|group| group.members.iter().any(|m| m.event == event))
    }

    /// Whether all counters of the core are read from user space.
    pub fn is_direct(&self) -> bool {
        !self.groups.is_empty() && self.groups.iter().all(|g| g.direct_snapshot().is_some())
    }

    /// Starts the group whose turn it is.
    pub fn begin(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.start();
        }
        if let Some(group) = self.groups.get_mut(self.turn) {
            group.start();
        }
    }

    /// What it counted since, as far as that is worth anything.
    pub fn end(&mut self) -> Counts {
        let mut counts = Counts::new();
        if let Some(group) = self.groups.get_mut(self.turn) {
            counts.extend(group.stop().into_iter().flatten());
            self.turn = (self.turn + 1) % self.groups.len();
        }
        if let Some(watch) = &mut self.watch {
            counts.extend(watch.stop().into_iter().flatten());
        }
        counts
    }
}

/// What read(2) says of a group: how many counters, two times, and a value and a number for each.
#[derive(Debug)]
struct Words {
    words: [u64; Words::MOST],
    read: bool,
}

impl Words {
    /// More counters than any core has.
    const MOST: usize = 3 + 2 * 32;

    fn nothing() -> Words {
        Words { words: [0; Words::MOST], read: false }
    }

    /// Nothing but the system call: what else is done here would be counted.
    fn take(&mut self, group: &mut File) {
        self.read = file::read_words(group, &mut self.words).is_ok_and(|words| words > 3);
    }

    /// In the order of these numbers, which the kernel gave the counters.
    fn of(&self, ids: impl Iterator<Item = u64>) -> Option<Snapshot> {
        let [counters, enabled, running, pairs @ ..] = &self.words;
        let pairs = pairs.chunks_exact(2).take(usize::try_from(*counters).ok()?);
        let value = |id| pairs.clone().find(|pair| pair[1] == id).map(|pair| pair[0]);
        let values = ids.map(value).collect::<Option<_>>()?;
        self.read.then_some(Snapshot { enabled: *enabled, running: *running, values })
    }
}

/// Values of a group's counters at one moment, in the order of its members.
#[derive(Clone, Debug, PartialEq)]
struct Snapshot {
    /// Time for which the group was to count.
    enabled: u64,
    /// Time for which it did.
    running: u64,
    values: Vec<u64>,
}

/// What was counted between two moments; `None` unless the group ran all the time.
fn difference(before: &Snapshot, after: &Snapshot) -> Option<Vec<u64>> {
    let enabled = after.enabled.checked_sub(before.enabled)?;
    let running = after.running.checked_sub(before.running)?;
    if enabled == 0 || running != enabled {
        return None;
    }
    before.values.iter().zip(&after.values).map(|(b, a)| a.checked_sub(*b)).collect()
}

/// Counters that the kernel counts together. The first is their leader.
#[derive(Debug)]
struct Group {
    members: Vec<Member>,
    /// The leader's file, which all of them are read from.
    file: File,
    before: Words,
    after: Words,
    /// Where the counters can be read without a system call.
    directly: Option<Snapshot>,
}

#[derive(Debug)]
struct Member {
    event: Event,
    counter: Handle,
}

enum Handle {
    Read(Counter),
    Direct(Sampler),
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Handle::Read(_) => "Read",
            Handle::Direct(_) => "Direct",
        })
    }
}

impl Handle {
    fn counter(&mut self) -> &mut Counter {
        match self {
            Handle::Read(counter) => counter,
            Handle::Direct(sampler) => sampler,
        }
    }
}

impl Group {
    /// The longest beginning of the list that the PMU counts at once.
    fn largest(wanted: &[&Wanted], direct: bool) -> Option<Group> {
        (1..=wanted.len()).rev().find_map(|n| Group::open(&wanted[..n], direct).ok())
    }

    /// All of them, or an error; a short trial shows whether the kernel finds room for them.
    fn open(wanted: &[&Wanted], direct: bool) -> io::Result<Group> {
        let mut members: Vec<Member> = Vec::with_capacity(wanted.len());
        for w in wanted {
            let mut request = Builder::new(Raw::new(w.encoding.config));
            request.attrs_mut().type_ = w.encoding.kind;
            request
                .read_format(
                    ReadFormat::GROUP
                        | ReadFormat::TOTAL_TIME_ENABLED
                        | ReadFormat::TOTAL_TIME_RUNNING,
                )
                .exclude_kernel(!w.in_kernel)
                .exclude_hv(!w.in_kernel);
            let counter = match members.first_mut() {
                None => request.pinned(true).build()?,
                Some(leader) => request.build_with_group(leader.counter.counter())?,
            };
            // The page that tells where the counter is; there are no samples.
            let counter =
                if direct { Handle::Direct(counter.sampled(0)?) } else { Handle::Read(counter) };
            members.push(Member { event: w.event, counter });
        }
        let file = match members.first_mut() {
            Some(leader) => file::of_counter(leader.counter.counter())?,
            None => return Err(io::Error::other("a group of no events")),
        };
        let (before, after) = (Words::nothing(), Words::nothing());
        let mut group = Group { members, file, before, after, directly: None };
        group.start();
        std::hint::black_box(crate::kernel::chain::add(10_000));
        match group.stop() {
            Some(_) => Ok(group),
            None => Err(io::Error::other("the group is not counted all the time")),
        }
    }

    fn leader(&mut self) -> &mut Counter {
        self.members[0].counter.counter()
    }

    fn start(&mut self) {
        let enabled = self.leader().enable_group().is_ok();
        self.directly = self.direct_snapshot();
        self.before.read = false;
        if enabled && self.directly.is_none() {
            self.before.take(&mut self.file);
        }
    }

    /// What was counted since the start; `None` unless all of it was.
    fn stop(&mut self) -> Option<Vec<(Event, u64)>> {
        let (before, after) = match self.directly.take() {
            Some(before) => (Some(before), self.direct_snapshot()),
            None => {
                self.after.take(&mut self.file);
                (self.before.of(self.ids()), self.after.of(self.ids()))
            }
        };
        self.leader().disable_group().ok()?;
        let counted = difference(&before?, &after?)?;
        Some(self.members.iter().map(|m| m.event).zip(counted).collect())
    }

    fn ids(&self) -> impl Iterator<Item = u64> {
        self.members.iter().map(|member| match &member.counter {
            Handle::Read(counter) => counter.id(),
            Handle::Direct(sampler) => sampler.id(),
        })
    }

    /// Without a system call, if every counter of the group can be read like that now.
    fn direct_snapshot(&self) -> Option<Snapshot> {
        let read = |member: &Member| match &member.counter {
            Handle::Direct(sampler) => Some(sampler.read_user()),
            Handle::Read(_) => None,
        };
        let all: Vec<UserReadData> = self.members.iter().map(read).collect::<Option<_>>()?;
        Some(Snapshot {
            enabled: nanos(all[0].time_enabled()),
            running: nanos(all[0].time_running()),
            values: all.iter().map(UserReadData::count).collect::<Option<_>>()?,
        })
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memory::{Buffer, Pages};

    fn at(enabled: u64, running: u64, values: &[u64]) -> Snapshot {
        Snapshot { enabled, running, values: values.to_vec() }
    }

    #[test]
    fn values_are_found_by_the_number_of_their_counter() {
        let mut reading = Words::nothing();
        reading.words[..7].copy_from_slice(&[2, 500, 400, 1111, 71, 2222, 72]);
        assert_eq!(reading.of([71].into_iter()), None, "nothing was read yet");
        reading.read = true;
        let of = |ids: &[u64]| reading.of(ids.iter().copied());
        assert_eq!(of(&[71, 72]), Some(at(500, 400, &[1111, 2222])));
        assert_eq!(of(&[72, 71]), Some(at(500, 400, &[2222, 1111])));
        assert_eq!(of(&[71, 73]), None);
        // What lies beyond the counters that were read is old.
        reading.words[7..9].copy_from_slice(&[3333, 73]);
        assert_eq!(reading.of([73].into_iter()), None);
    }

    #[test]
    fn only_what_ran_all_the_time_counts() {
        let before = at(1000, 900, &[7, 70]);
        assert_eq!(difference(&before, &at(1500, 1400, &[17, 90])), Some(vec![10, 20]));
        // Taken off the PMU in between, or never on it.
        assert_eq!(difference(&before, &at(1500, 1399, &[17, 90])), None);
        assert_eq!(difference(&before, &at(1500, 900, &[7, 70])), None);
        assert_eq!(difference(&before, &at(1000, 900, &[7, 70])), None);
        // Set back by somebody else.
        assert_eq!(difference(&before, &at(1500, 1400, &[6, 90])), None);
    }

    /// The kernel's own events are there without a PMU, and show that groups are read rightly.
    #[test]
    fn page_faults_are_counted_one_by_one_and_by_name() {
        let of = |event| wanted(None, None).into_iter().find(|w| w.event == event);
        let events = [Event::ContextSwitches, Event::Faults, Event::Migrations];
        let counting =
            Counting { events: events.into_iter().filter_map(of).collect(), direct: false };
        let mut session = Session::open(&counting);
        if session.groups.is_empty() {
            return eprintln!("perf_event_open is not permitted here: nothing counted");
        }
        for pages in [1_u64, 10, 100] {
            let page = Pages::Small.bytes();
            let bytes = usize::try_from(pages).unwrap() * page;
            let buffer = Buffer::untouched(bytes, Pages::Small).unwrap();
            session.begin();
            (0..bytes).step_by(page).for_each(|at| crate::kernel::line::touch(&buffer, at));
            let counts = session.end();
            let faults = counts[&Event::Faults];
            assert!((pages..pages + 3).contains(&faults), "{faults} faults of {pages} pages");
            assert!(counts.get(&Event::ContextSwitches).is_none_or(|&n| n < faults.max(3)));
        }
    }
}
