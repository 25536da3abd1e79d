//! bpf(2): loading, pinning and attaching a device program.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use init_core::sys::arch::syscall;
use linux_raw_sys::general as raw;
use rustix::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use rustix::io::{Errno, Result};

const BPF_PROG_LOAD: usize = 5;
const BPF_OBJ_PIN: usize = 6;
const BPF_OBJ_GET: usize = 7;
const BPF_PROG_ATTACH: usize = 8;
const BPF_PROG_DETACH: usize = 9;
const BPF_PROG_GET_FD_BY_ID: usize = 13;
const BPF_OBJ_GET_INFO_BY_FD: usize = 15;
const BPF_PROG_QUERY: usize = 16;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;
/// Most attempts to load a program.
const LOADS: usize = 8;

/// The start of `union bpf_attr` for `BPF_PROG_LOAD`; the kernel takes what is missing as zero.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

/// Loads a program of type `BPF_PROG_TYPE_CGROUP_DEVICE`; `code` is whole 8-byte instructions.
pub fn load_device_program(code: &[u8]) -> Result<OwnedFd> {
    let attr = Load {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        count: (code.len() / 8) as u32,
        instructions: code.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    let args = [BPF_PROG_LOAD, &raw const attr as usize, size_of_val(&attr), 0, 0];
    let load = || {
        // SAFETY: the kernel reads the attributes, count * 8 bytes of code and the licence, all of
        // which outlive the call.
        super::check(unsafe { syscall(raw::__NR_bpf, args) })
    };
    // The verifier gives up when a signal is pending, even one that has no effect.
    let mut tries = std::iter::repeat_with(load).take(LOADS);
    let program = tries.find(|done| *done != Err(Errno::AGAIN)).unwrap_or(Err(Errno::AGAIN))?;
    // SAFETY: the call returned a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(program as i32) })
}

/// The start of `union bpf_attr` for `BPF_OBJ_PIN` and `BPF_OBJ_GET`.
#[repr(C)]
struct Object {
    path: u64,
    descriptor: u32,
    flags: u32,
}

fn object(command: usize, path: &Path, descriptor: i32) -> Result<usize> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
    let attr = Object { path: path.as_ptr() as u64, descriptor: descriptor as u32, flags: 0 };
    let args = [command, &raw const attr as usize, size_of_val(&attr), 0, 0];
    // SAFETY: the kernel reads the attributes and the path, which outlive the call.
    super::check(unsafe { syscall(raw::__NR_bpf, args) })
}

/// Gives a program a name in a bpffs, which keeps it.
pub fn pin_program(program: impl AsFd, path: &Path) -> Result<()> {
    object(BPF_OBJ_PIN, path, program.as_fd().as_raw_fd()).map(drop)
}

/// The program of that name.
pub fn pinned_program(path: &Path) -> Result<OwnedFd> {
    let program = object(BPF_OBJ_GET, path, 0)?;
    // SAFETY: the call returned a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(program as i32) })
}

/// Attaches a device program to a cgroup, besides those of its ancestors.
pub fn attach_device_program(cgroup: impl AsFd, program: impl AsFd) -> Result<()> {
    let attr = Attach {
        target: cgroup.as_fd().as_raw_fd() as u32,
        program: program.as_fd().as_raw_fd() as u32,
        kind: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
    };
    let args = [BPF_PROG_ATTACH, &raw const attr as usize, size_of_val(&attr), 0, 0];
    // SAFETY: the kernel reads the attributes, which outlive the call.
    super::check(unsafe { syscall(raw::__NR_bpf, args) }).map(drop)
}

/// `union bpf_attr` for `BPF_PROG_QUERY`.
#[repr(C)]
struct Query {
    target: u32,
    kind: u32,
    flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

/// `union bpf_attr` for `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct Info {
    program: u32,
    length: u32,
    address: u64,
}

/// The device programs that are attached to a cgroup itself.
pub fn device_programs(cgroup: impl AsFd) -> Result<Vec<OwnedFd>> {
    const MOST: usize = 64;
    let mut ids = [0u32; MOST];
    let mut query = Query {
        target: cgroup.as_fd().as_raw_fd() as u32,
        kind: BPF_CGROUP_DEVICE,
        flags: 0,
        attach_flags: 0,
        ids: ids.as_mut_ptr() as u64,
        count: MOST as u32,
        padding: 0,
    };
    let args = [BPF_PROG_QUERY, &raw mut query as usize, size_of_val(&query), 0, 0];
    // SAFETY: the kernel writes at most `count` ids to the array, and into the structure; both are
    // borrowed exclusively.
    super::check(unsafe { syscall(raw::__NR_bpf, args) })?;
    let count = query.count as usize;
    ids.iter().take(count).map(|id| program(*id)).collect()
}

/// The start of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Default)]
struct ProgramInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    code_lengths: [u32; 2],
    codes: [u64; 2],
    load_time: u64,
}

/// Which program it is: its number, which another one may have after the next boot, and when it was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgramName {
    /// Number.
    pub id: u32,
    /// In nanoseconds since the boot.
    pub load_time: u64,
}

/// The name of a program.
pub fn program_name(program: impl AsFd) -> Result<ProgramName> {
    let mut info = ProgramInfo::default();
    let mut attr = Info {
        program: program.as_fd().as_raw_fd() as u32,
        length: size_of_val(&info) as u32,
        address: &raw mut info as u64,
    };
    let args = [BPF_OBJ_GET_INFO_BY_FD, &raw mut attr as usize, size_of_val(&attr), 0, 0];
    // SAFETY: the kernel reads the attributes, writes their `length`, and that many bytes of `info`, which
    // asks for no code; both are exclusively borrowed.
    super::check(unsafe { syscall(raw::__NR_bpf, args) })?;
    Ok(ProgramName { id: info.id, load_time: info.load_time })
}

/// The program of that name; `None` if it is gone.
pub fn named_program(name: ProgramName) -> Result<Option<OwnedFd>> {
    match program(name.id) {
        Err(Errno::NOENT) => Ok(None),
        found => {
            let found = found?;
            Ok((program_name(&found)? == name).then_some(found))
        }
    }
}

fn program(id: u32) -> Result<OwnedFd> {
    let attr = [id, 0, 0];
    let args = [BPF_PROG_GET_FD_BY_ID, attr.as_ptr() as usize, size_of_val(&attr), 0, 0];
    // SAFETY: the kernel reads the attributes, which outlive the call.
    let program = super::check(unsafe { syscall(raw::__NR_bpf, args) })?;
    // SAFETY: the call returned a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(program as i32) })
}

/// Detaches a device program from a cgroup.
pub fn detach_device_program(cgroup: impl AsFd, program: impl AsFd) -> Result<()> {
    let attr = Attach {
        target: cgroup.as_fd().as_raw_fd() as u32,
        program: program.as_fd().as_raw_fd() as u32,
        kind: BPF_CGROUP_DEVICE,
        flags: 0,
    };
    let args = [BPF_PROG_DETACH, &raw const attr as usize, size_of_val(&attr), 0, 0];
    // SAFETY: the kernel reads the attributes, which outlive the call.
    super::check(unsafe { syscall(raw::__NR_bpf, args) }).map(drop)
}
