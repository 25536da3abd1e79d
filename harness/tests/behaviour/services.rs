//! What comes with a container from outside: network devices, sockets of a service manager,
//! memory nodes, caches.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Stdio;

use libtest_mimic::Trial;
use serde_json::json;

use crate::support::lab::in_shell;
use crate::support::{Fixture, Needs, config, outcome, trial};

pub fn trials() -> Vec<Trial> {
    let numa = trial("process::memory_policy", Needs::Root, memory_policy);
    let numa = if Path::new("/proc/self/numa_maps").exists() {
        numa
    } else {
        numa.with_kind("skipped: needs a kernel with NUMA").with_ignored_flag(true)
    };
    vec![
        trial("network::devices", Needs::Ip, devices),
        trial("network::device_mistakes", Needs::Ip, device_mistakes),
        trial("network::devices_come_back", Needs::Ip, devices_come_back),
        trial("network::routes", Needs::Root, routes),
        trial("service::notify_socket", Needs::Root, notify),
        trial("service::notify_socket_unheard", Needs::Root, unheard),
        trial("service::listen_fds", Needs::Root, listen_fds),
        trial("service::resctrl", Needs::Root, resctrl),
        numa,
    ]
}

/// Makes a pair of devices in a network namespace of the test's own, then runs the harness.
fn with_pair(fixture: &Fixture, then: &str) -> crate::support::Outcome {
    let pair = "ip link add host0 type veth peer name peer0 && ip addr add 10.7.0.2/24 dev host0 && \
        ip addr add fd00:7::2/64 dev host0 nodad && ip addr add 10.9.0.2/24 dev host0 valid_lft 900 preferred_lft 900 && \
        ip link set peer0 up && ip link set host0 up";
    in_shell(fixture, &["-n"], &format!("{pair}; {then}"))
}

/// Devices with their state and addresses of global scope, then routes, as the container sees them.
const SEEN: &str = "for d in /sys/class/net/*; do busybox basename $d; done; \
    busybox ip -o addr show scope global | busybox awk '{print $2, $4}'; \
    busybox ip link show eth0 | busybox grep -o '[<,]UP[,>]'; busybox ip route; \
    busybox awk '/^fd/ {print $5}' /proc/net/if_inet6";

fn devices() {
    for (namespaces, hooks) in [(json!(null), false), (json!(null), true), (json!("user"), false)] {
        let mut fixture = Fixture::script(SEEN);
        fixture.config["linux"]["netDevices"] = json!({ "host0": { "name": "eth0" } });
        let annotation = json!({
            "addresses": [{ "device": "eth0", "address": "10.8.0.9/16" }],
            "routes": [{ "gateway": "10.7.0.1" }],
        });
        fixture.config["annotations"] = json!({ "harness.network": annotation.to_string() });
        if hooks {
            fixture.config["hooks"] = json!({ "createRuntime": [{ "path": "/bin/true" }] });
        }
        if namespaces == "user" {
            fixture.give_to(100_000);
            config::user_namespace(&mut fixture.config);
        }
        // What has moved is no longer the host's.
        let ran = with_pair(
            &fixture,
            "$H create $ID && ls /sys/class/net >/dev/null && ip -o link show host0; $H start $ID; until $H delete $ID 2>/dev/null; do sleep 0.05; done",
        );
        let mut lines: Vec<&str> = ran.stdout.lines().collect();
        lines[2..5].sort_unstable();
        assert_eq!(
            lines,
            [
                "eth0",
                "lo",
                "eth0 10.7.0.2/24",
                "eth0 10.8.0.9/16",
                "eth0 fd00:7::2/64",
                ",UP,",
                "default via 10.7.0.1 dev eth0 ",
                "10.7.0.0/24 dev eth0 scope link  src 10.7.0.2 ",
                "10.8.0.0/16 dev eth0 scope link  src 10.8.0.9 ",
                // Permanent, and without a search for the same address, as on the host.
                "82",
            ],
            "{hooks} {ran:?}"
        );
        assert_eq!(ran.stderr, "Device \"host0\" does not exist.\n");
        fixture.assert_gone();
    }
}

fn device_mistakes() {
    for (devices, message) in [
        (json!({ "nosuch0": {} }), "config.json: /linux/netDevices/nosuch0: nosuch0: no such device"),
        (
            json!({ "host0": { "name": "x" }, "peer0": { "name": "x" } }),
            "config.json: /linux/netDevices/peer0: \"x\" is the name of two devices",
        ),
        (
            json!({ "host0": { "name": "lo" } }),
            "config.json: /linux/netDevices/host0: every network namespace has its own lo",
        ),
        (
            json!({ "host0": { "name": "sixteen-letters-" } }),
            "config.json: /linux/netDevices/host0: \"sixteen-letters-\" is not the name of a device",
        ),
        (
            json!({ "host0": { "name": "eth%d" } }),
            "config.json: /linux/netDevices/host0: \"eth%d\" is not the name of a device",
        ),
    ] {
        let mut fixture = Fixture::script("true");
        fixture.config["linux"]["netDevices"] = devices;
        let ran = with_pair(&fixture, "$H run $ID; ip -o link show host0 | grep -c host0");
        // The host keeps it.
        assert_eq!((ran.stdout.as_str(), ran.stderr), ("1\n", format!("error: {message}\n")));
        fixture.assert_gone();
    }
}

fn devices_come_back() {
    // Behind the first device a second one meets its name in the namespace that is joined; behind
    // both, a container that comes to nothing.
    for (name, args, message) in [
        ("taken0", "true", "config.json: /linux/netDevices/peer0: cannot be moved: file exists"),
        ("free0", "/none", "exec: \"/none\": stat /none: no such file or directory"),
    ] {
        let mut fixture = Fixture::script("true");
        fixture.config["process"]["args"] = json!([args]);
        fixture.config["linux"]["netDevices"] =
            json!({ "host0": { "name": "eth0" }, "peer0": { "name": name } });
        let file = fixture.path().join("joined");
        std::fs::write(&file, "").unwrap();
        config::join(&mut fixture.config, "network", &file);
        let there = format!("nsenter --net={}", file.display());
        let ran = with_pair(
            &fixture,
            &format!(
                "unshare --net={} true && {there} ip link add taken0 type veth peer name other0; $H run $ID; \
                 ip -br link | cut -d@ -f1; {there} ip -br link | cut -d@ -f1 | sort; umount {}",
                file.display(),
                file.display()
            ),
        );
        let seen: Vec<&str> = ran.stdout.lines().filter(|line| !line.starts_with("lo ")).collect();
        assert_eq!(seen, ["peer0", "host0", "other0", "taken0"], "{name}: {ran:?}");
        assert_eq!(ran.stderr, format!("error: {message}\n"));
        fixture.assert_gone();
    }
}

fn routes() {
    let fixture = |annotation: &str| {
        let mut fixture = Fixture::script("true");
        fixture.config["annotations"] = json!({ "harness.network": annotation });
        fixture
    };
    let place = "config.json: /annotations/harness.network: ";
    for (annotation, message) in [
        ("{", "EOF while parsing an object at line 1 column 1"),
        ("{\"dns\":[]}", "unknown field `dns`, expected `addresses` or `routes` at line 1 column 6"),
        ("{\"routes\":[{}]}", "a route needs a destination or a gateway"),
        ("{\"routes\":[{\"destination\":\"10.0.0.0\"}]}", "\"10.0.0.0\" has no prefix"),
        (
            "{\"routes\":[{\"destination\":\"10.0.0.0/33\"}]}",
            "\"10.0.0.0/33\" has a prefix of more than 32 bits",
        ),
        ("{\"addresses\":[{\"device\":\"lo\",\"address\":\"here/8\"}]}", "\"here/8\" is no address"),
    ] {
        fixture(annotation).run().fails_with(&format!("{place}{message}"));
    }
    let mut without = fixture("{}");
    config::share(&mut without.config, "network");
    without.run().fails_with(&format!("{place}needs a new network namespace"));
    let mut six = fixture(
        "{\"addresses\":[{\"device\":\"lo\",\"address\":\"fd00::9/64\"}],\"routes\":[{\"destination\":\"fd01::/48\",\"device\":\"lo\"}]}",
    );
    six.config["process"]["args"] = json!([
        "sh",
        "-c",
        "busybox ip -6 -o addr show scope global | busybox awk '{print $4}'; busybox ip -6 route | busybox grep fd01"
    ]);
    let ran = six.run();
    assert!(ran.stdout.starts_with("fd00::9/64\nfd01::/48 dev lo "), "{ran:?}");
}

/// Starts a service whose socket is `to`, and returns what it is told of its own.
fn notified(fixture: &Fixture, to: &Path) -> std::process::Child {
    fixture.write();
    let id = fixture.id.as_str();
    outcome(fixture.harness().args(["create", id]).env("NOTIFY_SOCKET", to)).prints("");
    let mut start = fixture.harness();
    start.args(["start", id]).env("NOTIFY_SOCKET", to).stdout(Stdio::null()).stderr(Stdio::piped());
    start.spawn().unwrap()
}

fn notify() {
    // busybox logger speaks to /dev/log alone; its own line comes before the one that counts.
    let mut fixture = Fixture::script(
        "busybox ln -s $NOTIFY_SOCKET /dev/log; busybox env | busybox grep NOTIFY >/dev/shm/env; \
         busybox logger STATUS=soon; touch /dev/shm/told; until [ -e /dev/shm/go ]; do sleep 0.05; done; \
         busybox logger \"$(echo MAINPID=1; echo READY=1)\"; sleep 100",
    );
    // What the image says of it is not asked.
    fixture.config["process"]["env"] = json!(["PATH=/bin", "NOTIFY_SOCKET=/etc/passwd"]);
    let path = fixture.path().join("manager");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let mut start = notified(&fixture, &path);
    let pid = fixture.state()["pid"].as_i64().unwrap();
    let inside = |name: &str| format!("/proc/{pid}/root/dev/shm/{name}");
    let begun = std::time::Instant::now();
    while !Path::new(&inside("told")).exists() {
        assert!(begun.elapsed().as_secs() < 10);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(fs::read_to_string(inside("env")).unwrap(), "NOTIFY_SOCKET=/run/notify/notify.sock\n");
    // `start` waits until the service is ready.
    assert!(start.try_wait().unwrap().is_none());
    fs::write(inside("go"), "").unwrap();
    let mut buffer = [0; 100];
    let count = loop {
        match manager.recv(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            received => break received.unwrap(),
        }
    };
    assert_eq!(String::from_utf8_lossy(&buffer[..count]), format!("MAINPID={pid}\nREADY=1\n"));
    assert_eq!(start.wait().unwrap().code(), Some(0));
    fixture.call(&["delete", "-f", &fixture.id]).prints("");
    fixture.assert_gone();
}

fn unheard() {
    // A service that ends without a word: the manager hears nothing, `start` ends.
    let fixture = Fixture::script("exit 3");
    let path = fixture.path().join("manager");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_nonblocking(true).unwrap();
    assert_eq!(notified(&fixture, &path).wait().unwrap().code(), Some(0));
    assert!(manager.recv(&mut [0; 10]).is_err());
    fixture.await_status("stopped");
    fixture.verb("delete").prints("");
    fixture.assert_gone();
}

fn listen_fds() {
    let mut fixture = Fixture::script(
        "busybox env | busybox grep LISTEN | busybox sort; cat <&3; ls /proc/self/fd | busybox tr '\\n' ' '",
    );
    fixture.config["process"]["env"].as_array_mut().unwrap().push(json!("LISTEN_FDS=7"));
    fs::write(fixture.path().join("socket"), "socket\n").unwrap();
    let open = format!("exec 3<{}", fixture.path().join("socket").display());
    let ran = in_shell(&fixture, &[], &format!("{open}; LISTEN_PID=$$ LISTEN_FDS=1 exec $H run $ID"));
    ran.prints("LISTEN_FDS=1\nLISTEN_PID=1\nsocket\n0 1 2 3 4 ");
    // Meant for another process, or too few of them.
    fixture.config["process"]["args"] =
        json!(["sh", "-c", "busybox env | busybox grep LISTEN; ls /proc/self/fd | busybox tr '\\n' ' '"]);
    in_shell(&fixture, &[], &format!("{open}; LISTEN_PID=1 LISTEN_FDS=1 exec $H run $ID"))
        .prints("LISTEN_FDS=7\n0 1 2 3 ");
    in_shell(&fixture, &[], "LISTEN_FDS=1000 exec $H run $ID").prints("LISTEN_FDS=7\n0 1 2 3 ");
    in_shell(&fixture, &[], "exec 3<&-; LISTEN_PID=$$ LISTEN_FDS=1 exec $H run $ID")
        .fails_with("--preserve-fds: descriptor 3 is not open");
}

fn resctrl() {
    let mut fixture = Fixture::script("true");
    fixture.config["linux"]["intelRdt"] = json!({ "l3CacheSchema": "L3:0=f" });
    if !Path::new("/sys/fs/resctrl/schemata").exists() {
        fixture.run().fails_with("config.json: /linux/intelRdt: resctrl is not mounted on /sys/fs/resctrl");
    }
    fixture.config["linux"]["intelRdt"] = json!({ "closID": ".." });
    fixture.run().fails_with("config.json: /linux/intelRdt/closID: must be a single name, or /");
    fixture.config["linux"]["intelRdt"] = json!({ "schemata": ["L3:0=f\nMB:0=1"] });
    fixture.run().fails_with("config.json: /linux/intelRdt/schemata: one line each");
    fixture.assert_gone();
}

fn memory_policy() {
    for (policy, seen) in [
        (json!({ "mode": "MPOL_DEFAULT" }), "default"),
        (json!({ "mode": "MPOL_LOCAL" }), "local"),
        (json!({ "mode": "MPOL_BIND", "nodes": "0" }), "bind:0"),
        (json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"] }), "bind=static:0"),
        (
            json!({ "mode": "MPOL_PREFERRED", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"] }),
            "prefer=relative:0",
        ),
        (json!({ "mode": "MPOL_INTERLEAVE", "nodes": "0-0" }), "interleave:0"),
    ] {
        let mut fixture = Fixture::new();
        // No shell, which would be read while it becomes sleep.
        fixture.config["process"]["args"] = json!(["sleep", "100"]);
        fixture.config["linux"]["memoryPolicy"] = policy;
        let pid = fixture.create();
        fixture.verb("start").prints("");
        let of = |pid: &str| {
            let text = fs::read_to_string(format!("/proc/{pid}/numa_maps")).unwrap();
            text.lines().find(|line| line.contains(" stack")).unwrap().split(' ').nth(1).unwrap().to_owned()
        };
        assert_eq!(of(&pid.to_string()), seen);
        // Every process of the container has it.
        let file = fixture.path().join("pid");
        fixture
            .call(&["exec", "-d", "--pid-file", file.to_str().unwrap(), &fixture.id, "sleep", "50"])
            .prints("");
        assert_eq!(of(&fs::read_to_string(&file).unwrap()), seen);
    }
    for (policy, message) in [
        (json!({ "mode": "MPOL_X" }), "mode: unknown mode \"MPOL_X\""),
        (json!({ "mode": "MPOL_BIND", "nodes": "x" }), "nodes: \"x\" is no list of nodes"),
        (json!({ "mode": "MPOL_BIND", "nodes": "64" }), "nodes: node 64 exceeds 63"),
        (json!({ "mode": "MPOL_LOCAL", "nodes": "0" }), "nodes: MPOL_LOCAL takes none"),
        (json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["x"] }), "flags/0: unknown flag \"x\""),
    ] {
        let mut fixture = Fixture::script("true");
        fixture.config["linux"]["memoryPolicy"] = policy;
        fixture.run().fails_with(&format!("config.json: /linux/memoryPolicy/{message}"));
    }
    let mut fixture = Fixture::script("true");
    fixture.config["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_BIND", "nodes": "63" });
    fixture.run().fails_with("init: process: set_mempolicy: invalid argument");
    fixture.assert_gone();
}
