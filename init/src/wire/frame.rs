//! Frames: twelve bytes of header, then the body.

/// First word of every frame: `OCIi`, little-endian.
pub const MAGIC: u32 = 0x6949_434f;
/// Version of the protocol; a frame of another version is refused.
pub const VERSION: u16 = 1;
/// Length of a header in bytes.
pub const HEADER_LENGTH: usize = 12;
/// Longest configuration sent inline in its frame, in bytes. It fits a socket's default buffer,
/// so the harness can write it before init reads. A longer one comes as a sealed memfd.
pub const MAX_INLINE: usize = 64 * 1024;
/// Longest configuration at all, in bytes.
pub const MAX_CONFIG: usize = 16 * 1024 * 1024;
/// Longest filter section: its header and 4,096 instructions, in bytes.
pub const MAX_FILTER: usize = 16 + 4096 * 8;
/// Longest body of any other frame, in bytes.
pub const MAX_MESSAGE: usize = 4096;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// Harness to init, first frame: the configuration as JSON.
    Config = 1,
    /// Harness to init, first frame: number and length of a sealed memfd with the configuration.
    ConfigFd = 2,
    /// Both ways: a synchronisation message.
    Sync = 3,
    /// Init to harness, last frame: `procError`.
    Error = 4,
    /// Harness to init, after the configuration: a seccomp filter, raw.
    Filter = 5,
    /// Harness to init, after that: netlink requests, raw.
    Netlink = 6,
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the body is.
    pub kind: Kind,
    /// Length of the body in bytes.
    pub length: u32,
}

/// Why twelve bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadHeader {
    /// The first word is not [`MAGIC`].
    Magic,
    /// Another version of the protocol.
    Version(u16),
    /// A kind this version does not know.
    Kind(u16),
    /// The body is longer than its kind allows.
    Length(u32),
}

impl Header {
    /// Encodes the header.
    pub fn encode(self) -> [u8; HEADER_LENGTH] {
        let [a, b, c, d] = MAGIC.to_le_bytes();
        let [e, f] = VERSION.to_le_bytes();
        let [g, h] = (self.kind as u16).to_le_bytes();
        let [i, j, k, l] = self.length.to_le_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }

    /// Decodes a header and holds its length against the limit of its kind.
    pub fn decode(bytes: [u8; HEADER_LENGTH]) -> Result<Self, BadHeader> {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        if u32::from_le_bytes([a, b, c, d]) != MAGIC {
            return Err(BadHeader::Magic);
        }
        let version = u16::from_le_bytes([e, f]);
        if version != VERSION {
            return Err(BadHeader::Version(version));
        }
        let kind = match u16::from_le_bytes([g, h]) {
            1 => Kind::Config,
            2 => Kind::ConfigFd,
            3 => Kind::Sync,
            4 => Kind::Error,
            5 => Kind::Filter,
            6 => Kind::Netlink,
            other => return Err(BadHeader::Kind(other)),
        };
        let length = u32::from_le_bytes([i, j, k, l]);
        let limit = match kind {
            Kind::Config => MAX_INLINE,
            Kind::Filter => MAX_FILTER,
            _ => MAX_MESSAGE,
        };
        if length as usize > limit {
            return Err(BadHeader::Length(length));
        }
        Ok(Self { kind, length })
    }
}
