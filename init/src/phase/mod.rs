//! The phases, one file each. `standard.rs` says in which order they run, and why.

pub mod console;
pub mod copyup;
pub mod devices;
pub mod environment;
pub mod exec;
pub mod finalize;
pub mod gate;
pub mod identity;
pub mod interpreter;
pub mod keyring;
pub mod label;
pub mod links;
pub mod lookpath;
pub mod mounts;
pub mod namespaces;
pub mod network;
pub mod parent;
pub mod paths;
pub mod pivot;
pub mod process;
pub mod ready;
pub mod rootfs;
pub mod seal;
pub mod seccomp;
pub mod sysctl;
