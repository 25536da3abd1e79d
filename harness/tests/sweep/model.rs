//! What is struck where, and what is seen of it.

/// One system call: the command, the process in the order of birth, and how many it made before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Site {
    pub command: usize,
    pub process: usize,
    pub ordinal: usize,
}

/// What is done at a site, before the kernel sees the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    /// The call is not made and returns this errno.
    Fail(i32),
    /// The process is killed.
    Kill,
    /// The process is never resumed: what a hang looks like.
    Hold,
    /// The command itself is killed, and gone before the call is made.
    Orphan,
}

/// Whose calls a process makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Harness,
    Child,
    Init,
}

/// What a process has done.
#[derive(Debug)]
pub struct Recorded {
    pub command: usize,
    pub process: usize,
    pub role: Role,
    pub calls: Vec<i64>,
}

/// What was struck.
#[derive(Debug, Clone, Copy)]
pub struct Struck {
    pub number: i64,
    /// The phase that init had noted; absent where its page cannot be seen.
    pub phase: Option<u32>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Absent if a signal ended it.
    pub code: Option<i32>,
    pub stderr: String,
    pub hung: bool,
}
