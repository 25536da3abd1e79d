//! Filters as the kernel has them: what a process runs under is what the compiler made, and decides
//! as what other runtimes load.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::filter::{Call, X32_BIT, X86, X86_64, decide, read_back, vectors};
use crate::support::{Fixture, Needs, outcome, trial};

#[path = "../../src/bench/profile.rs"]
#[allow(dead_code, unused_imports)]
mod profile;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("filters::kernel_has_what_was_compiled", Needs::Readback, compiled),
        trial("filters::peers_decide_the_same", Needs::Peers, peers),
    ]
}

const PROFILES: [&str; 2] = ["docker.json", "podman.json"];

fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/seccomp").join(name)
}

/// A container that sleeps under an engine's profile, resolved as the engine does it.
fn under(name: &str) -> Fixture {
    let mut fixture = Fixture::new();
    let text = std::fs::read(place(name)).unwrap();
    let bounding = fixture.config["process"]["capabilities"]["bounding"].clone();
    let host = profile::Host {
        arch: profile::ARCH.0,
        kernel: (6, 1),
        capabilities: bounding.as_array().unwrap().iter().filter_map(Value::as_str).collect(),
    };
    fixture.config["linux"]["seccomp"] = profile::resolve(&serde_json::from_slice(&text).unwrap(), &host);
    fixture.config["process"]["args"] = json!(["sleep", "1000"]);
    fixture
}

/// What `harness seccomp compile` makes of a file.
fn compile(fixture: &Fixture, options: &[&str], file: &Path) -> Vec<u8> {
    let blob = fixture.path().join("blob");
    let files = [file.to_str().unwrap(), "-o", blob.to_str().unwrap()];
    let done = fixture.call(&[&["seccomp", "compile"], options, &files].concat());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    std::fs::read(&blob).unwrap()
}

/// The bytes in force are those that `seccomp compile` makes of the engine's own file and of
/// `linux.seccomp`, and those kept at `create`: for the first process and for one of `exec`, even
/// if the bundle has another profile by then.
fn compiled() {
    for (name, no_new_privs) in PROFILES.into_iter().zip([false, true]) {
        let mut fixture = under(name);
        fixture.config["process"]["noNewPrivileges"] = json!(no_new_privs);
        let bounding = fixture.config["process"]["capabilities"]["bounding"].clone();
        let names: Vec<&str> = bounding.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let engine = compile(&fixture, &["--caps", &names.join(","), "--kernel", "6.1"], &place(name));
        let resolved = fixture.path().join("resolved.json");
        std::fs::write(&resolved, fixture.config["linux"]["seccomp"].to_string()).unwrap();
        assert!(engine == compile(&fixture, &[], &resolved), "{name}: two ways to resolve it");

        fixture.write();
        assert_eq!(fixture.verb("create").code, Some(0));
        let kept = std::fs::read(fixture.root().join(&fixture.id).join("seccomp")).unwrap();
        assert!(engine == kept, "{name}: kept at create");
        fixture.verb("start").prints("");
        fixture.config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW" });
        fixture.write();
        let pid_file = fixture.path().join("pid");
        let exec = ["exec", "-d", "--pid-file", pid_file.to_str().unwrap(), &fixture.id, "sleep", "1000"];
        assert_eq!(fixture.call(&exec).code, Some(0));
        let other = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
        for pid in [fixture.state()["pid"].as_i64().unwrap() as i32, other] {
            let filters = read_back(pid);
            assert_eq!(filters.len(), 1, "{name}");
            assert!(filters[0] == engine[16..], "{name}: {} bytes in force", filters[0].len());
        }
    }
}

/// A container of another runtime, removed at the end.
struct Foreign<'f> {
    fixture: &'f Fixture,
    program: PathBuf,
}

impl Foreign<'_> {
    fn call(&self, args: &[&str]) -> crate::support::Outcome {
        // crun refuses hosts with both versions of cgroups.
        const PURE: &str = "mount --make-rprivate / && umount -R /sys/fs/cgroup && \
            mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", PURE, "sh"]).arg(&self.program);
        command.arg("--root").arg(self.fixture.path().join("foreign")).args(args);
        command.current_dir(self.fixture.bundle());
        outcome(&mut command)
    }

    /// Runs the container and reads its filter back once it is the program.
    fn filter(&self) -> Vec<u8> {
        for verb in ["create", "start"] {
            let done = self.call(&[verb, &self.fixture.id]);
            assert_eq!(done.code, Some(0), "{} {verb}: {}", self.program.display(), done.stderr);
        }
        let state: Value = serde_json::from_str(&self.call(&["state", &self.fixture.id]).stdout).unwrap();
        let pid = state["pid"].as_i64().unwrap() as i32;
        let start = std::time::Instant::now();
        while std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() != "sleep\n" {
            assert!(start.elapsed().as_secs() < 20, "never the program");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let mut filters = read_back(pid);
        assert_eq!(filters.len(), 1);
        filters.remove(0)
    }
}

impl Drop for Foreign<'_> {
    fn drop(&mut self) {
        let _best_effort = self.call(&["delete", "--force", &self.fixture.id]);
    }
}

/// A denial for each comparison, one rule a call, with operands in both halves.
fn comparisons() -> Value {
    let rule = |name: &str, errno: u32, op: &str, index: u32, value: u64, two: u64| {
        json!({ "names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": errno,
            "args": [{ "index": index, "value": value, "valueTwo": two, "op": format!("SCMP_CMP_{op}") }] })
    };
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": [
        rule("getpriority", 101, "NE", 0, 5, 0),
        rule("dup2", 102, "LT", 1, 1 << 32 | 7, 0),
        rule("setfsuid", 103, "LE", 0, 7, 0),
        rule("setfsgid", 104, "EQ", 0, 3 << 32 | 9, 0),
        rule("madvise", 105, "GE", 2, 1 << 32, 0),
        rule("msync", 106, "GT", 2, 1 << 32 | 1, 0),
        rule("fadvise64", 107, "MASKED_EQ", 3, 0xff00_0000_00f0, 0x1200_0000_0030),
        { "names": ["mkdir"], "action": "SCMP_ACT_KILL_PROCESS" },
        { "names": ["mkdirat"], "action": "SCMP_ACT_TRAP" },
        { "names": ["rmdir"], "action": "SCMP_ACT_LOG" },
        { "names": ["mknod"], "action": "SCMP_ACT_KILL_THREAD" },
    ]})
}

/// runc and crun load filters that libseccomp made. Equal bytes are out of the question; equal
/// decisions are not, and each class of others has a reason in conformance/seccomp/differences.json.
fn peers() {
    let classes: Vec<Value> =
        serde_json::from_slice(&std::fs::read(place("differences.json")).unwrap()).unwrap();
    let mut seen = vec![0u64; classes.len()];
    for name in [PROFILES[0], PROFILES[1], "comparisons"] {
        let mut fixture = if name == "comparisons" { Fixture::new() } else { under(name) };
        if name == "comparisons" {
            fixture.config["linux"]["seccomp"] = comparisons();
            fixture.config["process"]["args"] = json!(["sleep", "1000"]);
        }
        fixture.write();
        let profile = fixture.path().join("resolved.json");
        std::fs::write(&profile, fixture.config["linux"]["seccomp"].to_string()).unwrap();
        let ours = compile(&fixture, &[], &profile);
        let vectors = vectors(&fixture.config["linux"]["seccomp"]);
        for peer in crate::support::needs::PEERS {
            let foreign = Foreign { fixture: &fixture, program: crate::support::needs::peer(peer) };
            let theirs = foreign.filter();
            let mut samples = 0;
            for call in calls(&vectors) {
                samples += 1;
                let (own, other) = (decide(&ours[16..], &call), decide(&theirs, &call));
                if own == other {
                    continue;
                }
                let class = classes.iter().position(|class| explains(class, name, peer, &call, own, other));
                let class =
                    class.unwrap_or_else(|| panic!("{name} {peer} {call:x?}: {own:x}, not {other:x}"));
                seen[class] += 1;
            }
            assert!(samples > 50_000, "{samples}");
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "classes that nothing is in: {seen:?}");
}

/// Whether a difference is of a class that has a reason.
fn explains(class: &Value, profile: &str, peer: &str, call: &Call, ours: u32, theirs: u32) -> bool {
    let errno = |value: u32| format!("ERRNO({})", value & 0xffff);
    let x32 = call.audit == X86_64 && call.number >= X32_BIT && call.number != u32::MAX;
    let (arch, number) = match call.audit {
        X86_64 if x32 => ("X32", call.number - X32_BIT),
        X86_64 => ("X86_64", call.number),
        X86 => ("X86", call.number),
        _ => return false,
    };
    (&class["profile"], &class["runtime"]) == (&json!(profile), &json!(peer))
        && (ours >> 16, theirs >> 16) == (5, 5)
        && class["ours"] == errno(ours)
        && class["theirs"] == errno(theirs)
        && class["numbers above"][arch].as_u64().is_some_and(|highest| u64::from(number) > highest)
}

/// Calls to decide: every number there is, as x86-64, x32 and x86, the edges of the ranges, and the
/// same for machines that the profile is not for.
fn calls(vectors: &[[u64; 6]]) -> impl Iterator<Item = Call> {
    let edges = [X32_BIT - 1, X32_BIT, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1, u32::MAX];
    let numbers = (0..=600).flat_map(|number| [number, number | X32_BIT]).chain(edges);
    numbers.flat_map(move |number| {
        let foreign = [0xc000_00b7, 0x4000_0028, 0xc000_00f3, 0, 1];
        let native =
            [X86_64, X86].into_iter().flat_map(|audit| vectors.iter().map(move |args| (audit, *args)));
        let foreign = foreign.into_iter().flat_map(|audit| [[0; 6], [u64::MAX; 6]].map(|args| (audit, args)));
        native.chain(foreign).map(move |(audit, args)| Call { audit, number, args })
    })
}
