//! Hostile and mistaken inputs around a container: sockets, files, devices, the state directory.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::lab::in_shell;
use crate::support::{Fixture, Needs, accept, outcome, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("hostile::console_socket_with_a_long_path", Needs::Root, long_socket),
        trial("hostile::console_socket_that_nobody_accepts", Needs::Root, silent_socket),
        trial("hostile::special_files_are_bound_not_opened", Needs::Root, special_files),
        trial("hostile::masks_of_links_and_fifos", Needs::Root, masks),
        trial("hostile::device_paths", Needs::Root, device_paths),
        trial("hostile::mount_targets", Needs::Root, mount_targets),
        trial("hostile::many_mounts_and_variables", Needs::Root, many),
        trial("hostile::program_is_a_fifo", Needs::Root, fifo_program),
        trial("hostile::state_directory", Needs::Root, state_directory),
        trial("hostile::recorded_pids", Needs::Root, recorded_pids),
        trial("hostile::pid_file_is_a_fifo", Needs::Root, fifo_pid_file),
        trial("hostile::full_and_closed_outputs", Needs::Root, outputs),
        trial("hostile::null_device_of_the_caller_stays_outside", Needs::Root, own_null),
    ]
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn long_socket() {
    let mut fixture = Fixture::script("busybox tty");
    fixture.config["process"]["terminal"] = json!(true);
    fixture.write();
    let directory = fixture.path().join("d".repeat(120));
    fs::create_dir(&directory).unwrap();
    // Bound by a short name, named by the long one.
    let short = fixture.path().join("short");
    symlink(&directory, &short).unwrap();
    let listener = UnixListener::bind(short.join("console")).unwrap();
    let name = directory.join("console").display().to_string();
    assert!(name.len() > 108);
    fixture.call(&["create", "--console-socket", &name, &fixture.id]).prints("");
    let (mut master, word) = accept(&listener);
    assert_eq!(word, b"/dev/ptmx");
    fixture.verb("start").prints("");
    let mut buffer = [0; 100];
    let count = master.read(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"/dev/pts/0\r\n");
}

fn silent_socket() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
    let mut fixture = Fixture::script("true");
    fixture.config["process"]["terminal"] = json!(true);
    fixture.write();
    let path = fixture.path().join("console");
    let socket = || rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    let listener = socket();
    let address = SocketAddrUnix::new(&path).unwrap();
    rustix::net::bind(&listener, &address).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    // The one place in its queue is taken.
    let first = socket();
    rustix::net::connect(&first, &address).unwrap();
    let name = path.to_str().unwrap();
    fixture
        .call(&["create", "--console-socket", name, &fixture.id])
        .fails_with(&format!("--console-socket: {name}: nobody accepts within 10 s"));
    fixture.assert_gone();
}

fn special_files() {
    // An open would wait for a writer, or reach the device.
    let mut fixture = Fixture::script("stat -c %F /pipe /socket /node /onto");
    let source = |name: &str| fixture.path().join(name);
    fifo(&source("pipe"));
    let _listener = UnixListener::bind(source("socket")).unwrap();
    assert!(Command::new("mknod").arg(source("node")).args(["c", "240", "1"]).status().unwrap().success());
    fs::write(source("file"), "").unwrap();
    fifo(&fixture.rootfs().join("onto"));
    let mut list = vec![
        json!({ "destination": "/onto", "type": "bind", "source": source("file"), "options": ["bind"] }),
    ];
    for name in ["pipe", "socket", "node"] {
        list.push(json!({ "destination": format!("/{name}"), "type": "bind", "source": source(name), "options": ["bind"] }));
    }
    fixture.config["mounts"].as_array_mut().unwrap().extend(list);
    fixture.run().prints("fifo\nsocket\ncharacter special file\nregular empty file\n");
    fixture.assert_gone();
}

fn masks() {
    let mut fixture =
        Fixture::script("cat /real; stat -c %F /pipe; cat /fixed/f; touch /target/x || echo ro");
    fs::write(fixture.rootfs().join("real"), "secret").unwrap();
    symlink("/real", fixture.rootfs().join("link")).unwrap();
    fifo(&fixture.rootfs().join("pipe"));
    for name in ["fixed", "target"] {
        fs::create_dir(fixture.rootfs().join(name)).unwrap();
    }
    fs::write(fixture.rootfs().join("fixed/f"), "f\n").unwrap();
    symlink("/target", fixture.rootfs().join("way")).unwrap();
    fixture.config["root"]["readonly"] = json!(false);
    // What a link leads to inside the image is what is covered.
    fixture.config["linux"]["maskedPaths"] = json!(["/link", "/pipe", "/../../nowhere"]);
    fixture.config["linux"]["readonlyPaths"] = json!(["/way", "/fixed"]);
    let ran = fixture.run();
    assert_eq!(ran.stdout, "character special file\nf\nro\n", "{ran:?}");
    assert_eq!(ran.stderr, "touch: /target/x: Read-only file system\n");
    fixture.assert_gone();
}

fn device_paths() {
    let device = |path: &str, minor: u32| json!({ "type": "c", "path": path, "major": 1, "minor": minor });
    let mut fixture =
        Fixture::script("ls /dev | busybox grep esc; stat -c %t:%T /dev/esc /dev/null /dev/deep/er/zero");
    fixture.config["linux"]["devices"] = json!([
        device("/dev/../../../dev/esc", 3),
        device("/dev/esc", 5),
        device("/dev/null", 3),
        device("/dev/deep/er/zero", 5),
    ]);
    fixture.run().prints("esc\n1:5\n1:3\n1:5\n");
    for (list, message) in [
        (json!([device("dev/x", 3)]), "config.json: /linux/devices/0/path: must be absolute"),
        (json!([device("/..", 3)]), "config.json: /linux/devices/0/path: must be absolute"),
        (
            json!([{ "type": "x", "path": "/dev/x" }]),
            "config.json: /linux/devices/0/type: unknown device type \"x\"",
        ),
        (
            json!([{ "type": "c", "path": "/dev/x", "major": 1 }]),
            "config.json: /linux/devices/0/minor: missing",
        ),
        (
            json!([device("/dev/pts", 3)]),
            "init: devices: verify inode /dev/pts (the file is not what its name says)",
        ),
    ] {
        fixture.config["linux"]["devices"] = list;
        fixture.run().fails_with(message);
    }
    fixture.assert_gone();
}

fn mount_targets() {
    let canary = tempfile::tempdir().unwrap();
    let mut fixture = Fixture::script("ls /etc /rel");
    let above = format!("/../../../../../../../..{}", canary.path().display());
    let tmpfs = |target: &str| json!({ "destination": target, "type": "tmpfs", "source": "x" });
    fixture.config["mounts"].as_array_mut().unwrap().extend([
        tmpfs("/../../etc/x"),
        tmpfs("rel"),
        tmpfs(&above),
    ]);
    let ran = fixture.run();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "/etc:\nx\n\n/rel:\n"), "{ran:?}");
    assert_eq!(
        ran.stderr,
        "warning: config.json: /mounts/8/destination: \"rel\" is relative; taken from the root\n"
    );
    assert_eq!(fs::read_dir(canary.path()).unwrap().count(), 0);
    fixture.assert_gone();
    // A place that is the root again would be mounted on without any effect.
    for (number, target) in ["/", ".", "sub/../.."].into_iter().enumerate() {
        let mut fixture = Fixture::script("true");
        fs::create_dir(fixture.rootfs().join("sub")).unwrap();
        std::os::unix::fs::symlink(target, fixture.rootfs().join("link")).unwrap();
        let kind = if number == 0 { "bind" } else { "tmpfs" };
        fixture.config["mounts"]
            .as_array_mut()
            .unwrap()
            .push(json!({ "destination": "/link", "type": kind, "source": canary.path(), "options": [] }));
        if kind == "bind" {
            fixture.config["mounts"][7]["options"] = json!(["bind"]);
        }
        fixture.run().fails_with(
            "config.json: /mounts/7/destination: leads to the root of the container, which is mounted already",
        );
        fixture.assert_gone();
    }
}

fn many() {
    let mut fixture =
        Fixture::script("busybox env | busybox grep -c ^V; busybox grep -c /dev/shm/ /proc/self/mountinfo");
    let variables = (0..60_000).map(|n| format!("V{n}=x")).chain(["PATH=/bin".to_owned()]);
    fixture.config["process"]["env"] = variables.collect();
    for n in 0..1500 {
        let mount = json!({ "destination": format!("/dev/shm/{n}"), "type": "tmpfs", "source": "x", "options": ["size=4k"] });
        fixture.config["mounts"].as_array_mut().unwrap().push(mount);
    }
    fixture.run().prints("60000\n1500\n");
    fixture.config["mounts"].as_array_mut().unwrap().truncate(7);
    let large = (0..40).map(|n| format!("V{n}={}", "x".repeat(100_000)));
    fixture.config["process"]["env"] = large.chain(["PATH=/bin".to_owned()]).collect();
    fixture.run().fails_with("init: exec: execve /bin/sh: argument list too long");
    fixture.assert_gone();
}

fn fifo_program() {
    let mut fixture = Fixture::new();
    fifo(&fixture.rootfs().join("bin/pipe"));
    fs::set_permissions(fixture.rootfs().join("bin/pipe"), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["/bin/pipe", "pipe"] {
        fixture.config["process"]["args"] = json!([name]);
        fixture.run().fails_with(&format!("exec: {name:?}: permission denied"));
    }
    fixture.assert_gone();
}

fn state_directory() {
    let fixture = Fixture::script("sleep 100");
    fixture.write();
    let target = fixture.path().join("elsewhere");
    fs::create_dir(&target).unwrap();
    // A link in the place of a container's directory.
    fixture.create();
    symlink(&target, fixture.root().join("linked")).unwrap();
    for verb in ["state", "start", "kill", "delete", "create"] {
        let refused = fixture.call(&[verb, "linked"]);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{verb}: {refused:?}");
    }
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    fs::remove_file(fixture.root().join("linked")).unwrap();
    // A state directory that somebody else could change is not believed.
    let root = fixture.root().display().to_string();
    let mode = |mode| fs::set_permissions(&root, fs::Permissions::from_mode(mode)).unwrap();
    for verb in ["state", "start", "kill", "delete", "create"] {
        chown(&root, Some(1000), Some(1000)).unwrap();
        fixture.verb(verb).fails_with(&format!("{root}: belongs to another user"));
        chown(&root, Some(0), Some(0)).unwrap();
        mode(0o777);
        fixture.verb(verb).fails_with(&format!("{root}: is writable by other users"));
        mode(0o700);
    }
    assert_eq!(fixture.status(), "created");
    // A root that may not be written.
    let ran = in_shell(
        &fixture,
        &["-m"],
        "mkdir -p ../ro && mount -t tmpfs -o ro,mode=700 x ../ro; ${H% *} ../ro run another",
    );
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.stderr.ends_with(": read-only file system\n") && ran.stderr.lines().count() == 1, "{ran:?}");
    // By a relative path and through a link it is the same directory.
    symlink(fixture.root(), fixture.path().join("link")).unwrap();
    for root in ["../state", "../link"] {
        let listed = outcome(
            Command::new(crate::support::binary())
                .args(["--root", root, "list", "-q"])
                .current_dir(fixture.bundle()),
        );
        listed.prints(&format!("{}\n", fixture.id));
    }
}

fn recorded_pids() {
    let fixture = Fixture::script("sleep 100");
    let pid = fixture.create();
    let file = fixture.root().join(&fixture.id).join("state.json");
    let whole = fs::read_to_string(&file).unwrap();
    // Start times count in ticks of a hundredth of a second (proc(5)).
    std::thread::sleep(std::time::Duration::from_millis(50));
    let mut victim = Command::new("sleep").arg("60").spawn().unwrap();
    let state: Value = serde_json::from_str(&whole).unwrap();
    // Another process's number: its start time gives it away.
    for other in [json!(-1), json!(1), json!(victim.id()), json!(std::process::id())] {
        let mut changed = state.clone();
        changed["pid"] = other.clone();
        fs::write(&file, changed.to_string()).unwrap();
        for args in [
            &["kill", &fixture.id, "KILL"][..],
            &["kill", "--all", &fixture.id, "STOP"],
            &["delete", "-f", "nobody"],
        ] {
            let _refused = fixture.call(args);
        }
        assert!(victim.try_wait().unwrap().is_none(), "{other} was killed");
    }
    fs::write(&file, &whole).unwrap();
    fixture.call(&["kill", &fixture.id, "CONT"]);
    assert_eq!(fixture.state()["pid"], json!(pid));
    victim.kill().unwrap();
    victim.wait().unwrap();
    fixture.call(&["delete", "-f", &fixture.id]).prints("");
    fixture.assert_gone();
}

fn fifo_pid_file() {
    let fixture = Fixture::script("sleep 100");
    fixture.write();
    let path = fixture.path().join("pid");
    fifo(&path);
    // It is replaced, not waited on.
    fixture.call(&["create", "--pid-file", path.to_str().unwrap(), &fixture.id]).prints("");
    assert_eq!(fs::read_to_string(&path).unwrap(), fixture.state()["pid"].to_string());
}

fn outputs() {
    let fixture = Fixture::script("true");
    fixture.write();
    // What cannot be written is an error of its own; a reader that has gone is none.
    in_shell(&fixture, &[], "$H features >/dev/full").fails_with("write stdout: no space left on device");
    in_shell(&fixture, &[], "$H features | true; $H state nobody 2>&-; echo $?").prints("1\n");
    in_shell(&fixture, &[], "$H run $ID <&- >&- 2>&-; echo $?").prints("0\n");
    fixture.assert_gone();
}

/// Whoever holds the host's null device may change its mode: the process gets the container's.
fn own_null() {
    const LOOK: &str = "busybox stat -Lc %d:%i /proc/self/fd/0 /dev/null";
    let fixture = Fixture::script(&format!("{LOOK}; sleep 100"));
    fixture.write();
    let caller = fs::metadata("/dev/null").unwrap();
    let caller = std::os::unix::fs::MetadataExt::dev(&caller);
    let check = |output: &str| {
        let seen: Vec<&str> = output.lines().collect();
        assert!(matches!(seen[..], [stdin, null] if stdin == null), "{seen:?}");
        assert!(!seen[0].starts_with(&format!("{caller}:")), "{seen:?}");
    };
    fixture.create();
    fixture.verb("start").prints("");
    check(&fixture.call(&["exec", &fixture.id, "sh", "-c", LOOK]).stdout);
    fixture.call(&["delete", "--force", &fixture.id]).prints("");
    let mut once = Fixture::script(LOOK);
    check(&once.run().stdout);
    // An ordinary user of the container gets the same.
    once.config["process"]["user"] = json!({ "uid": 7, "gid": 7 });
    check(&once.run().stdout);
}
