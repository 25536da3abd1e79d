//! The floor of the latency laboratory (`harness bench`), and the company it measures in.
//!
//! `floor loop ROOTFS CGROUP` makes one container for every byte on its standard input, with the
//! kernel's work alone: no init, no configuration, no masks, no devices, no capabilities, no
//! filters, no checks. It answers with the nanoseconds that took, 8 bytes little-endian. The
//! operations, in order:
//!
//! cgroup: mkdir, open; clone3 with six new namespaces, into the cgroup; in the child: rslave `/`,
//! bind the root, mount proc, tmpfs, devpts, tmpfs, mqueue, sysfs, cgroup2 (three directories for
//! them), pivot_root, umount the old root, execve of `witness true`; wait; rmdir of the cgroup.
//!
//! `floor wait` sleeps, and `floor spin` computes, until standard input ends.
#![no_std]
#![no_main]
#![allow(unsafe_code)]

#[path = "../rt.rs"]
mod rt;

use core::ffi::CStr;

use init_core::sys::{self, arch::syscall, check, descriptor};
use linux_raw_sys::general as raw;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{Pid, WaitOptions};

/// What `runc spec` makes new.
const NAMESPACES: u32 = raw::CLONE_NEWNS
    | raw::CLONE_NEWPID
    | raw::CLONE_NEWNET
    | raw::CLONE_NEWIPC
    | raw::CLONE_NEWUTS
    | raw::CLONE_NEWCGROUP;

/// Ends with the errno of what failed as status; 0 at the end of standard input.
extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: rt's entry passes the initial stack.
    let argument = |index| unsafe { argument(stack, index) };
    let done = match argument(1).to_bytes() {
        b"loop" => serve(argument(2), argument(3)),
        b"wait" => ask().map(drop),
        b"spin" => spin(),
        _ => Err(Errno::INVAL),
    };
    sys::exit(done.map_or_else(Errno::raw_os_error, |()| 0))
}

/// argv[index], or nothing.
///
/// # Safety
/// `stack` must be the initial stack.
unsafe fn argument<'a>(stack: *const usize, index: usize) -> &'a CStr {
    // SAFETY: the first word is argc.
    if index >= unsafe { stack.read() } {
        return c"";
    }
    // SAFETY: the words after argc are the pointers of argv.
    let text = unsafe { stack.wrapping_add(1 + index).read() };
    // SAFETY: each is a NUL-terminated string that lives as long as the process.
    unsafe { CStr::from_ptr(text as *const core::ffi::c_char) }
}

/// Waits for a byte; `false` at the end of standard input.
fn ask() -> Result<bool> {
    loop {
        match rustix::io::read(descriptor(0), &mut [0; 1]) {
            Err(Errno::INTR) => {}
            done => return done.map(|count| count == 1),
        }
    }
}

fn serve(root: &CStr, cgroup: &CStr) -> Result<()> {
    while ask()? {
        let began = sys::monotonic();
        container(root, cgroup)?;
        let spent = sys::monotonic() - began;
        rustix::io::write(descriptor(1), &spent.to_le_bytes())?;
    }
    Ok(())
}

fn spin() -> Result<()> {
    const BETWEEN_LOOKS: u32 = 1 << 20;
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let input = descriptor(0);
    while rustix::event::poll(&mut [PollFd::new(&input, PollFlags::IN)], Some(&now))? == 0 {
        (0..BETWEEN_LOOKS).for_each(|_| core::hint::spin_loop());
    }
    Ok(())
}

/// One container, from nothing to nothing.
fn container(root: &CStr, cgroup: &CStr) -> Result<()> {
    rustix::fs::mkdir(cgroup, Mode::from_raw_mode(0o755))?;
    let directory =
        rustix::fs::open(cgroup, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let Some(child) = Pid::from_raw(clone(&directory)? as i32) else {
        let Err(errno) = become_container(root);
        sys::exit(errno.raw_os_error())
    };
    drop(directory);
    let status = rustix::process::waitpid(Some(child), WaitOptions::empty())?;
    rustix::fs::unlinkat(CWD, cgroup, AtFlags::REMOVEDIR)?;
    match status.and_then(|(_, status)| status.exit_status()) {
        Some(0) => Ok(()),
        code => Err(code.map_or(Errno::CHILD, Errno::from_raw_os_error)),
    }
}

/// clone3(2) as a fork: 0 in the child, its pid in the parent.
fn clone(cgroup: &OwnedFd) -> Result<usize> {
    let args = raw::clone_args {
        flags: u64::from(NAMESPACES) | raw::CLONE_INTO_CGROUP,
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: u64::from(raw::SIGCHLD),
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: cgroup.as_fd().as_raw_fd() as u64,
    };
    // SAFETY: without CLONE_VM the child goes on with a copy of all memory, the stack included.
    check(unsafe { syscall(raw::__NR_clone3, [&raw const args as usize, size_of_val(&args), 0, 0, 0]) })
}

fn become_container(root: &CStr) -> Result<core::convert::Infallible> {
    rustix::mount::mount_change(c"/", MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM)?;
    rustix::mount::mount_bind_recursive(root, root)?;
    rustix::process::chdir(root)?;
    let harmless = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    mount(c"proc", c"proc", harmless, None)?;
    mount(c"tmpfs", c"dev", MountFlags::NOSUID | MountFlags::STRICTATIME, Some(c"mode=755,size=65536k"))?;
    for directory in [c"dev/pts", c"dev/shm", c"dev/mqueue"] {
        rustix::fs::mkdir(directory, Mode::from_raw_mode(0o755))?;
    }
    let terminals = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount(c"devpts", c"dev/pts", terminals, Some(c"newinstance,ptmxmode=0666,mode=0620,gid=5"))?;
    mount(c"tmpfs", c"dev/shm", harmless, Some(c"mode=1777,size=65536k"))?;
    mount(c"mqueue", c"dev/mqueue", harmless, None)?;
    mount(c"sysfs", c"sys", harmless | MountFlags::RDONLY, None)?;
    mount(c"cgroup2", c"sys/fs/cgroup", harmless | MountFlags::RDONLY, None)?;
    rustix::process::pivot_root(c".", c".")?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
    let argv = [c"witness".as_ptr(), c"true".as_ptr(), core::ptr::null()];
    Err(sys::execve(c"/witness", &argv, &[core::ptr::null()]))
}

fn mount(kind: &CStr, target: &CStr, flags: MountFlags, data: Option<&CStr>) -> Result<()> {
    rustix::mount::mount(kind, target, kind, flags, data)
}
