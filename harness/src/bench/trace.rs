//! What the kernel saw of one command: a tracefs instance of our own, with its system calls and
//! its switches on and off the processors, on the clock that init stamps its phases with.

use std::path::{Path, PathBuf};

use super::arena::mount;
use crate::error::{Context, Result};

/// Events to record.
const EVENTS: [&str; 5] = [
    "raw_syscalls/sys_enter",
    "raw_syscalls/sys_exit",
    "sched/sched_switch",
    "sched/sched_waking",
    "sched/sched_process_fork",
];

/// An instance; removed when dropped.
pub struct Trace {
    instance: PathBuf,
}

impl Trace {
    /// Makes the instance and records this process and all its children from here on.
    pub fn begin(arena: &Path) -> Result<Self> {
        let root = arena.join("tracing");
        if !root.exists() {
            std::fs::create_dir(&root).host("mkdir", root.display())?;
            mount("tracefs", &root, None)?;
        }
        let instance = root.join("instances").join(format!("harness-bench-{}", std::process::id()));
        std::fs::create_dir(&instance).host("mkdir", instance.display())?;
        let trace = Self { instance };
        trace.write("trace_clock", "mono")?;
        trace.write("buffer_size_kb", "4096")?;
        trace.write("options/event-fork", "1")?;
        trace.write("set_event_pid", &std::process::id().to_string())?;
        for event in EVENTS {
            trace.write(&format!("events/{event}/enable"), "1")?;
        }
        Ok(trace)
    }

    /// Stops, and returns what was recorded.
    pub fn end(self) -> Result<Vec<Event>> {
        self.write("tracing_on", "0")?;
        let path = self.instance.join("trace");
        let text = std::fs::read_to_string(&path).host("read", path.display())?;
        Ok(text.lines().flat_map(parse).collect())
    }

    fn write(&self, file: &str, value: &str) -> Result<()> {
        let path = self.instance.join(file);
        std::fs::write(&path, value).host("write", path.display())
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if let Err(errno) = rustix::fs::rmdir(&self.instance) {
            eprintln!("warning: bench: rmdir {}: {}", self.instance.display(), crate::error::describe(errno));
        }
    }
}

/// Something that happened, in microseconds of `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// When.
    pub at: f64,
    /// The process that did it.
    pub pid: i32,
    /// What.
    pub what: What,
}

/// Kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A system call begins.
    Enter(u32),
    /// It ends.
    Exit,
    /// The process leaves the processor: blocked, or only preempted.
    Off {
        /// It waits for something.
        blocked: bool,
    },
    /// It gets the processor.
    On,
    /// It wakes another.
    Wakes(i32),
    /// It makes a child.
    Forks(i32),
}

/// A line of the `trace` file: `comm-pid [cpu] flags time: event: fields`. A switch is two events.
fn parse(line: &str) -> Vec<Event> {
    let Some((pid, at, event, fields)) = split(line) else { return Vec::new() };
    let number = |name: &str| {
        let value = fields.split_whitespace().find_map(|word| word.strip_prefix(name));
        value.and_then(|value| value.parse::<i32>().ok())
    };
    let call = || fields.strip_prefix("NR ")?.split(' ').next()?.parse().ok();
    let blocked = !fields.contains("prev_state=R");
    let found = match event {
        "sys_enter" => [call().map(|call| (pid, What::Enter(call))), None],
        "sys_exit" => [Some((pid, What::Exit)), None],
        "sched_waking" => [number("pid=").map(|other| (pid, What::Wakes(other))), None],
        "sched_process_fork" => [number("child_pid=").map(|child| (pid, What::Forks(child))), None],
        "sched_switch" => [
            number("prev_pid=").map(|pid| (pid, What::Off { blocked })),
            number("next_pid=").map(|pid| (pid, What::On)),
        ],
        _ => [None, None],
    };
    found.into_iter().flatten().map(|(pid, what)| Event { at, pid, what }).collect()
}

/// Pid, microseconds, name and fields of an event.
fn split(line: &str) -> Option<(i32, f64, &str, &str)> {
    // A name may hold anything but what stands between it and the CPU.
    let (task, rest) = line.split_once(" [0").filter(|_| !line.starts_with('#'))?;
    let pid = task.trim_end().rsplit('-').next()?.parse().ok()?;
    let mut parts = rest.splitn(3, ": ");
    let seconds: f64 = parts.next()?.split_whitespace().last()?.parse().ok()?;
    Some((pid, seconds * 1e6, parts.next()?.trim(), parts.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_events() {
        let events = |line: &str| -> Vec<(i32, What)> {
            parse(line).into_iter().map(|event| (event.pid, event.what)).collect()
        };
        assert_eq!(events("# tracer: nop"), []);
        let enter = "         harness-123     [001] .....   345.678901: sys_enter: NR 59 (7ff, 1, 0)";
        assert_eq!(events(enter), [(123, What::Enter(59))]);
        assert!(parse(enter).iter().all(|event| (event.at - 345_678_901.0).abs() < 0.5));
        assert_eq!(
            events(
                "  a-b c-7  [000] d..2.  1.000000: sched_switch: prev_comm=a-b c prev_pid=7 prev_prio=120 \
                 prev_state=S ==> next_comm=swapper/0 next_pid=0 next_prio=120"
            ),
            [(7, What::Off { blocked: true }), (0, What::On)]
        );
        let fork = "x-7 [000] d..2. 1.5: sched_process_fork: comm=x pid=7 child_comm=x child_pid=9";
        assert_eq!(events(fork), [(7, What::Forks(9))]);
        let waking = "x-7 [000] d..2. 1.5: sched_waking: comm=y pid=9 prio=120 target_cpu=001";
        assert_eq!(events(waking), [(7, What::Wakes(9))]);
    }
}
