//! What the options of `exec` do, each seen in the process that it starts.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixListener;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::lab::in_shell;
use crate::support::{Fixture, Needs, Outcome, accept, proc_status, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("exec::options", Needs::Root, options),
        trial("exec::capability_without_no_new_privs", Needs::Root, capability),
        trial("exec::process_file", Needs::Root, process_file),
        trial("exec::affinity", Needs::Root, affinity),
        trial("exec::preserved_descriptors", Needs::Root, preserve),
        trial("exec::terminal", Needs::Root, terminal),
    ]
}

/// A container that waits, changed before it is made.
pub fn running(change: impl FnOnce(&mut Value)) -> Fixture {
    let mut fixture = Fixture::script("sleep 100");
    change(&mut fixture.config);
    fixture.create();
    fixture.verb("start").prints("");
    fixture
}

pub fn exec(fixture: &Fixture, options: &[&str], script: &str) -> Outcome {
    let tail = [fixture.id.as_str(), "sh", "-c", script];
    fixture.call(&[&["exec"], options, &tail].concat())
}

/// The capability sets and no_new_privs of a process, as it sees them.
const PRIVILEGES: &str = "busybox grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs)' /proc/self/status";

fn options() {
    let fixture = running(|config| {
        config["process"]["noNewPrivileges"] = json!(false);
        config["process"]["user"] = json!({ "uid": 0, "gid": 0, "additionalGids": [3], "umask": 0o077 });
    });
    let options =
        ["-u", "5:6", "-g", "8", "-g", "7", "-e", "A=1", "-e", "B=x y", "-e", "A=3", "--cwd", "/bin"];
    exec(&fixture, &options, "id; umask; echo \"$A|$B|$TERM\"; busybox pwd")
        .prints("uid=5 gid=6 groups=3,7,8\n0077\n3|x y|xterm\n/bin\n");
    // The group stays where only the user is given.
    exec(&fixture, &["-u", "9"], "id").prints("uid=9 gid=0 groups=3\n");
    exec(&fixture, &["--no-new-privs"], "busybox grep NoNewPrivs /proc/self/status")
        .prints("NoNewPrivs:\t1\n");
    exec(&fixture, &[], "busybox grep NoNewPrivs /proc/self/status").prints("NoNewPrivs:\t0\n");
    for (options, message) in [
        (["-g", "x"], "exec: --additional-gids: a number is needed"),
        (["-u", "4294967295"], "exec: --user: \"4294967295\" is no id (UID or UID:GID)"),
        (["-u", "1:"], "exec: --user: \"\" is no id (UID or UID:GID)"),
        (["-u", "-1"], "exec: --user: \"-1\" is no id (UID or UID:GID)"),
        (["-e", "NOVALUE"], "config.json: /process/env/2: \"NOVALUE\" has no '='"),
        (["--cwd", "bin"], "config.json: /process/cwd: \"bin\" must be absolute"),
        (["--cwd", "/nowhere"], "init: finalize: chdir /nowhere: no such file or directory"),
    ] {
        exec(&fixture, &options, "true").fails_with(message);
    }
}

fn capability() {
    let fixture = running(|_| ());
    let plain = "CapInh:\t0000000000000000\nCapPrm:\t0000000020000420\nCapEff:\t0000000020000420\nCapBnd:\t0000000020000420\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n";
    exec(&fixture, &[], PRIVILEGES).prints(plain);
    // Never inheritable or ambient: those outlive a change of the user (CVE-2022-29162).
    exec(&fixture, &["--cap", "CAP_NET_RAW", "--cap", "CAP_CHOWN"], PRIVILEGES)
        .prints(&plain.replace("20000420", "20002421"));
    let warned = exec(&fixture, &["--cap", "CAP_FROB"], "true");
    assert_eq!(
        (warned.code, warned.stderr.as_str()),
        (
            Some(0),
            "warning: config.json: /process/capabilities/bounding/3: unknown capability \"CAP_FROB\" is ignored\n\
             warning: config.json: /process/capabilities/effective/3: unknown capability \"CAP_FROB\" is ignored\n\
             warning: config.json: /process/capabilities/permitted/3: unknown capability \"CAP_FROB\" is ignored\n"
        )
    );
}

/// Executes a process that a file describes.
fn exec_file(fixture: &Fixture, process: &Value) -> Outcome {
    let file = fixture.path().join("process.json");
    fs::write(&file, process.to_string()).unwrap();
    fixture.call(&["exec", "--process", file.to_str().unwrap(), &fixture.id])
}

fn process_file() {
    let fixture = running(|_| ());
    let script = "umask; cat /proc/self/oom_score_adj; busybox grep -E 'Max (open|core)' /proc/self/limits | busybox awk '{print $4, $5, $6}'; cat /proc/self/stat";
    let process = json!({
        "args": ["sh", "-c", script], "env": ["PATH=/bin"], "cwd": "/", "user": { "uid": 0, "gid": 0, "umask": 0o013 },
        "oomScoreAdj": 456, "scheduler": { "policy": "SCHED_BATCH", "nice": 9 },
        "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": 50, "hard": 60 }, { "type": "RLIMIT_CORE", "soft": 1, "hard": 2 }],
    });
    let ran = exec_file(&fixture, &process);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines[..4], ["0013", "456", "size 1 2", "50 60 files"], "{ran:?}");
    let fields: Vec<&str> = lines[4].rsplit(") ").next().unwrap().split(' ').collect();
    assert_eq!((fields[16], fields[38]), ("9", "3"), "nice and policy of {}", lines[4]);
    fixture
        .call(&["exec", "--process", "/nowhere", &fixture.id, "true"])
        .fails_with("exec: --process and a program exclude each other");
    fixture
        .call(&["exec", "--process", "/nowhere", &fixture.id])
        .fails_with("read /nowhere: no such file or directory");
    let file = fixture.path().join("process.json").display().to_string();
    exec_file(&fixture, &json!({ "args": ["true"] })).fails_with("config.json: /process/cwd: missing");
    exec_file(&fixture, &json!({ "args": 7 }))
        .fails_with(&format!("{file}: 1:9: /args: invalid type: integer `7`, expected a sequence"));
}

fn affinity() {
    let fixture = running(|_| ());
    let allowed = proc_status(std::process::id() as i32, "Cpus_allowed_list");
    let last = allowed.rsplit([',', '-']).next().unwrap().to_owned();
    let process = |affinity: Value| {
        json!({ "args": ["busybox", "grep", "Cpus_allowed_list", "/proc/self/status"], "env": ["PATH=/bin"],
            "cwd": "/", "execCPUAffinity": affinity })
    };
    for (affinity, seen) in [
        (json!({ "final": last }), &last),
        (json!({ "initial": last }), &last),
        (json!({ "initial": "0", "final": last }), &last),
        (json!({ "initial": last, "final": "0" }), &"0".to_owned()),
    ] {
        exec_file(&fixture, &process(affinity)).prints(&format!("Cpus_allowed_list:\t{seen}\n"));
    }
    for place in ["initial", "final"] {
        exec_file(&fixture, &process(json!({ place: "1-0" }))).fails_with(&format!(
            "config.json: /process/execCPUAffinity/{place}: \"1-0\" is no list of CPUs"
        ));
        exec_file(&fixture, &process(json!({ place: "8000" })))
            .fails_with(&format!("config.json: /process/execCPUAffinity/{place}: CPU 8000 exceeds 1024"));
    }
}

fn preserve() {
    let fixture = running(|_| ());
    fs::write(fixture.path().join("file"), "handed down\n").unwrap();
    let ran = |options: &str| {
        in_shell(
            &fixture,
            &[],
            &format!(
                "exec 3<{} 4</; $H exec {options} $ID sh -c 'cat <&3; ls /proc/self/fd | busybox tr \"\\n\" \" \"'",
                fixture.path().join("file").display()
            ),
        )
    };
    // The last one is the directory that ls reads.
    ran("--preserve-fds 1").prints("handed down\n0 1 2 3 4 ");
    let none = ran("--preserve-fds 0");
    assert_eq!(none.stdout, "0 1 2 3 ", "{none:?}");
    ran("--preserve-fds 40").fails_with("--preserve-fds: descriptor 5 is not open");
    // Nothing of the harness's own takes the place of what is missing.
    in_shell(&fixture, &[], "exec 3<&-; exec $H exec --preserve-fds 1 $ID true")
        .fails_with("--preserve-fds: descriptor 3 is not open");
    for verb in ["create", "run"] {
        in_shell(&fixture, &[], &format!("exec 3<&-; exec $H {verb} --preserve-fds 1 another"))
            .fails_with("--preserve-fds: descriptor 3 is not open");
    }
    ran("--preserve-fds -1").fails_with("--preserve-fds: \"-1\" is no number of descriptors");
    ran("--preserve-fds 99999999999")
        .fails_with("--preserve-fds: \"99999999999\" is no number of descriptors");
}

fn terminal() {
    let fixture = running(|_| ());
    let script = "busybox tty; cat /proc/self/stat";
    // The harness serves the terminal itself.
    let ran = exec(&fixture, &["-t"], script);
    let lines: Vec<&str> = ran.stdout.split("\r\n").collect();
    assert_eq!((lines[0], ran.code), ("/dev/pts/0", Some(0)), "{ran:?}");
    let own = |stat: &str| {
        let fields: Vec<String> = stat.rsplit(") ").next().unwrap().split(' ').map(str::to_owned).collect();
        fields[4].clone()
    };
    assert_eq!(own(lines[1]), "34816", "{ran:?}");
    // Or the one who listens.
    let socket = fixture.path().join("console");
    let name = socket.to_str().unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    exec(&fixture, &["-t", "-d", "--console-socket", name], script).prints("");
    let (mut master, word) = accept(&listener);
    assert_eq!(word, b"/dev/ptmx");
    let mut text = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = master.read(&mut buffer) {
        text.extend_from_slice(&buffer[..count]);
    }
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("/dev/pts/0\r\n"), "{text}");
    assert_eq!(own(text.lines().nth(1).unwrap()), "34816");
    exec(&fixture, &["--console-socket", name], "true")
        .fails_with("--console-socket: the process has no terminal (-t, or terminal)");
}
