//! A machine for classic BPF, as the kernel runs filters: for the pre-flight, `explain` and tests.

use super::code::{AND, AT_LEAST, EQUAL, GREATER, Instruction, JUMP, LOAD, RETURN};

/// `struct seccomp_data` of linux/seccomp.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// `AUDIT_ARCH_*`.
    pub audit: u32,
    /// Number.
    pub number: u32,
    /// Arguments.
    pub args: [u64; 6],
}

impl Call {
    /// A word of the structure, at its offset; the instruction pointer is 0.
    fn word(&self, offset: u32) -> Option<u32> {
        match offset {
            0 => Some(self.number),
            4 => Some(self.audit),
            8 | 12 => Some(0),
            _ if offset.is_multiple_of(4) => {
                let argument = self.args.get((offset as usize).checked_sub(16)? / 8)?;
                Some(if offset.is_multiple_of(8) { *argument as u32 } else { (*argument >> 32) as u32 })
            }
            _ => None,
        }
    }
}

/// Runs a filter: the verdict, and how many instructions that took. `None` for a program that the
/// kernel would not have accepted.
pub fn run(program: &[Instruction], call: &Call) -> Option<(u32, u32)> {
    let (mut at, mut accumulator, mut steps) = (0usize, 0u32, 0u32);
    loop {
        let one = program.get(at)?;
        at += 1;
        steps += 1;
        let holds = match one.code {
            LOAD => {
                accumulator = call.word(one.k)?;
                continue;
            }
            AND => {
                accumulator &= one.k;
                continue;
            }
            JUMP => {
                at += one.k as usize;
                continue;
            }
            RETURN => return Some((one.k, steps)),
            EQUAL => accumulator == one.k,
            GREATER => accumulator > one.k,
            AT_LEAST => accumulator >= one.k,
            _ => return None,
        };
        at += usize::from(if holds { one.jt } else { one.jf });
    }
}
