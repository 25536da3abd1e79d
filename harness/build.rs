//! Builds the freestanding init (with the demo's witness and the laboratory's floor) and hands their bytes to the crate.
//!
//! `INIT_BINARY=FILE` embeds that file instead. The nested cargo call has a target directory of
//! its own below `OUT_DIR`: sharing the outer one would deadlock on its lock.

#[path = "../init/build/linker.rs"]
mod linker;
#[path = "build/syscalls.rs"]
mod syscalls_table;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const BINARIES: [&str; 3] = ["init", "witness", "floor"];

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let workspace = manifest.parent().expect("the harness lies in the workspace").to_path_buf();
    for variable in ["INIT_BINARY", "INIT_TARGET"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let target = build(&workspace, &out);
    let mut origin = format!("built from init/ for {target}");
    if let Some(path) = env::var_os("INIT_BINARY").map(PathBuf::from) {
        println!("cargo:rerun-if-changed={}", path.display());
        fs::copy(&path, out.join("init.bin"))
            .unwrap_or_else(|error| panic!("INIT_BINARY={}: {error}", path.display()));
        origin = format!("INIT_BINARY={}", path.display());
    }
    order_functions(&manifest);
    println!("cargo:rustc-env=SECCOMP_SOURCES={:016x}", sum(&manifest, &["src/seccomp", "build"]));
    fs::write(out.join("syscalls.rs"), syscalls_table::generate()).expect("OUT_DIR can be written to");
    // Which init it is decides what runs in every container, so the build says it each time.
    println!("cargo:rustc-env=INIT_ORIGIN={origin}");
    println!("cargo:warning=embedded init: {origin}");
    // For the tests that drive init without the harness.
    println!("cargo:rustc-env=INIT_IMAGE={}", out.join("init.bin").display());
}

/// A sum over the files of directories, to tell one build from another.
fn sum(manifest: &Path, directories: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default().hash(&mut hasher);
    // The versions of what it is linked with.
    fs::read(manifest.join("../Cargo.lock")).unwrap_or_default().hash(&mut hasher);
    println!("cargo:rerun-if-changed={}", manifest.join("../Cargo.lock").display());
    for directory in directories.iter().map(|directory| manifest.join(directory)) {
        println!("cargo:rerun-if-changed={}", directory.display());
        let entries = fs::read_dir(&directory).expect("a directory");
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        for file in files.iter().filter(|file| file.is_file()) {
            fs::read(file).expect("a file").hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// What a start runs lies together in a binary that is to be fast.
fn order_functions(manifest: &Path) {
    let script = manifest.join("start-path.ld");
    println!("cargo:rerun-if-changed={}", script.display());
    if env::var("PROFILE").as_deref() != Ok("release") || !script.exists() {
        return;
    }
    println!("cargo:rustc-link-arg-bins={}-T{}", linker::prefix(), script.display());
}

/// Runs the nested build and copies its binaries to `OUT_DIR` as `NAME.bin`.
fn build(workspace: &Path, out: &Path) -> String {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets CARGO_CFG_TARGET_ARCH");
    let arch = if arch == "riscv64" { "riscv64gc" } else { &arch };
    let musl = format!("{arch}-unknown-linux-musl");
    let target = env::var("INIT_TARGET").unwrap_or_else(|_| {
        if has_core(&musl) { musl } else { env::var("TARGET").expect("cargo sets TARGET") }
    });
    let directory = out.join("init-target");
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets CARGO"));
    cargo.current_dir(workspace).args(["build", "--quiet", "--locked", "-p", "init"]);
    for binary in BINARIES {
        cargo.args(["--bin", binary]);
    }
    cargo.args(["--features", "freestanding", "--profile", "init", "--target", &target, "--target-dir"]);
    cargo.arg(&directory);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(belongs_to_the_outer_build) {
            cargo.env_remove(name);
        }
    }
    let status = cargo.status().expect("cargo can be started");
    assert!(status.success(), "the nested build of init failed");
    let built = directory.join(&target).join("init");
    for binary in BINARIES {
        fs::copy(built.join(binary), out.join(format!("{binary}.bin")))
            .expect("the nested build leaves its binary");
    }
    for path in [
        "Cargo.toml",
        "Cargo.lock",
        "init/Cargo.toml",
        "init/build.rs",
        "init/build",
        "init/link.ld",
        "init/src",
    ] {
        println!("cargo:rerun-if-changed={}", workspace.join(path).display());
    }
    target
}

/// Variables that would make the nested build another one than the same call by hand.
fn belongs_to_the_outer_build(name: &str) -> bool {
    const KEPT: [&str; 8] = [
        "CARGO_HOME",
        "CARGO_MAKEFLAGS",
        "CARGO_NET_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        "CARGO_HTTP_",
        "CARGO_TARGET_X86_64",
        "CARGO_TARGET_AARCH64",
    ];
    const FOREIGN: [&str; 8] = [
        "RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "TARGET",
        "OUT_DIR",
        "RUSTDOCFLAGS",
        "PROFILE",
        "OPT_LEVEL",
    ];
    FOREIGN.contains(&name) || name.starts_with("CARGO_") && !KEPT.iter().any(|kept| name.starts_with(kept))
}

/// Whether the toolchain has a standard library, so `core` too, for `target`.
fn has_core(target: &str) -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let Ok(output) = Command::new(rustc).args(["--print", "target-libdir", "--target", target]).output()
    else {
        return false;
    };
    let directory = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    fs::read_dir(directory).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
    })
}
