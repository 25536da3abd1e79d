//! The seccomp compiler of the harness, compiled once more, and what it is held against.

#[path = "../../../harness/src/error.rs"]
pub mod error;
#[path = "../../../harness/src/seccomp/samples.rs"]
pub mod samples;
#[path = "../../../harness/src/seccomp/mod.rs"]
pub mod seccomp;
#[path = "../../../harness/src/spec/mod.rs"]
pub mod spec;

pub mod clock;
#[cfg(feature = "oracle")]
pub mod compare;
pub mod engines;
#[cfg(feature = "oracle")]
pub mod peer;
pub mod random;
#[cfg(feature = "oracle")]
pub mod tables;
