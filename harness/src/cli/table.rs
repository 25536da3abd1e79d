//! The table of verbs and flags.

use super::{Args, Global};
use crate::error::{Error, Result};
use crate::verb;

/// An option.
pub struct Flag {
    /// Name after `--`.
    pub long: &'static str,
    /// Name after `-`.
    pub short: Option<char>,
    /// What its value is called; `None` for a switch.
    pub value: Option<&'static str>,
    /// What it does.
    pub about: &'static str,
}

const fn switch(long: &'static str, short: Option<char>, about: &'static str) -> Flag {
    Flag { long, short, value: None, about }
}

const fn option(long: &'static str, short: Option<char>, value: &'static str, about: &'static str) -> Flag {
    Flag { long, short, value: Some(value), about }
}

/// A verb.
pub struct Verb {
    /// Its name.
    pub name: &'static str,
    /// Its positional arguments, for the help.
    pub arguments: &'static str,
    /// Fewest and most positional arguments.
    pub count: (usize, usize),
    /// How many positional arguments its options may stand behind; what follows is for a program.
    pub own: usize,
    /// What it does.
    pub about: &'static str,
    /// Its options.
    pub flags: &'static [Flag],
    /// Carries it out; the exit status.
    pub run: fn(&Global, &Args) -> Result<u8>,
}

const BUNDLE: Flag = option("bundle", Some('b'), "DIR", "bundle directory (default: the current one)");
const PID_FILE: Flag = option("pid-file", None, "FILE", "write the process's pid here, a bare number");

const CONSOLE_SOCKET: Flag = option("console-socket", None, "PATH", "socket that gets the terminal");
const PIDFD_SOCKET: Flag = option("pidfd-socket", None, "PATH", "socket that gets a pidfd of the process");
const PRESERVE_FDS: Flag = option("preserve-fds", None, "N", "descriptors from 3 up that the process keeps");
const NO_PIVOT: Flag = switch("no-pivot", None, "do not use pivot_root (initramfs)");
const TIMING: Flag = switch("timing", None, "let init note when each phase begins; run prints it");
const NO_NEW_KEYRING: Flag = switch("no-new-keyring", None, "keep the caller's session keyring");

/// All positional arguments are the verb's own.
const ALL: usize = usize::MAX;

/// Options before the verb.
pub const GLOBAL: &[Flag] = &[
    option("root", None, "DIR", "state directory (default: /run/harness, or $XDG_RUNTIME_DIR/harness)"),
    option("log", None, "FILE", "also append errors to this file"),
    option("log-format", None, "FORMAT", "text or json (default: text)"),
    switch("debug", None, "log what is done, too"),
    switch("systemd-cgroup", None, "not supported: cgroups are made through cgroupfs"),
    option("rootless", None, "BOOL", "accepted; what the caller may do is found out by doing it"),
    switch("version", Some('v'), "print the version"),
    switch("help", Some('h'), "print this help"),
];

/// Every verb, in the order of the help.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "create",
        arguments: "ID",
        count: (1, 1),
        own: ALL,
        about: "create a container from a bundle",
        flags: &[
            BUNDLE,
            PID_FILE,
            CONSOLE_SOCKET,
            PIDFD_SOCKET,
            PRESERVE_FDS,
            NO_PIVOT,
            NO_NEW_KEYRING,
            TIMING,
        ],
        run: verb::create::run,
    },
    Verb {
        name: "start",
        arguments: "ID",
        count: (1, 1),
        own: ALL,
        about: "start a created container's process",
        flags: &[],
        run: verb::start::run,
    },
    Verb {
        name: "run",
        arguments: "ID",
        count: (1, 1),
        own: ALL,
        about: "create, start, wait and delete; exits with the process's status",
        flags: &[
            BUNDLE,
            PID_FILE,
            CONSOLE_SOCKET,
            PIDFD_SOCKET,
            PRESERVE_FDS,
            NO_PIVOT,
            NO_NEW_KEYRING,
            TIMING,
            switch("detach", Some('d'), "do not wait"),
            switch("keep", None, "do not delete the container afterwards"),
            switch("no-subreaper", None, "accepted; this runtime makes itself no subreaper"),
        ],
        run: verb::run::run,
    },
    Verb {
        name: "exec",
        arguments: "ID [PROGRAM [ARGUMENTS]]",
        count: (1, usize::MAX),
        own: 1,
        about: "start one more process in a container; exits with its status",
        flags: &[
            option("process", Some('p'), "FILE", "the process as JSON, as in config.json"),
            switch("detach", Some('d'), "do not wait"),
            PID_FILE,
            CONSOLE_SOCKET,
            PIDFD_SOCKET,
            PRESERVE_FDS,
            switch("tty", Some('t'), "with a terminal"),
            option("user", Some('u'), "UID[:GID]", "ids, as numbers"),
            option("additional-gids", Some('g'), "GID", "one more group; may be repeated"),
            option("env", Some('e'), "KEY=VALUE", "one more variable; may be repeated"),
            option("cwd", None, "DIR", "working directory"),
            option("cap", Some('c'), "NAME", "one more capability; may be repeated"),
            option("apparmor", None, "PROFILE", "AppArmor profile"),
            option("process-label", None, "LABEL", "SELinux label"),
            switch("no-new-privs", None, "the process can gain no privileges"),
            option("cgroup", None, "PATH", "a cgroup below the container's"),
            switch("ignore-paused", None, "also if the container is paused"),
        ],
        run: verb::exec::run,
    },
    Verb {
        name: "state",
        arguments: "ID",
        count: (1, 1),
        own: ALL,
        about: "print a container's state as JSON",
        flags: &[],
        run: verb::state::run,
    },
    Verb {
        name: "kill",
        arguments: "ID [SIGNAL]",
        count: (1, 2),
        own: ALL,
        about: "send a signal, by name or number (default: TERM)",
        flags: &[switch("all", Some('a'), "to every process of the container")],
        run: verb::kill::run,
    },
    Verb {
        name: "delete",
        arguments: "ID",
        count: (1, 1),
        own: ALL,
        about: "remove a stopped container",
        flags: &[switch("force", Some('f'), "kill it first; an unknown id is no error")],
        run: verb::delete::run,
    },
    Verb {
        name: "list",
        arguments: "",
        count: (0, 0),
        own: ALL,
        about: "list containers",
        flags: &[
            option("format", Some('f'), "FORMAT", "table or json (default: table)"),
            switch("quiet", Some('q'), "ids only"),
        ],
        run: verb::list::run,
    },
    Verb {
        name: "ps",
        arguments: "ID [PS OPTIONS]",
        count: (1, usize::MAX),
        own: 0,
        about: "list the processes of a container",
        flags: &[option("format", Some('f'), "FORMAT", "table or json (default: table)")],
        run: verb::ps::run,
    },
    Verb {
        name: "pause",
        arguments: "ID",
        count: (1, 1),
        own: ALL,
        about: "stop all processes of a container",
        flags: &[],
        run: verb::pause::pause,
    },
    Verb {
        name: "resume",
        arguments: "ID",
        count: (1, 1),
        own: ALL,
        about: "let the processes of a paused container go on",
        flags: &[],
        run: verb::pause::resume,
    },
    Verb {
        name: "update",
        arguments: "ID",
        count: (1, 1),
        own: ALL,
        about: "change the limits of a container",
        flags: &[
            option("resources", Some('r'), "FILE", "linux.resources as JSON, or - for stdin"),
            option("blkio-weight", None, "N", "weight of block I/O, 10 to 1000"),
            option("cpu-period", None, "US", "period of the quota"),
            option("cpu-quota", None, "US", "CPU time a period"),
            option("cpu-burst", None, "US", "CPU time that may be saved up"),
            option("cpu-share", None, "N", "relative weight"),
            option("cpu-rt-period", None, "US", "real-time period"),
            option("cpu-rt-runtime", None, "US", "real-time CPU time a period"),
            option("cpu-idle", None, "N", "1: SCHED_IDLE"),
            option("cpuset-cpus", None, "LIST", "CPUs"),
            option("cpuset-mems", None, "LIST", "memory nodes"),
            option("memory", None, "BYTES", "limit of memory"),
            option("memory-reservation", None, "BYTES", "soft limit"),
            option("memory-swap", None, "BYTES", "limit of memory and swap; -1: none"),
            option("kernel-memory", None, "BYTES", "cgroup v1, obsolete"),
            option("pids-limit", None, "N", "number of processes; -1: any"),
        ],
        run: verb::update::run,
    },
    Verb {
        name: "events",
        arguments: "ID",
        count: (1, 1),
        own: ALL,
        about: "print figures and events of a container as JSON lines",
        flags: &[
            switch("stats", None, "once, and end"),
            option("interval", None, "TIME", "time between figures (default: 5s)"),
        ],
        run: verb::events::run,
    },
    Verb {
        name: "spec",
        arguments: "",
        count: (0, 0),
        own: ALL,
        about: "write a default config.json",
        flags: &[BUNDLE, switch("rootless", None, "for an ordinary user")],
        run: verb::spec::run,
    },
    Verb {
        name: "features",
        arguments: "",
        count: (0, 0),
        own: ALL,
        about: "print what this runtime supports as JSON",
        flags: &[],
        run: verb::features::run,
    },
    Verb {
        name: "explain",
        arguments: "BUNDLE",
        count: (1, 1),
        own: ALL,
        about: "print every step that init would make, and the place in config.json it comes from",
        flags: &[switch("json", None, "print JSON"), NO_PIVOT, NO_NEW_KEYRING],
        run: verb::explain::run,
    },
    Verb {
        name: "seccomp",
        arguments: "compile|check|explain|dis PROFILE [SYSCALL [ARGUMENTS]]",
        count: (2, 9),
        own: ALL,
        about: "compile, check and explain seccomp profiles",
        flags: &[
            option(
                "arch",
                None,
                "ARCH",
                "x86_64, x86, x32, aarch64, arm or riscv64 (default: this machine's)",
            ),
            option("caps", None, "NAMES", "capabilities of the container, for profiles of engines"),
            option("kernel", None, "VERSION", "oldest kernel, for profiles of engines (default: 5.12)"),
            option("output", Some('o'), "FILE", "compile: where the filter goes"),
            switch("json", None, "print JSON"),
        ],
        run: verb::seccomp::run,
    },
    Verb {
        name: "doctor",
        arguments: "",
        count: (0, 0),
        own: ALL,
        about: "try each feature of the kernel that containers need, and say what to change",
        flags: &[switch("json", None, "print JSON")],
        run: verb::doctor::run,
    },
    Verb {
        name: "demo",
        arguments: "",
        count: (0, 0),
        own: ALL,
        about: "start a real container from nothing and show what it sees",
        flags: &[],
        run: verb::demo::run,
    },
    Verb {
        name: "bench",
        arguments: "",
        count: (0, 0),
        own: ALL,
        about: "measure start-up against other runtimes and the kernel's floor",
        flags: &[
            option(
                "runtime",
                None,
                "NAME=PATH",
                "a runtime to compare with; may be repeated (also: target/peers)",
            ),
            option("scenario", None, "LIST", "what to measure, by name or group (default: all)"),
            option("rounds", None, "N", "interleaved rounds (default: 100)"),
            switch("short", None, "few rounds of the scenarios that matter most"),
            option(
                "seccomp",
                None,
                "FILE",
                "an engine's profile, or linux.seccomp (default: conformance/seccomp/docker.json)",
            ),
            option("compare", None, "FILE", "tell changes from noise against an earlier report.json"),
            option("output", None, "DIR", "where report and pictures go (default: target/bench)"),
        ],
        run: verb::bench::run,
    },
    Verb {
        name: "conformance",
        arguments: "run|differential",
        count: (1, 1),
        own: ALL,
        about: "run the validation suite of opencontainers/runtime-tools, or compare with peers",
        flags: &[
            option("runtime", None, "PATH", "the runtime to test instead of this one; NAME=PATH adds a peer"),
            switch("peers", None, "test target/peers/{crun,runc}, too"),
            option("only", None, "NAME", "this program and its control, or this case, only; may be repeated"),
            option("jobs", None, "N", "programs or cases at a time (default: 1)"),
            option("limit", None, "SECONDS", "the longest that a program may take (default: 150)"),
            option("suite", None, "DIR", "built suite (default: target/conformance/suite, built if missing)"),
            option("output", None, "DIR", "reports and evidence (default: target/conformance)"),
        ],
        run: verb::conformance::run,
    },
    Verb {
        name: "cleanup",
        arguments: "",
        count: (0, 0),
        own: ALL,
        about: "remove what the state directory keeps between containers",
        flags: &[],
        run: verb::cleanup::run,
    },
    Verb {
        name: "checkpoint",
        arguments: "",
        count: (0, usize::MAX),
        own: ALL,
        about: "not supported",
        flags: &[],
        run: |_, _| Err(Error::Usage("checkpoint: not supported".into())),
    },
];
