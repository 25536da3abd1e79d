//! Processes that join a container, what runs around it, and what its process is given.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixListener;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::{Fixture, Needs, accept, config, outcome, proc_status, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("exec::process_in_the_container", Needs::Root, exec),
        trial("exec::credentials", Needs::Root, credentials),
        trial("exec::mistakes", Needs::Root, mistakes),
        trial("exec::user_namespace", Needs::Root, exec_user),
        trial("hooks::order_and_worlds", Needs::Root, hooks),
        trial("hooks::failures", Needs::Root, hook_failures),
        trial("terminal::console_socket", Needs::Root, console),
        trial("terminal::mistakes", Needs::Root, console_mistakes),
        trial("namespaces::joined_pid_and_user", Needs::Root, joined),
        trial("namespaces::time", Needs::Root, time),
        trial("namespaces::without_mount_namespace", Needs::Root, chroot),
        trial("namespaces::no_pivot", Needs::Root, no_pivot),
        trial("mounts::copy_up_and_recursive_attributes", Needs::Root, mounts),
        trial("mounts::idmapped", Needs::Root, idmapped),
        trial("mounts::root_propagation", Needs::Root, propagation),
        trial("process::schedule_and_domains", Needs::Root, schedule),
        trial("process::preserved_descriptors", Needs::Root, preserve),
        trial("network::annotation", Needs::Root, network),
        trial("lifecycle::pause_update_ps_events", Needs::Root, pause),
    ]
}

fn exec() {
    let fixture = Fixture::script("sleep 100");
    let pid = fixture.create();
    fixture.verb("start").prints("");
    let namespaces = "for n in mnt pid net ipc uts cgroup; do busybox readlink /proc/self/ns/$n; done";
    let inside = fixture.call(&["exec", &fixture.id, "sh", "-c", namespaces]).stdout;
    let outside: String = ["mnt", "pid", "net", "ipc", "uts", "cgroup"]
        .map(|name| fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap().display().to_string() + "\n")
        .concat();
    assert_eq!(inside, outside);
    // Nothing but the standard streams; the one that ls reads is its own.
    fixture.call(&["exec", &fixture.id, "sh", "-c", "ls /proc/self/fd"]).prints("0\n1\n2\n3\n");
    let ran = fixture.call(&["exec", &fixture.id, "sh", "-c", "exit 7"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(7), ""));
    let killed = fixture.call(&["exec", &fixture.id, "sh", "-c", "kill -9 $$"]);
    assert_eq!(killed.code, Some(137));
    fixture
        .call(&["exec", "-e", "A=b", "--cwd", "/bin", &fixture.id, "sh", "-c", "echo $A; busybox pwd"])
        .prints("b\n/bin\n");
    let file = fixture.path().join("pid");
    let name = file.to_str().unwrap();
    fixture.call(&["exec", "-d", "--pid-file", name, &fixture.id, "sleep", "50"]).prints("");
    let detached: i32 = fs::read_to_string(&file).unwrap().parse().unwrap();
    assert_eq!(proc_status(detached, "NSpid").split(' ').next().unwrap(), detached.to_string());
    let members = fixture.call(&["ps", "--format", "json", &fixture.id]).stdout;
    let mut members: Vec<i32> = serde_json::from_str(&members).unwrap();
    members.sort_unstable();
    let mut expected = vec![pid, detached];
    expected.sort_unstable();
    assert_eq!(members, expected);
}

fn credentials() {
    let fixture = Fixture::script("sleep 100");
    fixture.create();
    fixture.verb("start").prints("");
    let process = fixture.path().join("process.json");
    let set = json!(["CAP_KILL"]);
    let text = json!({
        "args": ["sh", "-c", "id; busybox grep -E '^(Cap(Prm|Eff|Bnd|Inh|Amb)|NoNewPrivs)' /proc/self/status"],
        "env": ["PATH=/bin"], "cwd": "/", "noNewPrivileges": true,
        "user": { "uid": 1000, "gid": 1001, "additionalGids": [7] },
        "capabilities": { "bounding": set, "effective": set, "permitted": set, "inheritable": set, "ambient": set },
    });
    fs::write(&process, text.to_string()).unwrap();
    fixture.call(&["exec", "--process", process.to_str().unwrap(), &fixture.id]).prints(
        "uid=1000 gid=1001 groups=7\nCapInh:\t0000000000000020\nCapPrm:\t0000000000000020\nCapEff:\t0000000000000020\n\
         CapBnd:\t0000000000000020\nCapAmb:\t0000000000000020\nNoNewPrivs:\t1\n",
    );
    // The filter is the one of create, whatever the bundle says by now.
    let mut filtered = Fixture::script("sleep 100");
    filtered.config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5 }] });
    filtered.create();
    filtered.verb("start").prints("");
    filtered.config["linux"].as_object_mut().unwrap().remove("seccomp");
    filtered.write();
    let ran = filtered.call(&["exec", &filtered.id, "busybox", "mkdir", "/dev/x"]);
    assert_eq!((ran.code, ran.stderr.contains("output error")), (Some(1), true), "{}", ran.stderr);
}

fn mistakes() {
    let fixture = Fixture::script("sleep 100");
    fixture.create();
    fixture.verb("start").prints("");
    let id = fixture.id.as_str();
    fixture.call(&["exec", id]).fails_with("exec: a program or --process is needed");
    fixture.call(&["exec", id, "nosuch"]).fails_with("exec: \"nosuch\": executable file not found in $PATH");
    fixture.call(&["exec", id, "/bin"]).fails_with("exec: \"/bin\": is a directory");
    fixture
        .call(&["exec", "-u", "root", id, "true"])
        .fails_with("exec: --user: \"root\" is no id (UID or UID:GID)");
    fixture
        .call(&["exec", "--cgroup", "../x", id, "true"])
        .fails_with("exec: --cgroup: \"../x\" must not contain \"..\"");
    fixture
        .call(&["exec", "-t", "-d", id, "true"])
        .fails_with("exec: a detached process with a terminal needs --console-socket");
    fixture.call(&["kill", id, "KILL"]).prints("");
    fixture.await_status("stopped");
    fixture
        .call(&["exec", id, "true"])
        .fails_with(&format!("cannot exec in container {id:?}: it has stopped"));
}

fn exec_user() {
    let mut fixture = Fixture::script("sleep 100");
    fixture.give_to(100_000);
    config::user_namespace(&mut fixture.config);
    fixture.create();
    fixture.verb("start").prints("");
    fixture.call(&["exec", "-u", "5:6", &fixture.id, "id"]).prints("uid=5 gid=6\n");
}

fn hooks() {
    let mut fixture = Fixture::script("cat /dev/shm/hook");
    let log = fixture.path().join("log");
    let hook = |name: &str| {
        let script = format!(
            "read state; echo {name} $(readlink /proc/self/ns/mnt) $(readlink /proc/self/ns/net) \
             $(echo $state | sed 's/.*status\":\"\\([a-z]*\\).*/\\1/') $ONLY$HOME \
             $(pwd) $(echo $state | sed -n 's/.*pid\":\\([0-9]*\\).*/\\1/p') >> {}",
            log.display()
        );
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin", "ONLY=this"] }])
    };
    let kinds = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
    let mut all: Value = kinds.iter().map(|kind| ((*kind).to_owned(), hook(kind))).collect();
    let inner = "id > /dev/shm/hook; busybox grep CapEff /proc/self/status >> /dev/shm/hook; \
                 busybox sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/' >> /dev/shm/hook";
    all["startContainer"] = json!([{ "path": "/bin/sh", "args": ["sh", "-c", inner], "env": ["PATH=/bin"] }]);
    fixture.config["hooks"] = all;
    fixture.config["process"]["user"] = json!({ "uid": 12, "gid": 13 });
    let ran = fixture.run();
    assert_eq!(ran.stderr, "");
    assert_eq!(ran.stdout, "uid=12 gid=13\nCapEff:\t0000000000000000\n1");
    let bundle = fs::canonicalize(fixture.bundle()).unwrap().display().to_string();
    let host = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display().to_string();
    let text = fs::read_to_string(&log).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), kinds);
    for (row, status) in rows.iter().zip(["created", "creating", "creating", "running", "stopped"]) {
        let own = row[0] != "createContainer";
        assert_eq!((row[1] == host("mnt"), row[2] == host("net")), (own, own), "{row:?}");
        assert_eq!((row[3], row[4]), (status, "this"), "{row:?}");
        assert_eq!(row[5], if own { &bundle } else { "/" }, "{row:?}");
        // Inside the container its process has the number that it has there.
        let pid = row.get(6).map(|pid| *pid == "1");
        assert_eq!(pid, (status != "stopped").then_some(!own), "{row:?}");
    }
    fixture.assert_gone();
}

fn hook_failures() {
    for (kind, hook, message) in [
        (
            "prestart",
            json!({ "path": "/bin/sh", "args": ["sh", "-c", "echo oops >&2; exit 3"] }),
            "prestart hook #1 /bin/sh: exit status: 3: oops",
        ),
        (
            "createRuntime",
            json!({ "path": "/nosuch" }),
            "createRuntime hook #1 /nosuch: no such file or directory",
        ),
        (
            "createContainer",
            json!({ "path": "/bin/sh", "args": ["sh", "-c", "sleep 60 & sleep 60"], "timeout": 1 }),
            "createContainer hook #1 /bin/sh: timed out after 1 s",
        ),
        (
            "startContainer",
            json!({ "path": "/bin/sh", "args": ["sh", "-c", "exit 4"] }),
            "startContainer hook #1 /bin/sh: exit status 4",
        ),
        ("poststart", json!({ "path": "/bin/false" }), "poststart hook #1 /bin/false: exit status: 1"),
    ] {
        let mut fixture = Fixture::script("sleep 100");
        fixture.config["hooks"] = json!({ kind: [hook] });
        fixture.run().fails_with(message);
        fixture.assert_gone();
    }
    // A create that fails ends the container, too.
    let mut fixture = Fixture::script("true");
    let mark = fixture.path().join("mark");
    fixture.config["hooks"] = json!({
        "prestart": [{ "path": "/bin/false" }],
        "poststop": [{ "path": "/usr/bin/touch", "args": ["touch", mark] }],
    });
    fixture.run().fails_with("prestart hook #1 /bin/false: exit status: 1");
    assert!(mark.exists());
    fixture.assert_gone();
    let mut fixture = Fixture::script("true");
    fixture.config["hooks"] = json!({ "poststop": [{ "path": "/bin/false" }] });
    let ran = fixture.run();
    let warning = "warning: poststop hook #1 /bin/false: exit status: 1\n";
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), warning));
    fixture.assert_gone();
}

fn console() {
    let mut fixture =
        Fixture::script("tty; stty size; busybox stat -c '%t:%T %F' /dev/console; cat /proc/self/stat");
    std::os::unix::fs::symlink("busybox", fixture.rootfs().join("bin/tty")).unwrap();
    std::os::unix::fs::symlink("busybox", fixture.rootfs().join("bin/stty")).unwrap();
    fixture.config["process"]["terminal"] = json!(true);
    fixture.config["process"]["consoleSize"] = json!({ "height": 33, "width": 99 });
    fixture.write();
    let socket = fixture.path().join("console");
    let listener = UnixListener::bind(&socket).unwrap();
    let id = fixture.id.clone();
    let created = fixture.call(&["create", "--console-socket", socket.to_str().unwrap(), &id]);
    assert_eq!((created.code, created.stderr.as_str()), (Some(0), ""));
    let (mut master, _) = accept(&listener);
    fixture.verb("start").prints("");
    let mut text = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = master.read(&mut buffer) {
        text.extend_from_slice(&buffer[..count]);
    }
    let text = String::from_utf8(text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(&lines[..3], ["/dev/pts/0", "33 99", "88:0 character special file"], "{text}");
    // Session and controlling terminal: fields 6 and 7.
    let fields: Vec<&str> = lines[3].rsplit(") ").next().unwrap().split(' ').collect();
    assert_eq!((fields[3], fields[4]), ("1", "34816"));
}

fn console_mistakes() {
    let mut fixture = Fixture::script("true");
    fixture.write();
    let socket = fixture.path().join("socket");
    let name = socket.to_str().unwrap().to_owned();
    let create = |fixture: &Fixture| fixture.call(&["create", "--console-socket", &name, &fixture.id]);
    create(&fixture).fails_with("--console-socket: config.json asks for no terminal (/process/terminal)");
    fixture.config["process"]["terminal"] = json!(true);
    fixture.write();
    create(&fixture).fails_with(&format!("--console-socket: {name}: no such file or directory"));
    fs::write(&socket, "").unwrap();
    create(&fixture).fails_with(&format!("--console-socket: {name} is not a socket"));
    fs::remove_file(&socket).unwrap();
    drop(UnixListener::bind(&socket).unwrap());
    create(&fixture).fails_with(&format!("--console-socket: {name}: nobody listens"));
    fixture.assert_gone();
}

fn joined() {
    let mut first = Fixture::script("sleep 100");
    first.give_to(100_000);
    config::user_namespace(&mut first.config);
    let pid = first.create();
    first.verb("start").prints("");
    let mut second =
        Fixture::script("busybox readlink /proc/self/ns/pid; busybox readlink /proc/self/ns/user; id");
    second.give_to(100_000);
    for (kind, file) in [("pid", "pid"), ("user", "user"), ("ipc", "ipc")] {
        config::join(&mut second.config, kind, format!("/proc/{pid}/ns/{file}"));
    }
    let link = |name: &str| fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap().display().to_string();
    let seen = format!("{}\n{}\nuid=0 gid=0\n", link("pid"), link("user"));
    second.run().prints(&seen);
    // Engines say its maps, too; other ones are a mistake.
    second.config["linux"]["uidMappings"] = first.config["linux"]["uidMappings"].clone();
    second.config["linux"]["gidMappings"] = first.config["linux"]["gidMappings"].clone();
    second.run().prints(&seen);
    for kind in ["uid", "gid"] {
        let mut other = second.config.clone();
        other["linux"][format!("{kind}Mappings")][0]["size"] = json!(1000);
        second.write_text(other.to_string());
        second.verb("run").fails_with(&format!(
            "config.json: /linux/{kind}Mappings: is not that of the user namespace that is joined"
        ));
        second.assert_gone();
    }
}

fn time() {
    let mut fixture = Fixture::script("cat /proc/self/timens_offsets; cat /proc/uptime");
    fixture.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "time" }));
    fixture.config["linux"]["timeOffsets"] =
        json!({ "boottime": { "secs": 1_000_000 }, "monotonic": { "secs": 5, "nanosecs": 7 } });
    let seen = fixture.run();
    let lines: Vec<&str> = seen.stdout.lines().collect();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(lines[0]), ["monotonic", "5", "7"], "{seen:?}");
    assert_eq!(words(lines[1]), ["boottime", "1000000", "0"]);
    let uptime: f64 = lines[2].split(' ').next().unwrap().parse().unwrap();
    assert!(uptime > 1e6);
    fixture.assert_gone();
}

fn chroot() {
    // In a mount namespace of the test's own: what such a container mounts stays.
    let mut fixture = Fixture::script("busybox readlink /proc/self/ns/mnt; ls /");
    fixture.config["linux"]["namespaces"] = json!([{ "type": "pid" }]);
    for list in ["maskedPaths", "readonlyPaths"] {
        fixture.config["linux"].as_object_mut().unwrap().remove(list);
    }
    fixture.config.as_object_mut().unwrap().remove("hostname");
    fixture.config["root"]["readonly"] = json!(false);
    fixture.config["mounts"] = json!([{ "destination": "/proc", "type": "proc", "source": "proc" }]);
    fixture.write();
    let script = format!(
        "readlink /proc/self/ns/mnt; {} --root {} run {}",
        crate::support::binary().display(),
        fixture.root().display(),
        fixture.id
    );
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", &script]).current_dir(fixture.bundle());
    let seen = outcome(&mut command);
    let lines: Vec<&str> = seen.stdout.lines().collect();
    assert_eq!(seen.code, Some(0), "{seen:?}");
    assert_eq!(lines[0], lines[1]);
    assert_eq!(&lines[2..], ["bin", "dev", "proc"]);
}

fn no_pivot() {
    let fixture = Fixture::script("ls /; busybox grep -c . /proc/self/mountinfo > /dev/null");
    fixture.write();
    fixture.call(&["run", "--no-pivot", &fixture.id]).prints("bin\ndev\nproc\nsys\n");
    fixture.assert_gone();
}

fn mounts() {
    let mut fixture = Fixture::script(
        "cd /copied; ls -l | busybox awk 'NR>1 {print $1,$3,$4,$NF}'; cat deep/file; echo x > new && echo writable; \
         busybox touch /tree/x; busybox touch /tree/below/x; true",
    );
    let copied = fixture.rootfs().join("copied");
    fs::create_dir_all(copied.join("deep")).unwrap();
    fs::write(copied.join("deep/file"), "content\n").unwrap();
    std::os::unix::fs::symlink("deep/file", copied.join("link")).unwrap();
    std::os::unix::fs::chown(copied.join("deep"), Some(3), Some(4)).unwrap();
    let source = fixture.path().join("source");
    fs::create_dir_all(source.join("below")).unwrap();
    let list = fixture.config["mounts"].as_array_mut().unwrap();
    list.push(json!({ "destination": "/copied", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "nosuid"] }));
    list.push(
        json!({ "destination": "/tree", "type": "bind", "source": source, "options": ["rbind", "rro"] }),
    );
    let ran = fixture.run();
    assert_eq!(ran.stdout, "drwxr-xr-x 3 4 deep\nlrwxrwxrwx 0 0 deep/file\ncontent\nwritable\n", "{ran:?}");
    assert_eq!(
        ran.stderr,
        "touch: /tree/x: Read-only file system\ntouch: /tree/below/x: Read-only file system\n"
    );
    assert!(!copied.join("new").exists());
}

fn idmapped() {
    let mut fixture = Fixture::script("busybox stat -c %u:%g /mapped/file");
    let source = fixture.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "").unwrap();
    std::os::unix::fs::chown(source.join("file"), Some(1000), Some(1001)).unwrap();
    let map = json!([{ "containerID": 1000, "hostID": 5000, "size": 10 }]);
    fixture.config["mounts"].as_array_mut().unwrap().push(json!({
        "destination": "/mapped", "type": "bind", "source": source, "options": ["bind", "idmap"],
        "uidMappings": map, "gidMappings": map,
    }));
    let ran = fixture.run();
    // Where this file system cannot, the error says so with its place.
    if ran.code != Some(0) {
        assert!(ran.stderr.contains("/mounts/7: the file system cannot be idmapped"), "{ran:?}");
        return;
    }
    assert_eq!(ran.stdout, "5000:5001\n");
}

fn propagation() {
    for (value, field) in
        [("shared", "shared:"), ("slave", "master:"), ("private", ""), ("unbindable", "unbindable")]
    {
        let mut fixture = Fixture::script("busybox awk '$5 == \"/\"' /proc/self/mountinfo");
        fixture.config["linux"]["rootfsPropagation"] = json!(value);
        let ran = fixture.run();
        let optional = ran.stdout.lines().last().unwrap().split(" - ").next().unwrap().to_owned();
        // A slave has a master only where the host's mount is shared.
        if value != "slave" {
            assert!(optional.contains(field), "{value}: {optional}");
        }
        if value == "private" {
            assert!(!optional.contains("shared:") && !optional.contains("master:"), "{optional}");
        }
    }
}

fn schedule() {
    let mut fixture = Fixture::script("sleep 100");
    fixture.config["process"]["scheduler"] = json!({ "policy": "SCHED_BATCH", "nice": 7 });
    fixture.config["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_IDLE", "priority": 0 });
    fixture.config["linux"]["personality"] = json!({ "domain": "LINUX32" });
    fixture.config["process"]["oomScoreAdj"] = json!(321);
    let pid = fixture.create();
    fixture.verb("start").prints("");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    assert_eq!((fields[16], fields[38]), ("7", "3"), "nice and policy of {stat}");
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/personality")).unwrap(), "00000008\n");
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap(), "321\n");
    // Every process of the container has the domain.
    fixture.call(&["exec", &fixture.id, "cat", "/proc/self/personality"]).prints("00000008\n");
}

fn preserve() {
    let fixture = Fixture::script("cat <&3; ls /proc/self/fd | busybox tr '\\n' ' '");
    fixture.write();
    let file = fixture.path().join("file");
    fs::write(&file, "handed down\n").unwrap();
    let run = |count: &str, open: &str| {
        let script = format!(
            "exec {open} {} --root {} run --preserve-fds {count} {}",
            crate::support::binary().display(),
            fixture.root().display(),
            fixture.id
        );
        outcome(std::process::Command::new("sh").args(["-c", &script]).current_dir(fixture.bundle()))
    };
    let opened = format!("3<{}", file.display());
    run("1", &opened).prints("handed down\n0 1 2 3 4 ");
    let missing = run("60", &opened);
    assert_eq!((missing.code, missing.stderr.ends_with(" is not open\n")), (Some(1), true), "{missing:?}");
    run("x", &opened).fails_with("--preserve-fds: \"x\" is no number of descriptors");
}

fn network() {
    let mut fixture =
        Fixture::script("busybox ip -o -4 addr show dev lo | busybox awk '{print $4}'; busybox ip route");
    let annotation = json!({
        "addresses": [{ "device": "lo", "address": "10.9.8.7/24" }],
        "routes": [{ "destination": "10.1.0.0/16", "gateway": "10.9.8.1" }],
    });
    fixture.config["annotations"] = json!({ "harness.network": annotation.to_string() });
    fixture.run().prints("127.0.0.1/8\n10.9.8.7/24\n10.1.0.0/16 via 10.9.8.1 dev lo \n");
    fixture.config["annotations"] =
        json!({ "harness.network": "{\"addresses\":[{\"device\":\"eth0\",\"address\":\"10.0.0.1/8\"}]}" });
    fixture.run().fails_with(
        "config.json: /annotations/harness.network: device \"eth0\" is neither lo nor one of linux.netDevices",
    );
}

fn pause() {
    let fixture = Fixture::script("sleep 100");
    fixture.create();
    fixture.verb("start").prints("");
    let id = fixture.id.as_str();
    fixture.call(&["pause", id]).prints("");
    assert_eq!(fixture.status(), "paused");
    fixture.call(&["exec", id, "true"]).fails_with(&format!("cannot exec in container {id:?}: it is paused"));
    fixture.call(&["pause", id]).fails_with(&format!("cannot pause container {id:?}: it is paused"));
    fixture.call(&["resume", id]).prints("");
    assert_eq!(fixture.status(), "running");
    let stats: Value = serde_json::from_str(&fixture.call(&["events", "--stats", id]).stdout).unwrap();
    assert_eq!((&stats["type"], &stats["id"]), (&json!("stats"), &json!(id)));
    fixture.call(&["update", id]).fails_with("update: nothing to change; see --help");
    if fs::metadata("/sys/fs/cgroup/pids").is_ok() {
        fixture.call(&["update", "--pids-limit", "77", id]).prints("");
        let path = format!("/sys/fs/cgroup/pids/{id}/pids.max");
        assert_eq!(fs::read_to_string(path).unwrap(), "77\n");
    }
    // A paused container can be removed.
    fixture.call(&["pause", id]).prints("");
    fixture.call(&["delete", "-f", id]).prints("");
    fixture.assert_gone();
}
