//! What a container's process finds, looked at from outside and inside.

use std::fs;

use libtest_mimic::Trial;
use serde_json::json;

use crate::support::lab::injected_verb;
use crate::support::{Fixture, Needs, proc_status, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("world::mounts", Needs::Root, mounts),
        trial("world::mounts_without_mount_2", Needs::Strace, mounts_by_descriptor),
        trial("world::devices_and_links", Needs::Root, devices),
        trial("world::identity", Needs::Root, identity),
        trial("world::capabilities", Needs::Root, capabilities),
        trial("world::limits", Needs::Root, limits),
        trial("world::no_descriptor_of_the_host", Needs::Root, descriptors),
        trial("world::covered_paths", Needs::Root, covered_paths),
        trial("world::sysctl_and_names", Needs::Root, sysctl),
        trial("world::binds", Needs::Root, binds),
        trial("world::overlay_and_state_in_a_bind", Needs::Root, overlay),
        trial("world::working_directory", Needs::Root, cwd),
        trial("world::environment", Needs::Root, environment),
        trial("world::keyring", Needs::Root, keyring),
        trial("world::large_configuration", Needs::Root, large),
        trial("world::joined_namespaces", Needs::Root, joined),
    ]
}

/// Mount points of a process with their options, from outside.
fn mountinfo(pid: i32) -> Vec<(String, String, String)> {
    let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let row = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let kind = line.split(" - ").nth(1).unwrap().split(' ').next().unwrap();
        (words[4].to_owned(), kind.to_owned(), words[5].to_owned())
    };
    text.lines().map(row).collect()
}

fn mounts() {
    let fixture = Fixture::script("sleep 100");
    let pid = fixture.create();
    let seen = mountinfo(pid);
    for (target, kind, options) in [
        ("/proc", "proc", "rw,relatime"),
        ("/dev", "tmpfs", "rw,nosuid"),
        ("/dev/pts", "devpts", "rw,nosuid,noexec,relatime"),
        ("/dev/shm", "tmpfs", "rw,nosuid,nodev,noexec,relatime"),
        ("/dev/mqueue", "mqueue", "rw,nosuid,nodev,noexec,relatime"),
        ("/sys", "sysfs", "ro,nosuid,nodev,noexec,relatime"),
        ("/proc/sys", "proc", "ro,relatime"),
    ] {
        let wanted = (target.to_owned(), kind.to_owned(), options.to_owned());
        assert!(seen.contains(&wanted), "{wanted:?} in {seen:#?}");
    }
    let root: Vec<_> = seen.iter().filter(|(target, ..)| target == "/").collect();
    assert!(root.iter().any(|(_, _, options)| options.starts_with("ro,")), "{root:?}");
    // Nothing shared: no propagation field before the separator.
    let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    assert!(!text.contains("shared:") && !text.contains("master:"), "{text}");
    let host = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!text.contains(" /home") && text.lines().count() < host.lines().count() + 30);
}

/// What mount(2) makes is what descriptors make where it is refused.
fn mounts_by_descriptor() {
    let fixture = Fixture::script("busybox cut -d ' ' -f 5- /proc/self/mountinfo | busybox grep '^/dev'");
    let made = fixture.run();
    assert_eq!(made.stdout.lines().count(), 4, "{made:?}");
    injected_verb(&fixture, "mount:error=EPERM", &["run", &fixture.id]).prints(&made.stdout);
}

fn devices() {
    let mut fixture = Fixture::script(
        "cd /dev; stat -c '%n %F %a %u:%g %t:%T' null zero full random urandom tty fuse; for l in fd stdin stdout stderr ptmx; do echo $l $(busybox readlink $l); done",
    );
    fixture.config["linux"]["devices"] = json!([{ "type": "c", "path": "/dev/fuse", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 7, "gid": 8 }]);
    fixture.run().prints(
        "null character special file 666 0:0 1:3\nzero character special file 666 0:0 1:5\n\
         full character special file 666 0:0 1:7\nrandom character special file 666 0:0 1:8\n\
         urandom character special file 666 0:0 1:9\ntty character special file 666 0:0 5:0\n\
         fuse character special file 640 7:8 a:e5\n\
         fd /proc/self/fd\nstdin /proc/self/fd/0\nstdout /proc/self/fd/1\nstderr /proc/self/fd/2\nptmx pts/ptmx\n",
    );
}

fn identity() {
    let mut fixture = Fixture::script("sleep 100");
    fixture.config["process"]["user"] =
        json!({ "uid": 1234, "gid": 5678, "additionalGids": [40, 7, 40], "umask": 0o027 });
    let pid = fixture.create();
    fixture.verb("start").prints("");
    for (field, value) in [
        ("Uid", "1234 1234 1234 1234"),
        ("Gid", "5678 5678 5678 5678"),
        ("Groups", "7 40"),
        ("Umask", "0027"),
        ("NoNewPrivs", "1"),
        ("SigBlk", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("CapBnd", "0000000020000420"),
    ] {
        assert_eq!(proc_status(pid, field), value, "{field}");
    }
    // A session of its own.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(3).unwrap();
    assert_eq!(session, pid.to_string());
}

fn capabilities() {
    let mut fixture = Fixture::script("sleep 100");
    fixture.config["process"]["user"]["uid"] = json!(1000);
    fixture.config["process"]["noNewPrivileges"] = json!(false);
    fixture.config["process"]["capabilities"] = json!({
        "bounding": ["CAP_CHOWN", "CAP_NET_RAW", "CAP_KILL"], "effective": ["CAP_KILL", "CAP_NET_RAW"],
        "permitted": ["CAP_KILL", "CAP_NET_RAW"], "inheritable": ["CAP_NET_RAW"], "ambient": ["CAP_NET_RAW"],
    });
    let pid = fixture.create();
    // While it waits it has its final sets, and is out of reach.
    for (field, value) in
        [("CapPrm", "0000000000002020"), ("CapEff", "0000000000002020"), ("CapBnd", "0000000000002021")]
    {
        assert_eq!(proc_status(pid, field), value, "{field} at the gate");
    }
    fixture.verb("start").prints("");
    for (field, value) in [
        ("CapInh", "0000000000002000"),
        ("CapPrm", "0000000000002000"),
        ("CapEff", "0000000000002000"),
        ("CapBnd", "0000000000002021"),
        ("CapAmb", "0000000000002000"),
        ("NoNewPrivs", "0"),
    ] {
        assert_eq!(proc_status(pid, field), value, "{field}");
    }
    // Absent means none; unknown ones warn; a request beyond the runtime's own is refused.
    let mut fixture = Fixture::script("cat /proc/self/status | busybox grep CapBnd");
    fixture.config["process"]["capabilities"] = json!(null);
    fixture.run().prints("CapBnd:\t0000000000000000\n");
    fixture.config["process"]["capabilities"] = json!({ "bounding": ["CAP_FOO"] });
    let warned = fixture.run();
    assert_eq!(
        warned.stderr,
        "warning: config.json: /process/capabilities/bounding/0: unknown capability \"CAP_FOO\" is ignored\n"
    );
}

fn limits() {
    let mut fixture = Fixture::script("sleep 100");
    fixture.config["process"]["rlimits"] = json!([
        { "type": "RLIMIT_NOFILE", "soft": 3, "hard": 64 }, { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 },
    ]);
    fixture.config["process"]["oomScoreAdj"] = json!(300);
    let pid = fixture.create();
    fixture.verb("start").prints("");
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let row = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().rev().skip(1).take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row("Max open files"), ["64", "3"]);
    assert_eq!(row("Max core file size"), ["0", "0"]);
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap(), "300\n");
}

fn descriptors() {
    let fixture = Fixture::script("ls /proc/self/fd | busybox tr '\\n' ' '");
    fixture.write();
    // The caller leaks a directory of the host as descriptor 9.
    let script = format!(
        "exec 9</; exec {} --root {} run {}",
        crate::support::binary().display(),
        fixture.root().display(),
        fixture.id
    );
    let ran = crate::support::outcome(
        std::process::Command::new("sh").args(["-c", &script]).current_dir(fixture.bundle()),
    );
    // 3 is the directory that ls itself reads.
    ran.prints("0 1 2 3 ");
    let waiting = Fixture::script("true");
    let pid = waiting.create();
    let open: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .flatten()
        .map(|entry| fs::read_link(entry.path()).unwrap().display().to_string())
        .filter(|path| path.starts_with('/') && !path.starts_with("/dev/null"))
        .collect();
    // What is left at the gate: the fifo, and procfs of its own namespace. (Deleted: this test's output.)
    assert!(
        open.iter().all(|path| path.ends_with("exec.fifo")
            || path == "/proc"
            || path.ends_with("/status")
            || path.ends_with("(deleted)")),
        "{open:?}"
    );
    let environ = fs::read(format!("/proc/{pid}/environ")).unwrap();
    assert!(environ.iter().all(|byte| *byte == 0), "{environ:?}");
}

fn covered_paths() {
    let mut fixture = Fixture::script(
        "cat /secret; echo x >/secret && echo discarded; ls /hidden; touch /fixed/x || echo readonly; cat /proc/keys; cat /fixed/f",
    );
    fs::write(fixture.rootfs().join("secret"), "secret").unwrap();
    fs::create_dir(fixture.rootfs().join("hidden")).unwrap();
    fs::write(fixture.rootfs().join("hidden/f"), "").unwrap();
    fs::create_dir(fixture.rootfs().join("fixed")).unwrap();
    fs::write(fixture.rootfs().join("fixed/f"), "f\n").unwrap();
    fixture.config["root"]["readonly"] = json!(false);
    fixture.config["linux"]["maskedPaths"] = json!(["/secret", "/hidden", "/proc/keys", "/nowhere"]);
    fixture.config["linux"]["readonlyPaths"] = json!(["/fixed", "/nowhere"]);
    let ran = fixture.run();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "discarded\nreadonly\nf\n"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(fixture.rootfs().join("secret")).unwrap(), "secret");
}

fn sysctl() {
    let mut fixture = Fixture::script(
        "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shm_rmid_forced; busybox hostname; cat /proc/sys/kernel/domainname; busybox ip addr show lo | busybox grep -c 127.0.0.1",
    );
    fixture.config["hostname"] = json!("here");
    fixture.config["domainname"] = json!("there");
    fixture.config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1", "kernel/shm_rmid_forced": "1" });
    fixture.run().prints("1\n1\nhere\nthere\n1\n");
}

fn binds() {
    let mut fixture = Fixture::script(
        "cat /file; touch /rw/made; touch /ro/made || echo ro; touch /ro/inner/made && echo inner; ls /one/inner | busybox wc -l",
    );
    let source = fixture.path().join("source");
    let fixture_path = fixture.path().to_path_buf();
    fs::create_dir_all(source.join("inner")).unwrap();
    fs::write(fixture.path().join("file"), "text\n").unwrap();
    let bind = |target: &str, source: &std::path::Path, options: &[&str]| json!({ "destination": target, "source": source, "type": "none", "options": options });
    let mounts = fixture.config["mounts"].as_array_mut().unwrap();
    mounts.extend([
        bind("/file", &fixture_path.join("file"), &["bind", "ro"]),
        bind("/rw", &source, &["rbind", "rw", "rprivate"]),
        bind("/ro", &source, &["rbind", "ro"]),
        bind("/one", &source, &["bind"]),
    ]);
    fixture.write();
    // A mount below the source: rbind takes it along with its own flags, bind does not.
    let script = format!(
        "mount -t tmpfs x {}/inner && touch {0}/inner/mark && exec {} --root {} run {}",
        source.display(),
        crate::support::binary().display(),
        fixture.root().display(),
        fixture.id
    );
    let ran = crate::support::outcome(
        std::process::Command::new("unshare").args(["-m", "sh", "-c", &script]).current_dir(fixture.bundle()),
    );
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "text\nro\ninner\n0\n"), "{}", ran.stderr);
    assert!(source.join("made").exists());
}

fn overlay() {
    let mut fixture = Fixture::script("cat /merged/low; echo up >/merged/up; ls /h/state | busybox wc -l");
    fixture.create();
    fixture.call(&["delete", "-f", &fixture.id]).prints("");
    for name in ["lower", "upper", "work"] {
        fs::create_dir(fixture.path().join(name)).unwrap();
    }
    fs::write(fixture.path().join("lower/low"), "low\n").unwrap();
    let option = |key: &str, name: &str| format!("{key}={}", fixture.path().join(name).display());
    // Its layers are paths of the host, looked up when it is mounted.
    let layers = [option("lowerdir", "lower"), option("upperdir", "upper"), option("workdir", "work")];
    let above = fixture.path().display().to_string();
    let mounts = fixture.config["mounts"].as_array_mut().unwrap();
    mounts
        .push(json!({ "destination": "/merged", "type": "overlay", "source": "overlay", "options": layers }));
    // A tree that holds the state directory, and so the template, can be bound as any other.
    mounts.push(json!({ "destination": "/h", "type": "bind", "source": above, "options": ["rbind", "ro"] }));
    let ran = fixture.run();
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(ran.stdout.starts_with("low\n"), "{}", ran.stdout);
    assert_eq!(fs::read_to_string(fixture.path().join("upper/up")).unwrap(), "up\n");
    fixture.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "overlay");
    fixture.config["process"]["args"] = json!(["ls", "/h/bundle"]);
    fixture.run().prints("config.json\nrootfs\n");
}

fn cwd() {
    let mut fixture = Fixture::script("busybox pwd");
    fixture.config["root"]["readonly"] = json!(true);
    fixture.config["process"]["cwd"] = json!("/made/on/the/way");
    fixture.run().prints("/made/on/the/way\n");
    // Only its owner may enter, and init as root without the container's ids first.
    fs::create_dir(fixture.rootfs().join("own")).unwrap();
    std::os::unix::fs::chown(fixture.rootfs().join("own"), Some(1000), Some(1000)).unwrap();
    fs::set_permissions(fixture.rootfs().join("own"), std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .unwrap();
    fixture.config["process"]["cwd"] = json!("/own");
    fixture.config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    fixture.run().prints("/own\n");
}

fn environment() {
    let mut fixture = Fixture::new();
    fixture.config["process"]["args"] = json!(["/bin/busybox", "env"]);
    fixture.config["process"]["env"] = json!(["A=1", "B=x y", "A=2", "C="]);
    fixture.run().prints("B=x y\nA=2\nC=\nHOME=/\n");
    // From the image's passwd; an empty one is none.
    fs::create_dir(fixture.rootfs().join("etc")).unwrap();
    fs::write(fixture.rootfs().join("etc/passwd"), "x:x:1:1::/wrong:\nroot:x:0:0:root:/root:/bin/sh\n")
        .unwrap();
    fixture.config["process"]["env"] = json!(["HOME="]);
    fixture.run().prints("HOME=/root\n");
    fixture.config["process"]["env"] = json!(["HOME=/own"]);
    fixture.run().prints("HOME=/own\n");
    // A file that nobody may wait for or read for long.
    fs::remove_file(fixture.rootfs().join("etc/passwd")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", fixture.rootfs().join("etc/passwd")).unwrap();
    fixture.config["process"]["env"] = json!([]);
    fixture.run().prints("HOME=/\n");
}

fn keyring() {
    let fixture = Fixture::script("sleep 100");
    let pid = fixture.create();
    let keys = fs::read_to_string("/proc/keys").unwrap();
    let name = format!("_ses.{}:", fixture.id);
    let line = keys.lines().find(|line| line.contains(&name)).unwrap();
    assert!(line.contains("3f1b0000") && line.ends_with(": empty"), "{line}");
    assert!(pid > 0);
}

fn large() {
    let mut fixture = Fixture::new();
    let env: Vec<String> = (0..2000).map(|n| format!("VARIABLE_{n}={}", "x".repeat(100))).collect();
    fixture.config["process"]["args"] = json!(["sh", "-c", "busybox env | busybox grep -c VARIABLE"]);
    fixture.config["process"]["env"] = json!(env);
    fixture.config["process"]["env"].as_array_mut().unwrap().push(json!("PATH=/bin"));
    let mounts = fixture.config["mounts"].as_array_mut().unwrap();
    for n in 0..300 {
        mounts.push(json!({ "destination": format!("/dev/shm/{n}"), "type": "tmpfs", "source": "x", "options": ["size=4k"] }));
    }
    fixture.run().prints("2000\n");
    fixture.config["process"]["args"] = json!(["true", "x".repeat(140_000)]);
    fixture.run().fails_with("init: exec: execve /bin/true: argument list too long");
}

fn joined() {
    let holder = Fixture::script("sleep 100");
    let pid = holder.create();
    let mut fixture = Fixture::script("busybox hostname; busybox readlink /proc/self/ns/net");
    let namespace =
        |kind: &str, file: &str| json!({ "type": kind, "path": format!("/proc/{pid}/ns/{file}") });
    fixture.config["linux"]["namespaces"] = json!([{ "type": "mount" }, { "type": "pid" }, namespace("network", "net"), namespace("uts", "uts"), { "type": "ipc" }]);
    fixture.config["hostname"] = json!("");
    let net = fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    fixture.run().prints(&format!("harness\n{}\n", net.display()));
    fixture.config["linux"]["namespaces"][2] = namespace("network", "ipc");
    fixture.write();
    fixture.verb("create").fails_with(&format!(
        "config.json: /linux/namespaces/2/path: network namespace /proc/{pid}/ns/ipc: is of another kind"
    ));
    // The runtime's own, by path, is no way to change the host.
    fixture.config["linux"]["namespaces"][3] = json!({ "type": "uts", "path": "/proc/self/ns/uts" });
    fixture.config["linux"]["namespaces"][2] = namespace("network", "net");
    fixture.config["hostname"] = json!("other");
    fixture.write();
    fixture.verb("create").fails_with(
        "config.json: /linux/namespaces/3/path: uts namespace /proc/self/ns/uts: is the runtime's own, which the configuration would change",
    );
    fixture.config["hostname"] = json!("");
    fixture.config["linux"]["namespaces"][2] = json!({ "type": "network", "path": "/etc/passwd" });
    fixture.write();
    fixture
        .verb("create")
        .fails_with("config.json: /linux/namespaces/2/path: network namespace /etc/passwd: is no namespace");
}
