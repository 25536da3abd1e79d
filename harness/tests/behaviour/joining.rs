//! Where `exec` puts its process, and who is told.

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use libtest_mimic::Trial;

use super::options::{exec, running};
use crate::support::lab::in_cgroup2;
use crate::support::{Fixture, Needs, accept, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("exec::pidfd_socket", Needs::Root, pidfd_socket),
        trial("exec::cgroup_on_v1", Needs::Cgroup1, cgroup_1),
        trial("exec::cgroup_on_v2", Needs::Cgroup2, cgroup_2),
        trial("exec::ignore_paused", Needs::Root, ignore_paused),
        trial("exec::keyring", Needs::Root, keyring),
    ]
}

/// The pid that a pidfd is of.
fn pid_of(file: &fs::File) -> i32 {
    let path = format!("/proc/self/fdinfo/{}", std::os::fd::AsRawFd::as_raw_fd(file));
    let text = fs::read_to_string(path).unwrap();
    text.lines().find_map(|line| line.strip_prefix("Pid:")).unwrap().trim().parse().unwrap()
}

fn pidfd_socket() {
    let fixture = Fixture::script("sleep 100");
    fixture.write();
    let socket = fixture.path().join("pidfd");
    let name = socket.to_str().unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    fixture.call(&["create", "--pidfd-socket", name, &fixture.id]).prints("");
    let (file, word) = accept(&listener);
    assert_eq!(
        (pid_of(&file), word.as_slice()),
        (fixture.state()["pid"].as_i64().unwrap() as i32, &b"pidfd"[..])
    );
    fixture.verb("start").prints("");
    let pid_file = fixture.path().join("pid");
    fixture
        .call(&[
            "exec",
            "-d",
            "--pidfd-socket",
            name,
            "--pid-file",
            pid_file.to_str().unwrap(),
            &fixture.id,
            "sleep",
            "50",
        ])
        .prints("");
    let (file, word) = accept(&listener);
    assert_eq!(fs::read_to_string(&pid_file).unwrap(), pid_of(&file).to_string());
    assert_eq!(word, b"pidfd");
    drop(listener);
    fixture
        .call(&["exec", "--pidfd-socket", name, &fixture.id, "true"])
        .fails_with(&format!("--pidfd-socket: {name}: nobody listens"));
}

fn cgroup_1() {
    let fixture = running(|_| ());
    for directory in fixture.cgroups() {
        fs::create_dir(directory.join("sub")).unwrap();
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(text) = fs::read(directory.join(file)) {
                fs::write(directory.join("sub").join(file), text).unwrap();
            }
        }
    }
    let pid_file = fixture.path().join("pid");
    let name = pid_file.to_str().unwrap();
    fixture
        .call(&["exec", "-d", "--cgroup", "/sub", "--pid-file", name, &fixture.id, "sleep", "50"])
        .prints("");
    let pid = fs::read_to_string(&pid_file).unwrap();
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let own: Vec<&str> = text.lines().filter(|line| line.contains(&fixture.id)).collect();
    assert_eq!(own.len(), fixture.cgroups().len(), "{text}");
    assert!(own.iter().all(|line| line.ends_with(&format!("/{}/sub", fixture.id))), "{text}");
    // It is one of the container's processes.
    let members: Vec<i32> =
        serde_json::from_str(&fixture.call(&["ps", "--format", "json", &fixture.id]).stdout).unwrap();
    assert!(members.contains(&pid.parse().unwrap()), "{members:?}");
    let missing = exec(&fixture, &["--cgroup", "none"], "true");
    let first = fixture.cgroups().iter().map(|path| path.display().to_string()).min().unwrap();
    missing.fails_with(&format!("open {first}/none/tasks: no such file or directory"));
    fixture.call(&["delete", "-f", &fixture.id]).prints("");
    fixture.assert_gone();
}

fn cgroup_2() {
    let fixture = Fixture::script("sleep 100");
    let script = "$H create $ID && $H start $ID && mkdir /sys/fs/cgroup/$ID/sub && \
        $H exec --cgroup sub $ID cat /proc/self/cgroup | grep ^0 && $H exec $ID cat /proc/self/cgroup | grep ^0; \
        $H exec --cgroup none $ID true; $H delete -f $ID; ls /sys/fs/cgroup/$ID";
    let ran = in_cgroup2(&fixture, script);
    assert_eq!(ran.stdout, "0::/sub\n0::/\n", "{ran:?}");
    let id = &fixture.id;
    assert_eq!(
        ran.stderr,
        format!(
            "error: open /sys/fs/cgroup/{id}/none: no such file or directory\nls: cannot access '/sys/fs/cgroup/{id}': No such file or directory\n"
        )
    );
}

fn ignore_paused() {
    let fixture = running(|_| ());
    let id = fixture.id.as_str();
    fixture.call(&["pause", id]).prints("");
    let before = fixture.call(&["ps", "--format", "json", id]).stdout;
    let child = fixture
        .harness()
        .args(["exec", "--ignore-paused", id, "sh", "-c", "echo ran"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It joins, and waits with the others.
    let start = std::time::Instant::now();
    while fixture.call(&["ps", "--format", "json", id]).stdout == before {
        assert!(start.elapsed().as_secs() < 10);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(fixture.status(), "paused");
    fixture.call(&["resume", id]).prints("");
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), output.stdout.as_slice(), output.stderr.as_slice()),
        (Some(0), &b"ran\n"[..], &b""[..])
    );
}

fn keyring() {
    // Without a keyring of its own the container keeps the caller's, and so does what joins it.
    let sees = |create: &[&str]| {
        let fixture = Fixture::script("sleep 100");
        fixture.write();
        fixture.call(&[&["create"], create, &[fixture.id.as_str()]].concat()).prints("");
        let named = |text: &str| text.contains(&format!("_ses.{}:", fixture.id));
        named(&fs::read_to_string("/proc/keys").unwrap())
    };
    assert!(sees(&[]));
    assert!(!sees(&["--no-new-keyring"]));
}
