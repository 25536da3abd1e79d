//! Seccomp filters from outside: read back from the kernel, and run by a machine that shares nothing
//! with the compiler's.
#![allow(unsafe_code)]

use init_core::sys::arch::syscall;
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions};
use serde_json::Value;

/// `struct seccomp_data` without the instruction pointer.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub audit: u32,
    pub number: u32,
    pub args: [u64; 6],
}

pub const X86_64: u32 = 0xc000_003e;
pub const X86: u32 = 0x4000_0003;
pub const X32_BIT: u32 = 0x4000_0000;

/// ptrace(2) on a thread that is not this one.
fn ptrace(request: usize, pid: i32, address: usize, data: usize) -> Result<usize, Errno> {
    let args = [request, pid as usize, address, data, 0];
    // SAFETY: ptrace(2) with the requests below touches this process's memory only where
    // PTRACE_SECCOMP_GET_FILTER is given a buffer, and `read_back` gives one of the size asked for.
    let result = unsafe { syscall(linux_raw_sys::general::__NR_ptrace, args) };
    if result < 0 { Err(Errno::from_raw_os_error(-result as i32)) } else { Ok(result as usize) }
}

/// The filters that a process runs under, the newest first, as the kernel was given them.
pub fn read_back(pid: i32) -> Vec<Vec<u8>> {
    const SEIZE: usize = 0x4206;
    const INTERRUPT: usize = 0x4207;
    const GET_FILTER: usize = 0x420c;
    const DETACH: usize = 17;
    ptrace(SEIZE, pid, 0, 0).unwrap();
    ptrace(INTERRUPT, pid, 0, 0).unwrap();
    let (_, status) = rustix::process::waitpid(Pid::from_raw(pid), WaitOptions::UNTRACED).unwrap().unwrap();
    assert!(status.stopped(), "{status:?}");
    let mut filters = Vec::new();
    loop {
        match ptrace(GET_FILTER, pid, filters.len(), 0) {
            Err(Errno::NOENT | Errno::INVAL) => break,
            count => {
                let mut program = vec![0u8; count.unwrap() * 8];
                ptrace(GET_FILTER, pid, filters.len(), program.as_mut_ptr() as usize).unwrap();
                filters.push(program);
            }
        }
    }
    ptrace(DETACH, pid, 0, 0).unwrap();
    filters
}

/// What a filter decides, as the kernel's classic BPF does (linux/filter.h). It knows what
/// libseccomp and harness emit, and panics at anything else.
pub fn decide(program: &[u8], call: &Call) -> u32 {
    let word = |offset: u32| match offset {
        0 => call.number,
        4 => call.audit,
        16..64 => (call.args[(offset as usize - 16) / 8] >> (offset % 8 * 8)) as u32,
        other => panic!("load of {other}"),
    };
    let (mut at, mut a) = (0, 0u32);
    loop {
        let one: [u8; 8] = program[at * 8..at * 8 + 8].try_into().unwrap();
        let code = u16::from_le_bytes([one[0], one[1]]);
        let k = u32::from_le_bytes([one[4], one[5], one[6], one[7]]);
        at += 1;
        let holds = match code {
            0x20 => {
                a = word(k);
                continue;
            }
            0x54 => {
                a &= k;
                continue;
            }
            0x05 => {
                at += k as usize;
                continue;
            }
            0x06 => return k,
            0x15 => a == k,
            0x25 => a > k,
            0x35 => a >= k,
            0x45 => a & k != 0,
            other => panic!("instruction {other:#x}"),
        };
        at += usize::from(if holds { one[2] } else { one[3] });
    }
}

/// Argument vectors around every operand of a profile: one more and less, another high half, the
/// low half alone, the complement, and all of that with the rest of the arguments 0 or all ones.
pub fn vectors(profile: &Value) -> Vec<[u64; 6]> {
    let mut vectors = vec![[0; 6], [u64::MAX; 6]];
    let rules = profile["syscalls"].as_array().into_iter().flatten();
    for rule in rules {
        let args: Vec<&Value> = rule["args"].as_array().into_iter().flatten().collect();
        for arg in &args {
            for operand in ["value", "valueTwo"].map(|field| arg[field].as_u64().unwrap_or(0)) {
                for value in [
                    operand,
                    operand.wrapping_add(1),
                    operand.wrapping_sub(1),
                    operand.wrapping_add(1 << 32),
                    operand & 0xffff_ffff,
                    operand | 1 << 63,
                    !operand,
                ] {
                    for base in [0, u64::MAX] {
                        let mut vector = [base; 6];
                        for other in &args {
                            vector[other["index"].as_u64().unwrap() as usize] =
                                other["value"].as_u64().unwrap();
                        }
                        vector[arg["index"].as_u64().unwrap() as usize] = value;
                        vectors.push(vector);
                    }
                }
            }
        }
    }
    vectors.sort_unstable();
    vectors.dedup();
    vectors
}
