//! create, start, state, kill, delete, list, run.

use std::fs;

use libtest_mimic::Trial;
use serde_json::json;

use crate::support::lab::in_shell;
use crate::support::{Fixture, Needs, config, proc_status, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("lifecycle::whole", Needs::Root, whole),
        trial("lifecycle::refusals", Needs::Root, refusals),
        trial("lifecycle::run_exit_status", Needs::Root, run_exit_status),
        trial("lifecycle::run_detached_and_kept", Needs::Root, run_detached),
        trial("lifecycle::run_forwards_signals", Needs::Root, run_forwards),
        trial("lifecycle::without_process", Needs::Root, without_process),
        trial("lifecycle::one_of_fifty_wins", Needs::Root, fifty),
        trial("lifecycle::pid_file", Needs::Root, pid_file),
        trial("lifecycle::damaged_state", Needs::Root, damaged_state),
        trial("lifecycle::another_of_that_number", Needs::Root, another),
        trial("lifecycle::list", Needs::Root, list),
        trial("lifecycle::gate", Needs::Root, gate),
        trial("lifecycle::real_time_signals", Needs::Root, real_time),
        trial("lifecycle::closed_streams", Needs::Root, closed_streams),
    ]
}

fn whole() {
    let mut fixture = Fixture::script("trap 'exit 3' TERM; touch /ready; while :; do sleep 0.05; done");
    fixture.config["root"]["readonly"] = json!(false);
    fixture.config["annotations"] = json!({ "org.example": "x" });
    let pid = fixture.create();
    let bundle = fixture.bundle().display().to_string();
    fixture.verb("state").prints(&format!(
        "{{\n  \"ociVersion\": \"1.3.0\",\n  \"id\": \"{}\",\n  \"status\": \"created\",\n  \"pid\": {pid},\n  \"bundle\": \"{bundle}\",\n  \"annotations\": {{\n    \"org.example\": \"x\"\n  }}\n}}\n",
        fixture.id
    ));
    assert_eq!(proc_status(pid, "Name"), "memfd:init");
    fixture.verb("start").prints("");
    assert_eq!(fixture.status(), "running");
    assert_ne!(fixture.cgroups(), Vec::<std::path::PathBuf>::new());
    // As the first process of its namespace it ignores what it has no handler for.
    fixture.await_file("ready");
    fixture.call(&["kill", &fixture.id, "SIGTERM"]).prints("");
    fixture.await_status("stopped");
    assert!(fixture.state().get("pid").is_none());
    fixture.verb("delete").prints("");
    fixture.assert_gone();
    fixture.verb("state").fails_with(&format!("container does not exist: {:?}", fixture.id));
}

fn refusals() {
    let fixture = Fixture::script("sleep 100");
    fixture.create();
    let id = &fixture.id;
    fixture.verb("create").fails_with(&format!("container {id:?} already exists"));
    fixture
        .verb("delete")
        .fails_with(&format!("cannot delete container {id:?}: it is created; stop it first or use --force"));
    fixture.verb("start").prints("");
    fixture.verb("start").fails_with(&format!("cannot start container {id:?}: it is already running"));
    fixture
        .verb("delete")
        .fails_with(&format!("cannot delete container {id:?}: it is running; stop it first or use --force"));
    fixture.call(&["kill", id, "0"]).prints("");
    fixture.call(&["kill", "--all", id, "9"]).prints("");
    fixture.await_status("stopped");
    fixture.verb("kill").fails_with(&format!("container not running: {id:?}"));
    fixture.verb("start").fails_with(&format!("cannot start container {id:?}: it has stopped"));
    fixture.verb("delete").prints("");
    fixture.verb("delete").fails_with(&format!("container does not exist: {id:?}"));
    fixture.assert_gone();

    let fixture = Fixture::script("true");
    fixture.create();
    fixture.call(&["kill", &fixture.id, "KILL"]).prints("");
    fixture.await_status("stopped");
    fixture.verb("start").fails_with(&format!(
        "cannot start container {:?}: it has stopped, in phase gate of init",
        fixture.id
    ));
}

fn run_exit_status() {
    for (script, code) in [("exit 0", 0), ("exit 42", 42), ("kill -9 $$", 137), ("kill -TERM $$", 143)] {
        let mut fixture = Fixture::script(script);
        // The first process of a pid namespace ignores signals from inside.
        config::share(&mut fixture.config, "pid");
        let ran = fixture.run();
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(code), ""), "{script}");
        fixture.assert_gone();
    }
}

fn run_detached() {
    let fixture = Fixture::script("sleep 100");
    fixture.write();
    let pid = fixture.path().join("pid");
    fixture.call(&["run", "-d", "--pid-file", pid.to_str().unwrap(), &fixture.id]).prints("");
    assert_eq!(fixture.status(), "running");
    assert_eq!(fs::read_to_string(&pid).unwrap(), fixture.state()["pid"].to_string());
    fixture.call(&["delete", "--force", &fixture.id]).prints("");
    fixture.assert_gone();
    let fixture = Fixture::script("exit 5");
    fixture.write();
    assert_eq!(fixture.call(&["run", &fixture.id, "--keep"]).code, Some(5));
    assert_eq!(fixture.status(), "stopped");
    fixture.verb("delete").prints("");
    fixture.assert_gone();
}

fn run_forwards() {
    let fixture = Fixture::script("trap 'echo got; exit 7' USR1; echo ready; while :; do sleep 0.05; done");
    fixture.write();
    let mut child = std::process::Command::new(crate::support::binary())
        .arg("--root")
        .arg(fixture.root())
        .args(["run", &fixture.id])
        .current_dir(fixture.bundle())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    assert!(
        std::process::Command::new("kill")
            .args(["-USR1", &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(lines.next().unwrap().unwrap(), "got");
    assert_eq!(child.wait().unwrap().code(), Some(7));
    fixture.assert_gone();
}

fn without_process() {
    let mut fixture = Fixture::new();
    fixture.config.as_object_mut().unwrap().remove("process");
    fixture.write();
    fixture.verb("create").prints("");
    fixture.verb("start").fails_with(&format!("container {:?} has no process to start", fixture.id));
    fixture.verb("delete").prints("");
    fixture.assert_gone();
}

fn fifty() {
    let fixture = Fixture::script("sleep 100");
    fixture.write();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..50).map(|_| scope.spawn(|| fixture.verb("create"))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let won = outcomes.iter().filter(|outcome| outcome.code == Some(0)).count();
    assert_eq!(won, 1);
    for lost in outcomes.iter().filter(|outcome| outcome.code != Some(0)) {
        lost.fails_with(&format!("container {:?} already exists", fixture.id));
    }
    assert_eq!(fixture.status(), "created");
    let starts: Vec<_> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..20).map(|_| scope.spawn(|| fixture.verb("start").code)).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert_eq!(starts.iter().filter(|code| **code == Some(0)).count(), 1);
    assert_eq!(fixture.status(), "running");
}

fn pid_file() {
    let fixture = Fixture::script("sleep 100");
    fixture.write();
    let failed = fixture.call(&["create", "--pid-file", "/nowhere/pid", &fixture.id]);
    // The temporary name holds the pid.
    let line = failed.stderr.replace(|letter: char| letter.is_ascii_digit(), "");
    assert_eq!(
        (failed.code, line.as_str()),
        (Some(1), "error: create /nowhere/pid.: no such file or directory\n")
    );
    fixture.assert_gone();
    // A link is replaced, not followed.
    let (link, victim) = (fixture.path().join("link"), fixture.path().join("victim"));
    fs::write(&victim, "untouched").unwrap();
    std::os::unix::fs::symlink(&victim, &link).unwrap();
    fixture.call(&["create", "--pid-file", link.to_str().unwrap(), &fixture.id]).prints("");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    assert_eq!(fs::read_to_string(&link).unwrap(), fixture.state()["pid"].to_string());
}

fn damaged_state() {
    let fixture = Fixture::script("sleep 100");
    fixture.create();
    let file = fixture.root().join(&fixture.id).join("state.json");
    let whole = fs::read_to_string(&file).unwrap();
    for (text, reason) in [
        (&whole[..40], "damaged: EOF while parsing an object at line 1 column 40"),
        (&whole.replace("\"pid\":", "\"pid\":1,\"x\":"), "damaged: pid 1"),
    ] {
        fs::write(&file, text).unwrap();
        for verb in ["state", "start", "kill", "delete"] {
            let failed = fixture.verb(verb);
            assert_eq!(failed.code, Some(1));
            assert!(failed.stderr.contains("state.json: damaged: "), "{verb}: {}", failed.stderr);
            assert!(failed.stderr.contains(reason) || text.len() == 40, "{verb}: {}", failed.stderr);
        }
    }
    fs::write(&file, &whole).unwrap();
    assert_eq!(fixture.status(), "created");
    fixture.call(&["delete", "-f", &fixture.id]).prints("");
    fixture.assert_gone();
}

/// A process that has the container's number and is another one is neither taken for it nor killed: on a
/// disk, where state may outlive the boot, its start time tells, on a tmpfs its inode, since Linux 6.9.
fn another() {
    let fixture = Fixture::script("sleep 100");
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let numbers: Vec<u32> = release.split(['.', '-']).map_while(|part| part.parse().ok()).collect();
    let pidfs = numbers >= vec![6, 9];
    for (mount, kind) in
        [("", "time"), ("mount -t tmpfs -o mode=700 t $R;", if pidfs { "inode" } else { "time" })]
    {
        let script = format!(
            "R={root}; mkdir -p -m 700 $R; {mount} S=$R/$ID/state.json; status() {{ $H state $ID | grep -o '\"status\":.*\",'; }}; \
             $H create $ID && $H start $ID && status; grep -o '\"birth\":{{\"[a-z]*\"' $S; cp $S $R/.kept; \
             sed -i 's/\\(\"birth\":{{\"[a-z]*\":\\)/\\11/' $S; status; $H kill $ID; \
             cp $R/.kept $S; rm $R/.kept; status; $H delete -f $ID; $H cleanup; ls -A $R",
            root = fixture.root().display()
        );
        let ran = in_shell(&fixture, &["-m"], &script);
        let running = "\"status\": \"running\",\n";
        let expected = format!("{running}\"birth\":{{\"{kind}\"\n\"status\": \"stopped\",\n{running}");
        let refused = format!("error: container not running: {:?}\n", fixture.id);
        assert_eq!((ran.stdout, ran.stderr), (expected, refused), "{kind}");
    }
}

fn list() {
    let fixture = Fixture::script("sleep 100");
    let pid = fixture.create();
    fixture.call(&["list", "-q"]).prints(&format!("{}\n", fixture.id));
    let rows: serde_json::Value =
        serde_json::from_str(&fixture.call(&["list", "--format=json"]).stdout).unwrap();
    assert_eq!(
        (&rows[0]["id"], &rows[0]["pid"], &rows[0]["status"]),
        (&json!(fixture.id), &json!(pid), &json!("created"))
    );
    assert_eq!(rows[0]["owner"], "0");
    let table = fixture.call(&["list"]).stdout;
    let header: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
}

fn gate() {
    // The fifo replaced by something else is not opened.
    let fixture = Fixture::script("sleep 100");
    fixture.create();
    let fifo = fixture.root().join(&fixture.id).join("exec.fifo");
    fs::remove_file(&fifo).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &fifo).unwrap();
    assert_eq!(fixture.verb("start").code, Some(1));
    fs::remove_file(&fifo).unwrap();
    fs::write(&fifo, "0").unwrap();
    fixture.verb("start").fails_with(&format!("{}: not the fifo that create made", fifo.display()));
}

fn real_time() {
    let fixture = Fixture::script("trap 'exit 9' RTMIN+3; while :; do sleep 0.05; done");
    fixture.write();
    fixture.create();
    fixture.verb("start").prints("");
    std::thread::sleep(std::time::Duration::from_millis(100));
    fixture.call(&["kill", &fixture.id, "SIGRTMIN+3"]).prints("");
    // Whatever the shell makes of it, the signal is a real one.
    fixture.call(&["kill", &fixture.id, "64"]).prints("");
    fixture.call(&["delete", "-f", &fixture.id]).prints("");
}

fn closed_streams() {
    let fixture = Fixture::script(
        "busybox readlink /proc/self/fd/0; busybox readlink /proc/self/fd/2; ls /proc/self/fd | busybox wc -l",
    );
    fixture.write();
    let output = fixture.path().join("output");
    let script = format!(
        "exec {} --root {} run {} <&- >{} 2>&-",
        crate::support::binary().display(),
        fixture.root().display(),
        fixture.id,
        output.display()
    );
    let ran = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(fixture.bundle())
        .status()
        .unwrap();
    assert_eq!(ran.code(), Some(0));
    // 0, 1, 2, and the directory that ls reads.
    assert_eq!(fs::read_to_string(output).unwrap(), "/dev/null\n/dev/null\n4\n");
}
