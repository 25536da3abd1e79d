//! Measuring start-up: this runtime and its peers, interleaved in one run.

pub mod arena;
pub mod cycle;
