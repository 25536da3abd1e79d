//! Talking to the harness.

use core::ffi::CStr;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;

use crate::config::{PROC_READY, PROC_RUN, ProcError, Sync};
use crate::failure::{At, Fault, Op, Phase};
use crate::sys;
use crate::sys::arena::Arena;
use crate::sys::tty::Received;
use crate::wire::{HEADER_LENGTH, Header, Kind, Value};

/// Longest frame that init sends: a path of 1,024 bytes, each escaped to six.
type Frame = heapless::Vec<u8, 6400>;

/// Longest frame with a step for init.
const LONGEST_STEP: usize = HEADER_LENGTH + 48;

/// Sends `step` in a Sync frame.
pub fn send(socket: BorrowedFd<'_>, step: &'static CStr) -> Result<(), Fault<'static>> {
    put(socket, Kind::Sync, &Sync { step }).at(Op::Write, step)
}

/// Sends `step` in a Sync frame, with a descriptor.
pub fn send_with(socket: BorrowedFd<'_>, step: &'static CStr, file: impl AsFd) -> Result<(), Fault<'static>> {
    let mut frame = Frame::new();
    encode(&mut frame, Kind::Sync, &Sync { step });
    sys::tty::send_with(socket, &frame, file).at(Op::SendFd, step)
}

/// Waits for `step`; anything else, or an end of file, is a failure.
pub fn wait(socket: BorrowedFd<'_>, step: &'static CStr) -> Result<(), Fault<'static>> {
    expect(step, |frame| receive(socket, frame))
}

/// Waits for `step` and the descriptors that come with it.
pub fn wait_with(
    socket: BorrowedFd<'_>,
    step: &'static CStr,
    received: &mut Received,
) -> Result<(), Fault<'static>> {
    expect(step, |frame| sys::tty::receive_with(socket, frame, received))
}

/// Says that all is done that needs the harness, and waits for its word to go on, which may come `ahead`.
pub fn run(socket: BorrowedFd<'_>, ahead: bool) -> Result<(), Fault<'static>> {
    if !ahead {
        send(socket, PROC_READY)?;
    }
    wait(socket, PROC_RUN)
}

/// Has the frame of `step` received, whole and in one call, since its bytes are known.
fn expect(
    step: &'static CStr,
    receive: impl FnOnce(&mut [u8]) -> Result<(), Errno>,
) -> Result<(), Fault<'static>> {
    let mut expected = heapless::Vec::<u8, LONGEST_STEP>::new();
    encode(&mut expected, Kind::Sync, &Sync { step });
    let mut frame = [0; LONGEST_STEP];
    let frame = frame.get_mut(..expected.len()).ok_or(Fault::check(Op::Frame, step))?;
    receive(frame).at(Op::Read, step)?;
    if *frame == expected[..] { Ok(()) } else { Err(Fault::check(Op::Frame, step)) }
}

/// Fills `buffer`; an end of file is ECONNRESET.
pub fn receive(from: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<(), Errno> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(from, rest) {
            Ok(0) => return Err(Errno::CONNRESET),
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Sends the last word: procError. Nobody is left to tell should this fail.
#[inline(never)]
pub fn report(to: BorrowedFd<'_>, phase: Phase, fault: &Fault<'_>) {
    const LONGEST: usize = 1024;
    let mut memory = [core::mem::MaybeUninit::uninit(); LONGEST + 1];
    let arena = Arena::new(&mut memory);
    let bytes = fault.path.to_bytes();
    let path = arena.plain(bytes.get(..LONGEST).unwrap_or(bytes));
    let error = ProcError {
        phase: phase.code(),
        op: fault.op.code(),
        path: path.unwrap_or_default(),
        errno: fault.errno as u32,
    };
    let _the_harness_is_gone = put(to, Kind::Error, &error);
}

/// Once, for its frame takes kilobytes of each caller's stack.
#[inline(never)]
fn put(to: BorrowedFd<'_>, kind: Kind, body: &impl Value) -> Result<(), Errno> {
    let mut frame = Frame::new();
    encode(&mut frame, kind, body);
    let mut rest = &frame[..];
    while !rest.is_empty() {
        match rustix::io::write(to, rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn encode<const N: usize>(frame: &mut heapless::Vec<u8, N>, kind: Kind, body: &impl Value) {
    let _fits = frame.extend_from_slice(&[0; HEADER_LENGTH]);
    body.write(frame);
    let length = (frame.len() - HEADER_LENGTH) as u32;
    if let Some(header) = frame.first_chunk_mut::<HEADER_LENGTH>() {
        *header = Header { kind, length }.encode();
    }
}
