//! Programs that cannot be executed, or that their filter kills.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use libtest_mimic::Trial;
use serde_json::json;

use crate::support::{Fixture, Needs, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("errors::programs", Needs::Root, programs),
        trial("errors::killed", Needs::Root, killed),
        trial("errors::out_of_memory", Needs::Cgroup1, out_of_memory),
    ]
}

/// What is no program, or has no interpreter, with and without a filter in the way.
fn programs() {
    let script = |f: &Fixture, name: &str, text: &[u8]| {
        let path = f.rootfs().join("bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    for filter in [false, true] {
        let mut fixture = Fixture::new();
        if filter {
            fixture.config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW" });
        }
        script(&fixture, "lost", b"#!/usr/bin/nosuch -x\n");
        script(&fixture, "plain", b"neither\n");
        script(&fixture, "odd", b"\x7fELF");
        // A program for a loader that the image lacks: busybox as if it were linked dynamically.
        script(&fixture, "dynamic", &dynamic());
        // Behind a filter nobody is left to name the program; a missing interpreter is found before.
        let (before, program) = if filter { ("lookPath", "the process") } else { ("exec", "/bin/NAME") };
        for (name, message) in [
            ("lost", "init: BEFORE: interpreter /usr/bin/nosuch: no such file or directory"),
            ("dynamic", "init: BEFORE: interpreter /lib/ld-nosuch.so.1: no such file or directory"),
            ("plain", "init: exec: execve PROGRAM: exec format error"),
            ("odd", "init: exec: execve PROGRAM: exec format error"),
        ] {
            let message = message.replace("BEFORE", before).replace("PROGRAM", program).replace("NAME", name);
            fixture.config["process"]["args"] = json!([name]);
            fixture.run().fails_with(&message);
            fixture.assert_gone();
            let mut running = Fixture::script("sleep 100");
            running.config["linux"]["seccomp"] = fixture.config["linux"]["seccomp"].clone();
            fs::copy(fixture.rootfs().join("bin").join(name), running.rootfs().join("bin").join(name))
                .unwrap();
            running.create();
            running.verb("start").prints("");
            running.call(&["exec", &running.id, name]).fails_with(&message);
        }
    }
}

/// A program header table with nothing but the name of a loader.
fn dynamic() -> Vec<u8> {
    const NAME: &[u8] = b"/lib/ld-nosuch.so.1\0";
    let machine: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [3_u16, machine] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1_u32.to_le_bytes());
    for word in [0_u64, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    file.extend(3_u32.to_le_bytes());
    file.extend(4_u32.to_le_bytes());
    let length = NAME.len() as u64;
    for word in [120_u64, 120, 120, length, length, 1] {
        file.extend(word.to_le_bytes());
    }
    file.extend(NAME);
    file
}

fn killed() {
    // By a filter that forbids what the program does; the first call of all is enough.
    let mut fixture = Fixture::script("true");
    fixture.config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        { "names": ["getpid", "getppid", "getuid"], "action": "SCMP_ACT_KILL_PROCESS" }] });
    let ran = fixture.run();
    // Which one is the kernel's log's to say, where that may be read.
    let begin = "warning: the process was killed by SIGSYS: its seccomp filter forbids";
    let named = format!("{begin} getuid, by /linux/seccomp/syscalls/0 of config.json\n");
    let unnamed = format!(
        "{begin} a system call of which /dev/kmsg has no record (the kernel limits their rate); strace -f -p PID between create and start shows it\n"
    );
    assert_eq!(ran.code, Some(128 + 31), "{ran:?}");
    assert!([named, unnamed].contains(&ran.stderr), "{ran:?}");
    fixture.assert_gone();
}

fn out_of_memory() {
    // What runs out of memory is killed; the container's first process goes on.
    let mut fixture = Fixture::script("sleep 100");
    fixture.config["linux"]["resources"]["memory"] = json!({ "limit": 16 << 20, "swap": 16 << 20 });
    fixture.create();
    fixture.verb("start").prints("");
    let eater = "busybox head -c 100000000 /dev/zero | busybox tail -n 1 >/dev/null";
    fixture.call(&["exec", &fixture.id, "busybox", "sh", "-c", eater]);
    let file = format!("/sys/fs/cgroup/memory/{}/memory.oom_control", fixture.id);
    let text = fs::read_to_string(file).unwrap();
    let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap();
    assert_ne!(kills, "0");
    assert_eq!(fixture.status(), "running");
}
