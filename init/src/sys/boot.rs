//! The initial stack (System V ABI, "Process Initialization"): environment and auxiliary vector.

use core::ffi::{CStr, c_char};
use core::mem::MaybeUninit;
use core::ops::Range;

use crate::InitType;
use crate::failure::{Fault, Op};
use crate::wire::MAX_INLINE;

/// What the kernel put on the stack for this process.
pub struct Boot {
    name: usize,
    environment: *const *mut c_char,
    /// The kernel says that privileges were gained at execve (`AT_SECURE`, getauxval(3)).
    pub secure: bool,
    /// Which list of steps to run.
    pub init_type: InitType,
}

impl Boot {
    /// Reads the initial stack.
    ///
    /// # Safety
    /// `stack` must be the stack pointer that the kernel gave to the process's first instruction.
    pub unsafe fn new(stack: *const usize) -> Self {
        // SAFETY: the first word is argc; argv, a null, envp, a null and auxv follow.
        let argc = unsafe { stack.read() };
        // SAFETY: the pointer to argv[0] follows, or the null one.
        let name = unsafe { stack.wrapping_add(1).read() };
        let environment = stack.wrapping_add(argc + 2);
        // SAFETY: envp begins after argc words of argv and its null.
        let secure = unsafe { is_secure(environment) };
        Self { name, environment: environment.cast(), secure, init_type: InitType::Standard }
    }

    /// The stack of what runs before [`sys::go_on`](super::go_on), but for its last page: there lies the
    /// name by which others know init (/proc/PID/cmdline).
    pub fn stack(&self) -> Range<usize> {
        const DEEPEST: usize = 128 * 1024;
        self.name.saturating_sub(DEEPEST)..self.name
    }

    /// The value of an environment variable.
    pub fn value(&self, name: &CStr) -> Option<&[u8]> {
        let mut entry = self.environment;
        loop {
            // SAFETY: envp is a sequence of pointers that ends with a null one.
            let text = unsafe { entry.read() };
            if text.is_null() {
                return None;
            }
            // SAFETY: each entry of envp is a NUL-terminated string on the initial stack.
            let text = unsafe { CStr::from_ptr(text) }.to_bytes();
            if let Some(value) = text.strip_prefix(name.to_bytes()).and_then(|rest| rest.strip_prefix(b"=")) {
                return Some(value);
            }
            entry = entry.wrapping_add(1);
        }
    }

    /// The value of an environment variable that must be a descriptor number.
    pub fn number(&self, name: &'static CStr) -> Result<i32, Fault<'static>> {
        let digits = self.value(name).filter(|digits| (1..=9).contains(&digits.len()));
        let number = digits.and_then(|digits| {
            digits.iter().try_fold(0, |value, digit| {
                digit.is_ascii_digit().then(|| value * 10 + i32::from(digit - b'0'))
            })
        });
        number.ok_or(Fault::check(Op::Environment, name))
    }

    /// Overwrites the environment with NULs: it says which descriptors init holds.
    pub fn clear_environment(&mut self) {
        let mut entry = self.environment;
        loop {
            // SAFETY: envp is a sequence of pointers that ends with a null one.
            let mut text = unsafe { entry.read() };
            if text.is_null() {
                return;
            }
            // SAFETY: the strings of the initial stack are writable and NUL-terminated, and no
            // reference into them outlives `&mut self`.
            while unsafe { text.read() } != 0 {
                // SAFETY: as above.
                unsafe { text.write(0) };
                text = text.wrapping_add(1);
            }
            entry = entry.wrapping_add(1);
        }
    }
}

/// Whether execve(2) granted privileges (`AT_SECURE`, getauxval(3)).
///
/// # Safety
/// `environment` must be the initial envp of the process, which the auxiliary vector follows.
pub unsafe fn is_secure(environment: *const usize) -> bool {
    const AT_SECURE: usize = 23;
    let mut auxiliary = environment;
    // SAFETY: envp ends with a null word.
    while unsafe { auxiliary.read() } != 0 {
        auxiliary = auxiliary.wrapping_add(1);
    }
    auxiliary = auxiliary.wrapping_add(1);
    let mut secure = false;
    // SAFETY: auxv is pairs of words and ends with a pair whose first word is AT_NULL, 0.
    while let key @ 1.. = unsafe { auxiliary.read() } {
        let value = auxiliary.wrapping_add(1);
        // SAFETY: the value follows its key.
        secure |= key == AT_SECURE && unsafe { value.read() } != 0;
        auxiliary = auxiliary.wrapping_add(2);
    }
    secure
}

/// Init's memory: untouched pages cost nothing.
pub struct Memory {
    /// For what the configuration holds.
    pub arena: &'static mut [MaybeUninit<u8>],
    /// For an inline configuration.
    pub message: &'static mut [u8],
    /// For what is needed after the gate.
    pub rest: &'static mut [MaybeUninit<u8>],
    /// The stack of what runs from the gate on.
    pub stack: &'static mut [MaybeUninit<u8>],
    /// What need not stay in memory while the container waits, besides the first two: init's program and its
    /// constants.
    pub image: Range<usize>,
}

/// Most that the values of an inline configuration take.
const ARENA: usize = 1024 * 1024;
/// Most that arguments and environment may take to be kept apart.
const REST: usize = 64 * 1024;

/// Of the stack from the gate on. All of init stays below 32 KiB.
const STACK: usize = 64 * 1024;
/// Of the page that the upper end of the stack and the beginning of `rest` share: with little to keep, it
/// is all of its own memory that a waiting init has.
const SHARE: usize = 2048;

/// What is needed from the gate on.
#[repr(C, align(4096))]
struct Late {
    stack: [MaybeUninit<u8>; STACK + SHARE],
    rest: [MaybeUninit<u8>; REST - SHARE],
}

/// Page-aligned, so that giving one back takes nothing of the next.
#[repr(C, align(4096))]
struct Bytes<T, const N: usize>([T; N]);

static mut ARENA_BYTES: Bytes<MaybeUninit<u8>, ARENA> = Bytes([MaybeUninit::uninit(); ARENA]);
static mut MESSAGE_BYTES: Bytes<u8, MAX_INLINE> = Bytes([0; MAX_INLINE]);
static mut LATE_BYTES: Late =
    Late { stack: [MaybeUninit::uninit(); STACK + SHARE], rest: [MaybeUninit::uninit(); REST - SHARE] };

/// Hands the static memory out. `image` is the address range of the program up to its `.bss`.
///
/// # Safety
/// May be called once.
pub unsafe fn memory(image: Range<usize>) -> Memory {
    let (arena, message, late) = (&raw mut ARENA_BYTES, &raw mut MESSAGE_BYTES, &raw mut LATE_BYTES);
    // SAFETY: the caller calls once, so this is the only reference to the static.
    let arena = unsafe { &mut (*arena).0 };
    // SAFETY: as above.
    let message = unsafe { &mut (*message).0 };
    // SAFETY: as above.
    let late = unsafe { &mut *late };
    Memory { arena, message, rest: &mut late.rest, stack: &mut late.stack, image }
}
