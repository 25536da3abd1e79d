//! Errors: where, and what the system says.

use std::fmt;

/// Result of everything fallible in the driver.
pub type Result<T> = std::result::Result<T, Error>;

/// One line for the user.
#[derive(Debug)]
pub struct Error(String);

impl Error {
    /// An error with its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// An error of a file.
    pub fn file(path: impl AsRef<std::path::Path>, reason: impl fmt::Display) -> Self {
        Self(format!("{}: {reason}", path.as_ref().display()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says where a system call failed.
pub trait Context<T> {
    /// What was being done, to what.
    fn at(self, op: &'static str, object: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn at(self, op: &'static str, object: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Error(format!("{op} {object}: {error}")))
    }
}
