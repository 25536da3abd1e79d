//! The only unsafe code of init: system calls that rustix does not offer without an allocator,
//! the arena, and the page shared with the harness.
#![allow(unsafe_code)]

use core::ffi::{CStr, c_char};
use core::mem::MaybeUninit;
use core::ops::Range;

use linux_raw_sys::general as raw;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::{Errno, Result};

pub mod arch;
pub mod arena;
pub mod boot;
pub mod page;
pub mod task;
pub mod tty;

use arch::syscall;

/// The kernel's raw word as a result (syscall(2)).
pub fn check(word: isize) -> Result<usize> {
    usize::try_from(word).map_err(|_| Errno::from_raw_os_error(-(word as i32)))
}

/// A descriptor whose number came from the environment or the configuration.
///
/// A number that is not open makes the next system call on it fail with EBADF.
pub fn descriptor(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: init closes inherited descriptors only in `close_from` and by `adopt`, at points
    // after which the numbers are not used again; -1 is mapped to a number that is never open.
    unsafe { BorrowedFd::borrow_raw(if number < 0 { RawFd::MAX } else { number }) }
}

/// Takes ownership of an inherited descriptor: it is closed when the value is dropped.
pub fn adopt(number: RawFd) -> OwnedFd {
    // SAFETY: the harness passes each number for one use (PROTOCOL.md, "Descriptors").
    unsafe { OwnedFd::from_raw_fd(if number < 0 { RawFd::MAX } else { number }) }
}

fn text(path: &CStr) -> usize {
    path.as_ptr() as usize
}

/// keyctl(2) `KEYCTL_JOIN_SESSION_KEYRING`: the serial number of the keyring joined.
pub fn join_session_keyring(name: &CStr) -> Result<i32> {
    // SAFETY: the kernel copies the NUL-terminated name before it returns.
    check(unsafe { syscall(raw::__NR_keyctl, [1, text(name), 0, 0, 0]) }).map(|serial| serial as i32)
}

/// keyctl(2) `KEYCTL_DESCRIBE`: fills `buffer` with `type;uid;gid;perm;name` and a NUL;
/// the length may exceed the buffer's.
pub fn describe_key(serial: i32, buffer: &mut [u8]) -> Result<usize> {
    let args = [6, serial as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0];
    // SAFETY: the kernel writes at most buffer.len() bytes into the exclusively borrowed buffer.
    check(unsafe { syscall(raw::__NR_keyctl, args) })
}

/// keyctl(2) `KEYCTL_READ` without a buffer: the number of bytes a keyring's links take.
pub fn keyring_length(serial: i32) -> Result<usize> {
    // SAFETY: with a null buffer of length 0 the kernel writes nothing.
    check(unsafe { syscall(raw::__NR_keyctl, [11, serial as usize, 0, 0, 0]) })
}

/// keyctl(2) `KEYCTL_SETPERM`.
pub fn set_key_permissions(serial: i32, permissions: u32) -> Result<()> {
    // SAFETY: the call takes numbers only.
    check(unsafe { syscall(raw::__NR_keyctl, [5, serial as usize, permissions as usize, 0, 0]) }).map(drop)
}

/// Attributes of `mount_setattr(2)`, as numbers of `linux/mount.h`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MountAttributes {
    /// `MOUNT_ATTR_*` bits to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` bits to clear.
    pub clear: u64,
    /// `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`, `MS_UNBINDABLE`, or 0 to leave it.
    pub propagation: u64,
}

/// `mount_setattr(2)` on the mount that `mount` refers to, and with `recursive` on all below it.
pub fn mount_setattr(mount: impl AsFd, recursive: bool, attributes: MountAttributes) -> Result<()> {
    let attr = raw::mount_attr {
        attr_set: attributes.set,
        attr_clr: attributes.clear,
        propagation: attributes.propagation,
        userns_fd: 0,
    };
    let flags = raw::AT_EMPTY_PATH | if recursive { raw::AT_RECURSIVE } else { 0 };
    let fd = mount.as_fd().as_raw_fd() as usize;
    let args = [fd, text(c""), flags as usize, &raw const attr as usize, size_of_val(&attr)];
    // SAFETY: the kernel reads the path and the structure, both of which outlive the call.
    check(unsafe { syscall(raw::__NR_mount_setattr, args) }).map(drop)
}

/// `close_range(2)`: closes `first` to `last`, both included.
pub fn close_range(first: u32, last: u32) -> Result<()> {
    // SAFETY: callers hold no owned descriptor in the range that they use afterwards.
    check(unsafe { syscall(raw::__NR_close_range, [first as usize, last as usize, 0, 0, 0]) }).map(drop)
}

/// setgroups(2).
pub fn set_groups(groups: &[u32]) -> Result<()> {
    let args = [groups.len(), groups.as_ptr() as usize, 0, 0, 0];
    // SAFETY: the kernel reads groups.len() 32-bit ids from the borrowed slice.
    check(unsafe { syscall(raw::__NR_setgroups, args) }).map(drop)
}

/// prlimit(2): sets both limits of a process, 0 being the caller.
pub fn set_limit(pid: i32, resource: u32, soft: u64, hard: u64) -> Result<()> {
    let limit = raw::rlimit64 { rlim_cur: soft, rlim_max: hard };
    let args = [pid as usize, resource as usize, &raw const limit as usize, 0, 0];
    // SAFETY: the kernel reads one rlimit64, which outlives the call, and writes nothing.
    check(unsafe { syscall(raw::__NR_prlimit64, args) }).map(drop)
}

/// getcwd(2): the path with its NUL.
pub fn getcwd(buffer: &mut [u8]) -> Result<usize> {
    let args = [buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0];
    // SAFETY: the kernel writes at most buffer.len() bytes into the exclusively borrowed buffer.
    check(unsafe { syscall(raw::__NR_getcwd, args) })
}

/// pread64(2) at offset 0.
pub fn read_at_start(file: RawFd, buffer: &mut [u8]) -> Result<usize> {
    let args = [file as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0];
    // SAFETY: the kernel writes at most buffer.len() bytes into the exclusively borrowed buffer.
    check(unsafe { syscall(raw::__NR_pread64, args) })
}

/// statx(2) of `path` below `directory`; the basic fields. (The wrapper of rustix probes for the
/// call and keeps a flag, which costs a page of memory.)
pub fn statx(directory: BorrowedFd<'_>, path: &CStr, flags: u32) -> Result<raw::statx> {
    let mut found = MaybeUninit::<raw::statx>::zeroed();
    let args = [
        directory.as_raw_fd() as usize,
        text(path),
        flags as usize,
        raw::STATX_BASIC_STATS as usize,
        found.as_mut_ptr() as usize,
    ];
    // SAFETY: the kernel reads the path and writes one statx into the exclusively borrowed `found`.
    check(unsafe { syscall(raw::__NR_statx, args) })?;
    // SAFETY: all fields are integers, and were zeroed before the kernel filled them in.
    Ok(unsafe { found.assume_init() })
}

/// readlinkat(2): the length of the target, which has no NUL.
pub fn readlink(directory: BorrowedFd<'_>, path: &CStr, buffer: &mut [u8]) -> Result<usize> {
    let args = [directory.as_raw_fd() as usize, text(path), buffer.as_mut_ptr() as usize, buffer.len(), 0];
    // SAFETY: the kernel reads the path and writes at most buffer.len() bytes into the buffer.
    check(unsafe { syscall(raw::__NR_readlinkat, args) })
}

/// `rt_sigprocmask(2)`: blocks no signal any more.
pub fn unblock_signals() -> Result<()> {
    let none: u64 = 0;
    let args = [raw::SIG_SETMASK as usize, &raw const none as usize, 0, size_of_val(&none), 0];
    // SAFETY: the kernel reads one 8-byte mask, which outlives the call.
    check(unsafe { syscall(raw::__NR_rt_sigprocmask, args) }).map(drop)
}

/// Interface request of netdevice(7): a name and flags.
#[repr(C)]
struct InterfaceFlags {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

/// netdevice(7) `SIOCSIFFLAGS` with `IFF_UP` for the loopback device.
pub fn loopback_up(socket: impl AsFd) -> Result<()> {
    const SIOCSIFFLAGS: usize = 0x8914;
    const IFF_UP: u16 = 1;
    let mut request = InterfaceFlags { name: [0; 16], flags: IFF_UP, rest: [0; 22] };
    for (slot, byte) in request.name.iter_mut().zip(*b"lo") {
        *slot = byte;
    }
    let args = [socket.as_fd().as_raw_fd() as usize, SIOCSIFFLAGS, &raw const request as usize, 0, 0];
    // SAFETY: the kernel reads sizeof(struct ifreq) = 40 bytes, the size of `request`.
    check(unsafe { syscall(raw::__NR_ioctl, args) }).map(drop)
}

/// Nanoseconds of `CLOCK_MONOTONIC`; 0 should the clock fail.
pub fn monotonic() -> u64 {
    clock(raw::CLOCK_MONOTONIC)
}

/// Nanoseconds of a clock of clock_gettime(2); 0 should it fail. For one look the call is cheaper than
/// finding the vDSO's, which takes three page faults.
pub fn clock(id: u32) -> u64 {
    let mut now = raw::timespec { tv_sec: 0, tv_nsec: 0 };
    let args = [id as usize, &raw mut now as usize, 0, 0, 0];
    // SAFETY: the kernel writes one timespec into the exclusively borrowed `now`.
    let done = check(unsafe { syscall(raw::__NR_clock_gettime, args) });
    done.map_or(0, |_| now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

/// Maps the page shared with the harness for the rest of the process's life.
pub fn map_page(file: impl AsFd) -> Result<&'static page::Page> {
    use rustix::mm::{MapFlags, ProtFlags, mmap};
    let prot = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice aliases nothing.
    let base =
        unsafe { mmap(core::ptr::null_mut(), page::PAGE_LENGTH, prot, MapFlags::SHARED, file.as_fd(), 0) }?;
    // SAFETY: the mapping is page-aligned, PAGE_LENGTH >= size_of::<Page>() long, never unmapped,
    // and every field is an atomic, so the other process's stores are no data race.
    Ok(unsafe { &*base.cast::<page::Page>() })
}

/// Maps `length` zeroed bytes without reserving swap for them.
pub fn map_anonymous(length: usize) -> Result<&'static mut [MaybeUninit<u8>]> {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice aliases nothing.
    let base =
        unsafe { mmap_anonymous(core::ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, flags) }?;
    // SAFETY: the mapping is `length` bytes long, private, and never unmapped.
    Ok(unsafe { core::slice::from_raw_parts_mut(base.cast(), length) })
}

/// Maps `length` bytes of `file` for reading; the harness has sealed it against change.
pub fn map_file(file: impl AsFd, length: usize) -> Result<&'static [u8]> {
    use rustix::mm::{MapFlags, ProtFlags, mmap};
    // SAFETY: a new mapping at an address of the kernel's choice aliases nothing.
    let base =
        unsafe { mmap(core::ptr::null_mut(), length, ProtFlags::READ, MapFlags::PRIVATE, file.as_fd(), 0) }?;
    // SAFETY: the mapping is `length` bytes long and never unmapped; F_SEAL_WRITE and
    // F_SEAL_SHRINK, checked by the caller, keep its bytes and its length.
    Ok(unsafe { core::slice::from_raw_parts(base.cast(), length) })
}

/// Opens `path` below `directory` for writing, having given back the memory that is not needed
/// while that blocks: the whole pages of `ranges`, which nothing may look at before they are
/// written anew, and of the program's image but for this function's own.
///
/// The function stands alone in the first page of the image (link.ld) and calls nothing. Marking
/// that page splits the mapping, or the kernel would map its neighbours again at the first fault.
#[unsafe(link_section = ".text.gate")]
#[inline(never)]
pub fn open_trimmed(
    directory: BorrowedFd<'_>,
    path: &CStr,
    image: &Range<usize>,
    ranges: &[Range<usize>],
) -> Result<OwnedFd> {
    const PAGE: usize = 4096;
    const MADV_DONTNEED: usize = 4;
    const MADV_DONTDUMP: usize = 16;
    let own = image.start;
    // SAFETY: advice about core dumps changes no memory.
    let mut done = unsafe { syscall(raw::__NR_madvise, [own, PAGE, MADV_DONTDUMP, 0, 0]) };
    if done == 0 {
        let start = own + PAGE;
        let length = (image.end & !(PAGE - 1)).wrapping_sub(start);
        // SAFETY: pages of the image come back from the sealed file as they were: nothing of it
        // is ever written.
        done = unsafe { syscall(raw::__NR_madvise, [start, length, MADV_DONTNEED, 0, 0]) };
    }
    for range in ranges {
        let (start, end) = ((range.start + PAGE - 1) & !(PAGE - 1), range.end & !(PAGE - 1));
        if done == 0 && start < end {
            // SAFETY: the caller gives the ranges up.
            done = unsafe { syscall(raw::__NR_madvise, [start, end - start, MADV_DONTNEED, 0, 0]) };
        }
    }
    let flags = raw::O_WRONLY | raw::O_CLOEXEC;
    let args = [directory.as_raw_fd() as usize, path.as_ptr() as usize, flags as usize, 0, 0];
    // Memory that could not be given back stays; that is no reason not to start.
    // SAFETY: the kernel copies the path before it returns.
    let number = unsafe { syscall(raw::__NR_openat, args) };
    if number < 0 {
        return Err(Errno::from_raw_os_error(-(number as i32)));
    }
    // SAFETY: openat returned a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(number as i32) })
}

/// What goes to another stack: a value, and what goes on with it.
type Call<T> = (T, fn(&mut T) -> i32);

/// Goes on in `then` with `value` on another stack, and ends the process with its status. Nothing on the
/// stack before is looked at again, so `value` must not point to it.
pub fn go_on<T: 'static>(stack: &'static mut [MaybeUninit<u8>], value: T, then: fn(&mut T) -> i32) -> ! {
    let end = stack.as_mut_ptr_range().end.expose_provenance();
    let place = (end - size_of::<Call<T>>()) & !15;
    let target = core::ptr::with_exposed_provenance_mut::<Call<T>>(place);
    const { assert!(align_of::<Call<T>>() <= 16) };
    // SAFETY: `place` is aligned to 16, and the stack, exclusively borrowed, is longer than the values.
    unsafe { target.write((value, then)) };
    // SAFETY: the rest of the stack lies below `place` and is given up for it.
    unsafe { arch::leave_stack(place, place, entry::<T>) }
}

extern "C" fn entry<T: 'static>(place: usize) -> ! {
    let target = core::ptr::with_exposed_provenance_mut::<Call<T>>(place);
    // SAFETY: `go_on` has put the values there for this function alone.
    let (value, then) = unsafe { &mut *target };
    exit(then(value))
}

/// execve(2). Returns only on failure.
pub fn execve(path: &CStr, argv: &[*const c_char], envp: &[*const c_char]) -> Errno {
    let args = [text(path), argv.as_ptr() as usize, envp.as_ptr() as usize, 0, 0];
    // SAFETY: both vectors end with a null pointer (Arena::pointers) and point to NUL-terminated
    // strings of the arena, which is never unmapped.
    match check(unsafe { syscall(raw::__NR_execve, args) }) {
        Ok(_) => Errno::NOSYS,
        Err(errno) => errno,
    }
}

/// `exit_group(2)`.
pub fn exit(status: i32) -> ! {
    loop {
        // SAFETY: the call takes a number and does not return.
        let _never = unsafe { syscall(raw::__NR_exit_group, [status as usize, 0, 0, 0, 0]) };
    }
}

/// Lets go of a descriptor that nobody needs. Closing costs a system call each, and all of them
/// are closed at once before the gate; only where many pile up is each one closed here.
pub fn shed(descriptor: OwnedFd) {
    const PILE: RawFd = 256;
    if descriptor.as_raw_fd() < PILE {
        core::mem::forget(descriptor);
    }
}
