//! The numbers of all architectures against libseccomp's resolver, in both directions.

use libseccomp::ScmpSyscall;

use crate::peer;
use crate::seccomp::arch::X32_BIT;
use crate::seccomp::table::{ROWS, Row};
use crate::seccomp::{Arch, find_number};

/// Calls that libseccomp need not know: those younger than 2.5.4 of Debian 12, by kernel.
const YOUNG: [(&str, &str); 15] = [
    ("riscv_hwprobe", "6.4"),
    ("statmount", "6.8"),
    ("listmount", "6.8"),
    ("lsm_get_self_attr", "6.8"),
    ("lsm_set_self_attr", "6.8"),
    ("lsm_list_modules", "6.8"),
    ("mseal", "6.10"),
    ("uretprobe", "6.11"),
    ("setxattrat", "6.13"),
    ("getxattrat", "6.13"),
    ("listxattrat", "6.13"),
    ("removexattrat", "6.13"),
    ("open_tree_attr", "6.15"),
    ("uprobe", "6.17"),
    ("file_getattr", "6.17"),
];

/// Highest number that is looked up, and where the private ones of 32-bit ARM are.
const DENSE: i32 = 1024;
const PRIVATE: std::ops::Range<i32> = 0xf_0000..0xf_0010;

/// How many numbers are the same; all differences, if there are any.
pub fn compare() -> Result<usize, String> {
    let mut differences = Vec::new();
    let mut compared = 0;
    for arch in Arch::ALL {
        let rows = ROWS.iter().map(|row| by_name(arch, row));
        let numbers = (0..DENSE).chain(PRIVATE).map(|number| by_number(arch, number));
        for result in rows.chain(numbers) {
            match result {
                Ok(same) => compared += usize::from(same),
                Err(error) => differences.push(format!("{}: {error}", arch.name())),
            }
        }
    }
    if differences.is_empty() { Ok(compared) } else { Err(differences.join("\n")) }
}

/// False for names that libseccomp is too old for.
fn by_name(arch: Arch, row: &Row) -> Result<bool, String> {
    let name = row.name;
    let Ok(theirs) = ScmpSyscall::from_name_by_arch(name, peer::arch(arch)) else {
        let young = YOUNG.iter().any(|(young, _)| *young == name);
        return if young { Ok(false) } else { Err(format!("{name} is unknown to libseccomp")) };
    };
    let theirs = theirs.as_raw_syscall();
    if let Some((number, call)) = row.multiplexed.filter(|_| arch == Arch::X86) {
        // Such a call is 100 (socketcall) or 200 (ipc) and its number there, negative.
        let base = if number == 102 { 100 } else { 200 };
        let through = ScmpSyscall::from_name_by_arch_rewrite(name, peer::arch(arch));
        let through = through.map_err(|error| format!("{name}: {error}"))?.as_raw_syscall();
        return if (theirs, through) == (-base - call as i32, number as i32) {
            Ok(true)
        } else {
            Err(format!("{name} is {call} of {number}, of libseccomp {theirs} and {through}"))
        };
    }
    let ours = arch.number(row).map(|number| raw(arch, number));
    // Negative ones stand for calls of other architectures.
    if ours == Some(theirs) || ours.is_none() && theirs < 0 {
        Ok(true)
    } else {
        Err(format!("{name} is {ours:?}, of libseccomp {theirs}"))
    }
}

/// False for numbers that libseccomp has no name of.
fn by_number(arch: Arch, number: i32) -> Result<bool, String> {
    let call = ScmpSyscall::from_raw_syscall(raw(arch, number as u32));
    let Ok(name) = call.get_name_by_arch(peer::arch(arch)) else { return Ok(false) };
    match find_number(arch, &name) {
        Some(ours) if ours == number as u32 => Ok(true),
        ours => Err(format!("{number} is {name} of libseccomp, which is {ours:?}")),
    }
}

fn raw(arch: Arch, number: u32) -> i32 {
    (number | if arch == Arch::X32 { X32_BIT } else { 0 }) as i32
}
