//! Memory of a container that waits for `start`: its process's, and the kernel's for it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::lab::{Lab, check_interrupt};
use super::scenario::Scenario;
use super::subject::Runtime;
use crate::error::{Context, Result};

/// Kilobytes of one waiting container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Runtime.
    pub subject: String,
    /// Resident set of the process.
    pub rss: f64,
    /// Its proportional share, alone.
    pub pss_alone: f64,
    /// The same with many alive.
    pub pss_many: f64,
    /// Memory of no file.
    pub anonymous: f64,
    /// Its page tables (VmPTE).
    pub page_tables: f64,
    /// Growth of the kernel's slabs per container (/proc/meminfo).
    pub slab: f64,
    /// Growth of kernel stacks per container.
    pub kernel_stack: f64,
}

/// Containers that are many.
const MANY: usize = 50;
const MANY_SHORT: usize = 10;

/// Once for each runtime.
pub fn run(lab: &mut Lab, scenario: &Scenario, rounds: usize) -> Result<()> {
    let many = if rounds < MANY { MANY_SHORT } else { MANY };
    for index in 0..lab.runtimes.len() {
        check_interrupt()?;
        let name = lab.runtimes[index].name.clone();
        match measure(lab, scenario, index, many) {
            Ok(memory) => lab.findings.memory.push(memory),
            Err(reason) => lab.skip(scenario, &name, reason),
        }
        lab.runtimes[index].clear();
    }
    Ok(())
}

/// Until a container that is `created` has gone to sleep, and the kernel's workers as well. Not
/// part of any time that is measured.
pub fn settle() {
    std::thread::sleep(Duration::from_millis(300));
}

fn measure(lab: &Lab, scenario: &Scenario, index: usize, many: usize) -> Result<Memory> {
    let runtime = &lab.runtimes[index];
    let pid = create(lab, scenario, runtime, 0)?;
    settle();
    let alone = rollup(pid)?;
    let before = meminfo()?;
    for number in 1..=many {
        create(lab, scenario, runtime, number)?;
    }
    settle();
    let (together, after) = (rollup(pid)?, meminfo()?);
    let growth = |name| (field(&after, name) - field(&before, name)) / many as f64;
    Ok(Memory {
        subject: runtime.name.clone(),
        rss: field(&alone, "Rss"),
        pss_alone: field(&alone, "Pss"),
        pss_many: field(&together, "Pss"),
        anonymous: field(&alone, "Anonymous"),
        page_tables: field(&read(&format!("/proc/{pid}/status"))?, "VmPTE"),
        slab: growth("Slab"),
        kernel_stack: growth("KernelStack"),
    })
}

fn create(lab: &Lab, scenario: &Scenario, runtime: &Runtime, number: usize) -> Result<i32> {
    let id = format!("memory-{number}");
    let bundle = lab.bundles.bundle(&format!("{}-{id}", runtime.name), "pause", scenario.variant)?;
    runtime.create(&bundle, &id).map(|(_, pid)| pid)
}

fn rollup(pid: i32) -> Result<String> {
    read(&format!("/proc/{pid}/smaps_rollup"))
}

fn meminfo() -> Result<String> {
    read("/proc/meminfo")
}

/// A file of procfs.
pub fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).host("read", path)
}

/// The number behind `NAME:`; NaN where there is none.
pub fn field(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "SwapPss:  3 kB\nPss:                  12 kB\nPss_Anon: 8 kB\n";
        assert!((field(text, "Pss") - 12.0).abs() < 1e-9);
        assert!(field(text, "Rss").is_nan());
    }
}
