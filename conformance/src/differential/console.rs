//! The other ends of sockets that a runtime sends descriptors to.

use std::fs::File;
use std::io::{IoSliceMut, Read};
use std::os::unix::net::UnixListener;
use std::sync::mpsc::{Receiver, channel};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use serde_json::Value;

use crate::error::{Context, Error, Result};

/// Takes the descriptor that the runtime has sent, and the bytes that come with it.
pub fn receive(listener: &UnixListener) -> Result<(File, Vec<u8>)> {
    let (stream, _) = listener.accept().at("accept", "socket")?;
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 4096];
    let mut vectors = [IoSliceMut::new(&mut bytes)];
    let count = rustix::net::recvmsg(&stream, &mut vectors, &mut control, RecvFlags::CMSG_CLOEXEC)
        .at("receive", "descriptor")?
        .bytes;
    let file = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    let file = file.map(File::from).ok_or_else(|| Error::new("the socket got no descriptor"))?;
    Ok((file, bytes.get(..count).unwrap_or_default().to_vec()))
}

/// Takes listeners of seccomp and closes them, so that the calls do not exist (seccomp(2)); what it
/// is told with each is there before that.
pub fn refuse(listener: UnixListener) -> Receiver<Value> {
    let (sender, told) = channel();
    std::thread::spawn(move || {
        while let Ok((_closed_afterwards, text)) = receive(&listener) {
            let text = String::from_utf8_lossy(&text);
            let state = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.into_owned()));
            if sender.send(state).is_err() {
                return;
            }
        }
    });
    told
}

/// All that is written to the terminal until nobody has it open, which reads as EIO.
pub fn read(mut terminal: File) -> String {
    let (mut text, mut bytes) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = terminal.read(&mut bytes) {
        text.extend_from_slice(bytes.get(..count).unwrap_or_default());
    }
    String::from_utf8_lossy(&text).into_owned()
}
