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
    /// What it does.
    pub about: &'static str,
    /// Its options.
    pub flags: &'static [Flag],
    /// Carries it out; the exit status.
    pub run: fn(&Global, &Args) -> Result<u8>,
}

const BUNDLE: Flag = option("bundle", Some('b'), "DIR", "bundle directory (default: the current one)");
const PID_FILE: Flag = option("pid-file", None, "FILE", "write the process's pid here, a bare number");

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
        about: "create a container from a bundle",
        flags: &[BUNDLE, PID_FILE, switch("timing", None, "let init note how long each phase takes")],
        run: verb::create::run,
    },
    Verb {
        name: "start",
        arguments: "ID",
        count: (1, 1),
        about: "start a created container's process",
        flags: &[],
        run: verb::start::run,
    },
    Verb {
        name: "run",
        arguments: "ID",
        count: (1, 1),
        about: "create, start, wait and delete; exits with the process's status",
        flags: &[
            BUNDLE,
            PID_FILE,
            switch("detach", Some('d'), "do not wait"),
            switch("keep", None, "do not delete the container afterwards"),
        ],
        run: verb::run::run,
    },
    Verb {
        name: "state",
        arguments: "ID",
        count: (1, 1),
        about: "print a container's state as JSON",
        flags: &[],
        run: verb::state::run,
    },
    Verb {
        name: "kill",
        arguments: "ID [SIGNAL]",
        count: (1, 2),
        about: "send a signal, by name or number (default: TERM)",
        flags: &[switch("all", Some('a'), "to every process of the container")],
        run: verb::kill::run,
    },
    Verb {
        name: "delete",
        arguments: "ID",
        count: (1, 1),
        about: "remove a stopped container",
        flags: &[switch("force", Some('f'), "kill it first; an unknown id is no error")],
        run: verb::delete::run,
    },
    Verb {
        name: "list",
        arguments: "",
        count: (0, 0),
        about: "list containers",
        flags: &[
            option("format", Some('f'), "FORMAT", "table or json (default: table)"),
            switch("quiet", Some('q'), "ids only"),
        ],
        run: verb::list::run,
    },
    Verb {
        name: "spec",
        arguments: "",
        count: (0, 0),
        about: "write a default config.json",
        flags: &[BUNDLE, switch("rootless", None, "for an ordinary user")],
        run: verb::spec::run,
    },
    Verb {
        name: "features",
        arguments: "",
        count: (0, 0),
        about: "print what this runtime supports as JSON",
        flags: &[],
        run: verb::features::run,
    },
    Verb {
        name: "demo",
        arguments: "",
        count: (0, 0),
        about: "start a real container from nothing and show what it sees",
        flags: &[],
        run: verb::demo::run,
    },
    Verb {
        name: "bench",
        arguments: "",
        count: (0, 0),
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
        name: "cleanup",
        arguments: "",
        count: (0, 0),
        about: "remove what the state directory keeps between containers",
        flags: &[],
        run: verb::cleanup::run,
    },
    Verb {
        name: "checkpoint",
        arguments: "",
        count: (0, usize::MAX),
        about: "not supported",
        flags: &[],
        run: |_, _| Err(Error::Usage("checkpoint: not supported".into())),
    },
];
