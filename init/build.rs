//! Linker arguments of the freestanding binaries. They stand here, not in
//! `.cargo/config.toml`, so that they reach these two alone and survive RUSTFLAGS.

#[path = "build/linker.rs"]
mod linker;

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=link.ld");
    if env::var_os("CARGO_FEATURE_FREESTANDING").is_none() {
        return;
    }
    let (bare, prefix) = (linker::is_bare(), linker::prefix());
    let arg = |text: &str| println!("cargo:rustc-link-arg-bins={text}");
    if bare {
        arg("--no-pie");
    } else {
        ["-nostartfiles", "-nostdlib", "-static", "-no-pie"].into_iter().for_each(arg);
    }
    for text in ["--entry=init_entry", "--build-id=none", "-znoexecstack", "-znorelro", "--no-eh-frame-hdr"] {
        arg(&format!("{prefix}{text}"));
    }
    if env::var("PROFILE").as_deref() == Ok("release") {
        let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
        arg(&format!("{prefix}-T{root}/link.ld"));
    }
}
