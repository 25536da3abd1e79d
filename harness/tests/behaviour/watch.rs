//! What others see of a container while it runs: `ps`, `events`, a service manager, a subreaper.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::process::{Child, Command, Stdio};

use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::options::running;
use crate::support::lab::in_shell;
use crate::support::{Fixture, Needs, accept, config, outcome, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("ps::json", Needs::Root, ps_json),
        trial("ps::table", Needs::Ps, ps_table),
        trial("events::interval", Needs::Root, interval),
        trial("events::interval_mistakes", Needs::Root, interval_mistakes),
        trial("events::out_of_memory", Needs::Cgroup1, out_of_memory),
        trial("run::no_subreaper", Needs::Root, no_subreaper),
        trial("run::pidfd_socket", Needs::Root, pidfd_socket),
        trial("service::notify_socket_abstract", Needs::Root, notify_abstract),
        trial("service::notify_socket_of_run", Needs::Root, notify_run),
        trial("service::notify_socket_in_pieces", Needs::Root, notify_pieces),
        trial("network::joined_by_path", Needs::Ip, joined),
        trial("network::device_into_joined", Needs::Ip, device_into_joined),
    ]
}

fn ps_json() {
    let fixture = Fixture::script("sleep 100");
    let pid = fixture.create();
    let id = fixture.id.as_str();
    let ps = |options: &[&str]| fixture.call(&[&["ps"], options, &[id]].concat());
    // Before the start it is init that waits.
    ps(&["--format", "json"]).prints(&format!("[{pid}]\n"));
    fixture.verb("start").prints("");
    ps(&["-f", "json"]).prints(&format!("[{pid}]\n"));
    let file = fixture.path().join("pid");
    fixture.call(&["exec", "-d", "--pid-file", file.to_str().unwrap(), id, "sleep", "50"]).prints("");
    let second = fs::read_to_string(&file).unwrap();
    ps(&["--format", "json"]).prints(&format!("[{pid},{second}]\n"));
    // Engines give options of ps(1), which JSON has no use for.
    fixture.call(&["ps", "--format", "json", id, "-ef"]).prints(&format!("[{pid},{second}]\n"));
    fixture.call(&["pause", id]).prints("");
    ps(&["--format", "json"]).prints(&format!("[{pid},{second}]\n"));
    ps(&["--format", "yaml"]).fails_with("ps: --format: \"yaml\" is neither table nor json");
    fixture.call(&["resume", id]).prints("");
    fixture.call(&["kill", id, "KILL"]).prints("");
    fixture.await_status("stopped");
    ps(&["--format", "json"]).prints("[]\n");
}

fn ps_table() {
    let fixture = running(|_| ());
    let (id, pid) = (fixture.id.as_str(), fixture.state()["pid"].clone());
    let words = |options: &[&str]| {
        let ran = fixture.call(&[&["ps", id], options].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{options:?}");
        let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        ran.stdout.lines().map(line).collect::<Vec<_>>()
    };
    assert_eq!(words(&["-eo", "pid,args"]), ["PID COMMAND", &format!("{pid} sleep 100")]);
    assert_eq!(words(&["--format", "comm,pid", "-e"]), ["COMMAND PID", &format!("sleep {pid}")]);
    let default = words(&[]);
    assert_eq!(default[0], "UID PID PPID C STIME TTY TIME CMD");
    assert_eq!((default.len(), default[1].split(' ').nth(1).unwrap()), (2, pid.to_string().as_str()));
    fixture.call(&["ps", id, "-o", "args"]).fails_with("ps prints no column PID");
    let wrong = fixture.call(&["ps", id, "--nosuch"]);
    assert_eq!((wrong.code, wrong.stderr.starts_with("error: ps: ")), (Some(1), true), "{wrong:?}");
}

/// `events` with its lines.
fn watch(fixture: &Fixture, options: &[&str]) -> (Child, impl Iterator<Item = Value>) {
    let mut command = fixture.harness();
    command.arg("events").args(options).arg(&fixture.id).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()))
}

fn interval() {
    let fixture = running(|_| ());
    let (mut child, mut events) = watch(&fixture, &["--interval", "20ms"]);
    for event in events.by_ref().take(4) {
        assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!(fixture.id)));
        assert_eq!(event["data"]["pids"]["current"], 1, "{event}");
    }
    fixture.call(&["kill", &fixture.id, "KILL"]).prints("");
    let last: Vec<Value> = events.skip_while(|event| event["type"] == "stats").collect();
    assert_eq!(last, [json!({ "type": "exit", "id": fixture.id, "data": {} })]);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    fixture.verb("events").fails_with(&format!("container {:?} is not running", fixture.id));
}

fn interval_mistakes() {
    let fixture = running(|_| ());
    for text in ["0s", "5", "x", "-1s", ""] {
        let ran = fixture.call(&["events", "--interval", text, &fixture.id]);
        let line = format!("error: events: --interval: {text:?} is no duration (5s, 500ms)\n");
        assert_eq!((ran.code, ran.stderr), (Some(1), line));
    }
    // Nothing to repeat.
    let once = fixture.call(&["events", "--stats", "--interval", "1h", &fixture.id]);
    assert_eq!((once.code, once.stdout.lines().count()), (Some(0), 1), "{once:?}");
}

/// Also where it is the first process that is killed, and in the last interval.
fn out_of_memory() {
    let mut fixture =
        Fixture::script("until [ -e /dev/shm/go ]; do sleep 0.02; done; exec busybox tail /dev/zero");
    fixture.config["linux"]["resources"]["memory"] = json!({ "limit": 8_388_608, "swap": 8_388_608 });
    let pid = fixture.create();
    fixture.verb("start").prints("");
    let (mut child, events) = watch(&fixture, &["--interval", "1h"]);
    let mut events = events.map(|event| event["type"].as_str().unwrap().to_owned());
    assert_eq!(events.next().unwrap(), "stats");
    File::create(format!("/proc/{pid}/root/dev/shm/go")).unwrap();
    assert_eq!(events.collect::<Vec<_>>(), ["oom", "exit"]);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// What a container without a pid namespace leaves behind goes to whoever the caller's subreaper is:
/// `run` is none, and leaves nothing running.
fn no_subreaper() {
    for flags in ["--no-subreaper", ""] {
        let mut fixture = Fixture::script(
            "(sleep 100 & echo $! >/dev/shm/pid); read pid </dev/shm/pid; busybox awk '/^PPid/ {print $2}' \
             /proc/$pid/status /proc/$$/status",
        );
        config::share(&mut fixture.config, "pid");
        let ran = in_shell(&fixture, &[], &format!("$H run {flags} $ID & echo $!; wait $!"));
        let lines: Vec<&str> = ran.stdout.lines().collect();
        assert_eq!((ran.code, lines.len()), (Some(0), 3), "{ran:?}");
        assert_eq!(lines[0], lines[2], "the harness is the parent of the first: {ran:?}");
        assert_ne!(lines[0], lines[1], "the harness adopts: {ran:?}");
        fixture.assert_gone();
    }
}

fn pidfd_socket() {
    let fixture = Fixture::script("sleep 100");
    fixture.write();
    let socket = fixture.path().join("pidfd");
    let name = socket.to_str().unwrap();
    let run = |name: &str| fixture.call(&["run", "-d", "--pidfd-socket", name, &fixture.id]);
    run(name).fails_with(&format!("--pidfd-socket: {name}: no such file or directory"));
    fs::write(&socket, "").unwrap();
    run(name).fails_with(&format!("--pidfd-socket: {name} is not a socket"));
    fixture.assert_gone();
    fs::remove_file(&socket).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    run(name).prints("");
    let (file, word) = accept(&listener);
    assert_eq!(word, b"pidfd");
    // It is a handle of the container's process, which is alive.
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", std::os::fd::AsRawFd::as_raw_fd(&file)));
    assert!(text.unwrap().contains(&format!("\nPid:\t{}\n", fixture.state()["pid"])));
    let signal = rustix::process::Signal::KILL;
    rustix::process::pidfd_send_signal(&file, signal).unwrap();
    fixture.await_status("stopped");
}

/// A datagram from a service, as sd_notify(3) sends it.
fn service(said: &str) -> Fixture {
    // busybox's logger speaks to /dev/log alone.
    Fixture::script(&format!(
        "busybox ln -s $NOTIFY_SOCKET /dev/log; {said}; until [ -e /dev/shm/go ]; do sleep 0.02; done"
    ))
}

const READY: &str = "busybox logger \"$(echo X=1; echo READY=1)\"";

fn received(manager: &UnixDatagram) -> String {
    let mut buffer = [0; 100];
    loop {
        match manager.recv(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            count => return String::from_utf8_lossy(&buffer[..count.unwrap()]).into_owned(),
        }
    }
}

fn notify_abstract() {
    let fixture = service(READY);
    fixture.write();
    let name = format!("harness-{}", fixture.id);
    let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    manager.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    for verb in ["create", "start"] {
        outcome(fixture.harness().args([verb, &fixture.id]).env("NOTIFY_SOCKET", format!("@{name}")))
            .prints("");
    }
    assert_eq!(received(&manager), format!("MAINPID={}\nREADY=1\n", fixture.state()["pid"]));
}

/// `run` stays in the foreground, and passes the word on all the same.
fn notify_run() {
    let fixture = service(READY);
    fixture.write();
    let path = fixture.path().join("manager");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let mut command: Command = fixture.harness();
    let mut run = command.args(["run", &fixture.id]).env("NOTIFY_SOCKET", &path).spawn().unwrap();
    let said = received(&manager);
    let pid = fixture.state()["pid"].clone();
    assert_eq!(said, format!("MAINPID={pid}\nREADY=1\n"));
    File::create(format!("/proc/{pid}/root/dev/shm/go")).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(0));
    fixture.assert_gone();
}

/// Only a whole line counts, and only it is passed on: a container cannot name another main process.
fn notify_pieces() {
    let said = "for line in READY=0 XREADY=1 READY=10 MAINPID=1 STOPPING=1 'READY=1 '; do \
        busybox logger \"$(echo; echo \"$line\"; echo)\"; done; exit 0";
    let fixture = service(said);
    fixture.write();
    let path = fixture.path().join("manager");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_nonblocking(true).unwrap();
    for verb in ["create", "start"] {
        outcome(fixture.harness().args([verb, &fixture.id]).env("NOTIFY_SOCKET", &path)).prints("");
    }
    fixture.await_status("stopped");
    assert!(manager.recv(&mut [0; 100]).is_err());
    fixture.verb("delete").prints("");
    fixture.assert_gone();
}

/// Makes a network namespace that has a file, with a pair of devices, and runs the harness.
fn with_namespace(fixture: &Fixture, then: &str) -> crate::support::Outcome {
    let script = format!(
        "mount --make-rprivate /; touch ns; unshare --net=ns sh -c 'ip link add a0 type veth peer name b0 && \
         ip addr add 10.7.0.9/24 dev a0 && ip link set a0 up'; ip link add host0 type veth peer name peer0; \
         ip addr add 10.8.0.9/24 dev host0; {then}; nsenter --net=ns ip -o link show | cut -d' ' -f2,3"
    );
    in_shell(fixture, &["-m", "-n"], &script)
}

fn joining(fixture: &mut Fixture) {
    let file = fixture.bundle().join("ns");
    config::join(&mut fixture.config, "network", file);
}

const DEVICES: &str = "for d in /sys/class/net/*; do echo ${d##*/} $(cat $d/flags); done; \
    busybox ip -o -4 addr | busybox awk '{print $2, $4}'";

/// A namespace that others have made is as they have made it: its loopback device stays down.
fn joined() {
    let mut fixture = Fixture::script(DEVICES);
    joining(&mut fixture);
    let inside = "a0 0x1003\nb0 0x1002\nlo 0x8\na0 10.7.0.9/24\n";
    let after =
        "lo: <LOOPBACK>\nb0@a0: <BROADCAST,MULTICAST>\na0@b0: <NO-CARRIER,BROADCAST,MULTICAST,UP,M-DOWN>\n";
    with_namespace(&fixture, "$H run $ID").prints(&format!("{inside}{after}"));
    // The annotation is for new ones.
    fixture.config["annotations"] = json!({ "harness.network": "{}" });
    let ran = with_namespace(&fixture, "$H run $ID");
    let line = "error: config.json: /annotations/harness.network: needs a new network namespace\n";
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), (after, line));
    fixture.assert_gone();
}

fn device_into_joined() {
    let mut fixture = Fixture::script(DEVICES);
    joining(&mut fixture);
    fixture.config["linux"]["netDevices"] = json!({ "host0": { "name": "c0" } });
    let ran = with_namespace(&fixture, "$H run $ID; ip -o link show host0");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(
        lines[..6],
        ["a0 0x1003", "b0 0x1002", "c0 0x1003", "lo 0x8", "a0 10.7.0.9/24", "c0 10.8.0.9/24"],
        "{ran:?}"
    );
    // It stays where it was put, with the namespace.
    assert_eq!((lines.len(), lines[9].starts_with("c0")), (10, true), "{ran:?}");
    assert_eq!(ran.stderr, "Device \"host0\" does not exist.\n");
    fixture.assert_gone();
}
