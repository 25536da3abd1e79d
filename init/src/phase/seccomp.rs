//! The seccomp filter: checked for what the kernel does not check, and loaded in one call.
//!
//! Between the load and execve(2) init makes no system call but the final capset(2) of a process
//! without `no_new_privs`; the profile need allow nothing else.

use crate::failure::{At, Fault, Op};
use crate::sys;

/// First word of a section: `BPFi`, little-endian.
const MAGIC: u32 = 0x6946_5042;
const VERSION: u16 = 1;
/// Length of a section's header in bytes.
pub const HEADER: usize = 16;
/// `BPF_MAXINSNS` of linux/bpf_common.h.
const MOST: usize = 4096;
/// `SECCOMP_FILTER_FLAG_NEW_LISTENER` of linux/seccomp.h.
const NEW_LISTENER: u32 = 8;
/// `SECCOMP_FILTER_FLAG_LOG`, `SPEC_ALLOW`, `NEW_LISTENER`, `WAIT_KILLABLE_RECV`. Init is one
/// thread, so that `TSYNC` has no use.
const FLAGS: u32 = 2 | 4 | NEW_LISTENER | 32;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
#[cfg(target_arch = "riscv64")]
const ARCHITECTURE: u32 = 0xc000_00f3;

/// A filter as it came: flags and whole instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter<'a> {
    flags: u32,
    program: &'a [u8],
}

impl<'a> Filter<'a> {
    /// Reads a section: magic, version, number of instructions, `AUDIT_ARCH_*`, flags, then the
    /// instructions. It must be for this architecture and exactly as long as it says.
    pub fn parse(section: &'a [u8]) -> Option<Self> {
        let (header, program) = section.split_first_chunk::<HEADER>()?;
        let word = |at: usize| {
            header.get(at..at + 4).and_then(|word| word.first_chunk()).map(|word| u32::from_le_bytes(*word))
        };
        let count = (word(4)? >> 16) as usize;
        let good = word(0)? == MAGIC
            && word(4)? as u16 == VERSION
            && word(8)? == ARCHITECTURE
            && word(12)? & !FLAGS == 0
            && (1..=MOST).contains(&count)
            && program.len() == count * 8;
        if good { Some(Self { flags: word(12)?, program }) } else { None }
    }

    /// Whether somebody is to be notified.
    pub fn notifies(&self) -> bool {
        self.flags & NEW_LISTENER != 0
    }

    /// seccomp(2). The number of the listener's descriptor, where there is one.
    pub fn load(&self) -> Result<Option<u32>, Fault<'static>> {
        let listener = sys::task::set_filter(self.program, self.flags).at(Op::Seccomp, c"")?;
        Ok(if self.notifies() { Some(listener as u32) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn section(count: u16, program: usize) -> Vec<u8> {
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(ARCHITECTURE.to_le_bytes());
        bytes.extend(4u32.to_le_bytes());
        bytes.resize(HEADER + program, 7);
        bytes
    }

    #[test]
    fn sections_are_held_against_the_protocol() {
        let good = section(2, 16);
        assert_eq!(Filter::parse(&good), Some(Filter { flags: 4, program: &[7; 16] }));
        for bad in [section(2, 15), section(2, 24), section(0, 0), section(4097, 4097 * 8), Vec::new()] {
            assert_eq!(Filter::parse(&bad), None);
        }
        for at in [0, 4, 8, 15] {
            let mut bad = good.clone();
            bad[at] ^= 0x80;
            assert_eq!(Filter::parse(&bad), None, "byte {at}");
        }
        assert!(Filter::parse(&section(4096, 4096 * 8)).is_some());
    }
}
