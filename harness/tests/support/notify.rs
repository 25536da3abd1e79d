//! A supervisor: whoever seccomp notifications go to.
#![allow(unsafe_code)]

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

use serde_json::Value;

/// `struct seccomp_notif` of linux/seccomp.h.
#[repr(C)]
#[derive(Default)]
pub struct Notification {
    id: u64,
    pub pid: u32,
    flags: u32,
    pub number: i32,
    arch: u32,
    pointer: u64,
    pub args: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
#[derive(Default, Clone, Copy)]
pub struct Answer {
    /// Filled in by `supervise`.
    pub id: u64,
    pub value: i64,
    pub error: i32,
    pub flags: u32,
}

/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`.
pub const CONTINUE: Answer = Answer { id: 0, value: 0, error: 0, flags: 1 };

/// Accepts a listener and answers every notification; the state it was told, and how many there
/// were when its last task had ended.
pub fn supervise(
    socket: UnixListener,
    act: impl Fn(&Notification) -> Answer + Send + 'static,
) -> JoinHandle<(Value, u32)> {
    const RECEIVE: usize = 0xc050_2100;
    const SEND: usize = 0xc018_2101;
    std::thread::spawn(move || {
        let (file, text) = super::accept(&socket);
        let state = serde_json::from_slice(&text).unwrap();
        let number = file.as_raw_fd() as usize;
        let mut count = 0;
        loop {
            let mut poll = [rustix::event::PollFd::new(&file, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut poll, None).unwrap();
            if !poll[0].revents().contains(rustix::event::PollFlags::IN) {
                return (state, count);
            }
            let mut notification = Notification::default();
            let args = [number, RECEIVE, &raw mut notification as usize, 0, 0];
            // SAFETY: the kernel writes one struct seccomp_notif, which is borrowed exclusively.
            let got = unsafe { init_core::sys::arch::syscall(linux_raw_sys::general::__NR_ioctl, args) };
            if got < 0 {
                continue;
            }
            count += 1;
            let answer = Answer { id: notification.id, ..act(&notification) };
            let args = [number, SEND, &raw const answer as usize, 0, 0];
            // SAFETY: the kernel reads one struct seccomp_notif_resp, which outlives the call.
            let _gone_meanwhile =
                unsafe { init_core::sys::arch::syscall(linux_raw_sys::general::__NR_ioctl, args) };
        }
    })
}
