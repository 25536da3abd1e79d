//! The latency laboratory: start-up of this runtime, of its peers, of a no-op process (N0) and of
//! a program that does the kernel's work alone (F), interleaved in one run on one machine.

pub mod analysis;
pub mod arena;
pub mod bundle;
pub mod company;
pub mod compare;
pub mod counts;
pub mod lab;
pub mod memory;
pub mod parallel;
pub mod phases;
pub mod plot;
pub mod profile;
pub mod quiet;
pub mod report;
pub mod rounds;
pub mod scenario;
pub mod series;
pub mod start;
pub mod stats;
pub mod subject;
pub mod sysname;
pub mod table;
pub mod timeline;
pub mod trace;
