//! How arguments reach the linker; for the build scripts of both halves.

use std::{env, path::Path};

/// Whether a bare linker (rust-lld) is configured, which takes no `-Wl,` prefix.
pub fn is_bare() -> bool {
    println!("cargo:rerun-if-env-changed=RUSTC_LINKER");
    let linker = env::var("RUSTC_LINKER").unwrap_or_default();
    Path::new(&linker).file_name().is_some_and(|name| name == "ld" || name.to_string_lossy().contains("lld"))
}

/// What stands before a linker's own argument.
pub fn prefix() -> &'static str {
    if is_bare() { "" } else { "-Wl," }
}
