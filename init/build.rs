//! Linker arguments of the freestanding binaries. They stand here, not in
//! `.cargo/config.toml`, so that they reach these two alone and survive RUSTFLAGS.

use std::{env, path::Path};

fn main() {
    println!("cargo:rerun-if-changed=link.ld");
    println!("cargo:rerun-if-env-changed=RUSTC_LINKER");
    if env::var_os("CARGO_FEATURE_FREESTANDING").is_none() {
        return;
    }
    // A configured linker may be a bare one (rust-lld), which takes no -Wl, prefix.
    let linker = env::var("RUSTC_LINKER").unwrap_or_default();
    let bare = Path::new(&linker)
        .file_name()
        .is_some_and(|name| name == "ld" || name.to_string_lossy().contains("lld"));
    let arg = |text: &str| println!("cargo:rustc-link-arg-bins={text}");
    if bare {
        arg("--no-pie");
    } else {
        ["-nostartfiles", "-nostdlib", "-static", "-no-pie"].into_iter().for_each(arg);
    }
    let prefix = if bare { "" } else { "-Wl," };
    for text in ["--entry=init_entry", "--build-id=none", "-znoexecstack", "-znorelro", "--no-eh-frame-hdr"] {
        arg(&format!("{prefix}{text}"));
    }
    if env::var("PROFILE").as_deref() == Ok("release") {
        let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
        arg(&format!("{prefix}-T{root}/link.ld"));
    }
}
