//! Calls under a filter, for tests: what the kernel answers.
#![allow(clippy::unwrap_used)] // For tests; clippy does not see that in `cfg(all(test, ...))`.

use std::arch::asm;

use crate::seccomp::machine::{self, Call};
use crate::seccomp::{Arch, Filter, action};

/// Loads a filter in a thread of its own, makes calls there, and returns what each of them did. It
/// insists on ERRNO for each, so that none is carried out, whatever its number and arguments.
pub fn answers(filter: &Filter, calls: &[Call]) -> Vec<i32> {
    for call in calls {
        let (verdict, _) = machine::run(&filter.program, call).unwrap();
        assert_eq!(verdict & action::MASK, action::ERRNO, "{call:x?}");
    }
    let section = filter.section();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut answers = vec![0; calls.len()];
            rustix::thread::set_no_new_privs(true).unwrap();
            init_core::sys::task::set_filter(&section[16..], 0).unwrap();
            for (answer, call) in answers.iter_mut().zip(calls) {
                *answer = if call.audit == Arch::X86.audit() { narrow(call) } else { wide(call) };
            }
            answers
        });
        thread.join().unwrap()
    })
}

/// A call of x86-64, or of x32.
fn wide(call: &Call) -> i32 {
    let out: i64;
    // SAFETY: the filter answers the call (`answers`), so the arguments mean nothing; the kernel's
    // entry clobbers rcx and r11 only.
    unsafe {
        asm!("syscall", inlateout("rax") u64::from(call.number) => out, in("rdi") call.args[0],
             in("rsi") call.args[1], in("rdx") call.args[2], in("r10") call.args[3], in("r8") call.args[4],
             in("r9") call.args[5], lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    out as i32
}

/// A call of 32-bit x86.
fn narrow(call: &Call) -> i32 {
    let args = call.args.map(|argument| argument as u32);
    let out: i64;
    // SAFETY: as above; the entry for 32-bit calls may clear r8 to r11 besides. The registers that
    // the compiler keeps for itself are saved on the stack.
    unsafe {
        asm!("push rbx", "push rbp", "mov ebx, [r8]", "mov ecx, [r8 + 4]", "mov edx, [r8 + 8]",
             "mov esi, [r8 + 12]", "mov edi, [r8 + 16]", "mov ebp, [r8 + 20]", "int 0x80", "pop rbp", "pop rbx",
             inlateout("rax") u64::from(call.number) => out, inout("r8") args.as_ptr() => _, out("rcx") _,
             out("rdx") _, out("rsi") _, out("rdi") _, out("r9") _, out("r10") _, out("r11") _);
    }
    out as i32
}
