//! The console socket's other end.

use std::fs::File;
use std::io::{IoSliceMut, Read};
use std::os::unix::net::UnixListener;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use crate::error::{Context, Error, Result};

/// Takes the terminal that the runtime has sent.
pub fn receive(listener: &UnixListener) -> Result<File> {
    let (stream, _) = listener.accept().at("accept", "console socket")?;
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 4096];
    let mut vectors = [IoSliceMut::new(&mut bytes)];
    rustix::net::recvmsg(&stream, &mut vectors, &mut control, RecvFlags::CMSG_CLOEXEC)
        .at("receive", "terminal")?;
    let file = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    file.map(File::from).ok_or_else(|| Error::new("the console socket got no terminal"))
}

/// All that is written to the terminal until nobody has it open, which reads as EIO.
pub fn read(mut terminal: File) -> String {
    let (mut text, mut bytes) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = terminal.read(&mut bytes) {
        text.extend_from_slice(bytes.get(..count).unwrap_or_default());
    }
    String::from_utf8_lossy(&text).into_owned()
}
