//! The containers that are swept.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command};

use nix::sys::wait::{WaitPidFlag, waitpid};
use serde_json::json;

use crate::changes;
use crate::report::{self, SCRIPT};
use crate::support::Fixture;

/// Every scenario; `cold` and `run` are for the harness's own deaths only.
pub const NAMES: [&str; 12] = [
    "plain",
    "unified",
    "user",
    "terminal",
    "idmap",
    "joined",
    "exec",
    "exec-terminal",
    "readonly",
    "hooks",
    "seccomp",
    "full",
];

/// A bundle and the commands that make its container speak.
pub struct Scenario {
    pub fixture: Fixture,
    /// Each stands for one call of the harness.
    pub commands: Vec<Vec<String>>,
    /// Namespaces that are joined.
    pub joined: BTreeSet<String>,
    /// Processes that are no leftovers.
    pub spared: BTreeSet<i32>,
    /// Without the template namespace, which is made anew each time.
    pub cold: bool,
    console: Option<UnixListener>,
    holder: Option<Child>,
}

impl Scenario {
    pub fn new(name: &str) -> Self {
        let mut scenario = Self::plain();
        let data = scenario.fixture.path().join("data").display().to_string();
        let config = &mut scenario.fixture.config;
        match name {
            "plain" | "unified" | "run" | "cold" | "exec" | "exec-terminal" => {}
            "user" => changes::user(config),
            "terminal" => config["process"]["terminal"] = json!(true),
            "idmap" => changes::idmap(config, &data),
            "joined" => scenario.join(),
            "readonly" => {
                changes::readonly(config);
                fs::write(scenario.fixture.rootfs().join("secret"), "secret\n").unwrap();
            }
            "hooks" => changes::hooks(config),
            "held" => changes::held(config, &data),
            "held-host" => {
                changes::share_pids(config);
                changes::held(config, &data);
            }
            "held-user" => {
                changes::held(config, &data);
                changes::user(config);
            }
            "seccomp" => changes::seccomp(config),
            "full" => changes::full(config),
            _ => panic!("no scenario {name}"),
        }
        if name.ends_with("user") {
            scenario.fixture.give_to(100_000);
        }
        if name.ends_with("terminal") {
            scenario.listen();
        }
        scenario.commands = scenario.commands_of(name);
        scenario.cold = name == "cold";
        scenario.fixture.write();
        scenario.warm_up();
        if name.starts_with("exec") {
            scenario.begin();
        }
        // A zombie's number would be another's by and by.
        reap();
        scenario.spared = children();
        scenario
    }

    /// The default container, writable, with a place for the report.
    fn plain() -> Self {
        let mut fixture = Fixture::script(SCRIPT);
        let report = fixture.path().join("report");
        fs::write(&report, "").unwrap();
        fs::set_permissions(&report, fs::Permissions::from_mode(0o666)).unwrap();
        fs::create_dir(fixture.path().join("data")).unwrap();
        let config = &mut fixture.config;
        config["root"]["readonly"] = json!(false);
        config["mounts"].as_array_mut().unwrap().push(
            json!({ "destination": "/report", "type": "bind", "source": report, "options": ["bind", "rw"] }),
        );
        config["linux"]["sysctl"] = json!({ "net.ipv4.ip_unprivileged_port_start": "99" });
        Self {
            fixture,
            commands: Vec::new(),
            joined: BTreeSet::new(),
            spared: BTreeSet::new(),
            cold: false,
            console: None,
            holder: None,
        }
    }

    fn commands_of(&self, name: &str) -> Vec<Vec<String>> {
        let id = self.fixture.id.as_str();
        let socket = self.socket();
        let socket = socket.as_str();
        let commands: &[&[&str]] = match name {
            "run" => &[&["run", id]],
            "exec" => &[&["exec", id, "sh", "-c", SCRIPT]],
            "exec-terminal" => &[&["exec", "-d", "-t", "--console-socket", socket, id, "sh", "-c", SCRIPT]],
            "terminal" => &[&["create", "--console-socket", socket, id], &["start", id]],
            _ => &[&["create", id], &["start", id]],
        };
        commands.iter().map(|words| words.iter().map(|word| (*word).to_owned()).collect()).collect()
    }

    fn socket(&self) -> String {
        self.fixture.path().join("console").display().to_string()
    }

    fn listen(&mut self) {
        let listener = UnixListener::bind(self.socket()).unwrap();
        listener.set_nonblocking(true).unwrap();
        self.console = Some(listener);
    }

    /// The namespaces of a process that holds them.
    fn join(&mut self) {
        let holder = Command::new("unshare")
            .args(["--net", "--ipc", "--uts", "--pid", "--fork", "--kill-child", "sleep", "1000"])
            .spawn()
            .unwrap();
        let pid = holder.id().to_string();
        let first = std::time::Instant::now();
        while fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap().is_empty() {
            assert!(first.elapsed().as_secs() < 10, "unshare makes no child");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let file = |kind: &str, file: &str| json!({ "type": kind, "path": format!("/proc/{pid}/ns/{file}") });
        self.fixture.config["linux"]["namespaces"] = json!([{ "type": "mount" }, file("pid", "pid_for_children"),
            file("network", "net"), file("ipc", "ipc"), file("uts", "uts")]);
        self.fixture.config["hostname"] = json!("");
        self.joined = report::namespaces(&pid);
        self.holder = Some(holder);
    }

    /// Makes the template namespace, which later containers find.
    fn warm_up(&self) {
        let mut config = self.fixture.config.clone();
        config["process"]["terminal"] = json!(false);
        self.fixture.write_text(config.to_string());
        for verb in [&["create"][..], &["delete", "-f"]] {
            let called = self.fixture.call(&[verb, &[&self.fixture.id]].concat());
            assert_eq!((called.code, called.stderr.as_str()), (Some(0), ""));
        }
        self.fixture.write();
    }

    /// A container that `exec` finds.
    fn begin(&mut self) {
        self.fixture.config["process"]["args"] = json!(["sleep", "10000"]);
        let pid = self.fixture.create();
        self.fixture.verb("start").prints("");
        self.joined = report::namespaces(&pid.to_string());
    }

    /// Whether the container is there before the first command.
    pub fn is_begun(&self) -> bool {
        self.commands[0][0] == "exec"
    }

    /// Whether its processes are in the host's pid namespace.
    pub fn shares_pids(&self) -> bool {
        let namespaces = self.fixture.config["linux"]["namespaces"].as_array().unwrap();
        namespaces.iter().all(|namespace| namespace["type"] != "pid")
    }

    /// One command, ready to be run.
    pub fn command(&self, index: usize) -> Command {
        let mut command = self.fixture.harness();
        command.args(&self.commands[index]);
        command
    }

    /// Clears what a run has left for itself.
    pub fn reset(&self) {
        fs::write(self.fixture.path().join("report"), "").unwrap();
        if self.cold {
            self.fixture.call(&["cleanup"]).prints("");
        }
        // A terminal lives as long as the socket that it was sent to.
        if let Some(console) = &self.console {
            while console.accept().is_ok() {}
        }
    }

    /// The report of the last run; if it is not complete, as it is.
    pub fn report(&self) -> Result<BTreeSet<String>, String> {
        let text = fs::read_to_string(self.fixture.path().join("report")).unwrap();
        report::read(&text, &self.joined).ok_or(text)
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        if let Some(holder) = &mut self.holder {
            let _may_be_gone = holder.kill();
            let _reaped = holder.wait();
        }
    }
}

/// Takes the status of every child that has ended.
pub fn reap() {
    while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status.pid().is_some()) {}
}

/// This process's children: with a subreaper all that its commands have left.
pub fn children() -> BTreeSet<i32> {
    let pid = std::process::id();
    let text = fs::read_to_string(format!("/proc/self/task/{pid}/children")).unwrap();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}
