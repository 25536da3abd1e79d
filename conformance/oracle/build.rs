//! Generates the table of system calls, as the harness does.

#[path = "../../harness/build/syscalls.rs"]
mod syscalls_table;

use std::path::PathBuf;

fn main() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    std::fs::write(out.join("syscalls.rs"), syscalls_table::generate()).expect("OUT_DIR can be written to");
    println!("cargo:rerun-if-changed=../../harness/build/syscalls.rs");
}
