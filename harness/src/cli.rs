//! The command line: one table of verbs and flags, from which parsing and help are made.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use lexopt::Arg;

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
const GLOBAL: &[Flag] = &[
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
        arguments: "cycle",
        count: (1, 1),
        about: "measure start-up against other runtimes",
        flags: &[
            option("runtime", None, "NAME=PATH", "a runtime to compare with; may be repeated"),
            option("rounds", None, "N", "interleaved rounds (default: 200)"),
            option("output", None, "FILE", "write the figures as JSON, too"),
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

/// Options that hold for every verb.
#[derive(Default)]
pub struct Global {
    root: Option<PathBuf>,
    /// Log file.
    pub log: Option<PathBuf>,
    /// JSON records in the log file.
    pub json: bool,
    /// Log more than errors.
    pub debug: bool,
}

/// What was typed after the verb.
pub struct Args {
    flags: Vec<(&'static str, Option<OsString>)>,
    positional: Vec<OsString>,
}

/// What to do.
pub enum Command {
    /// Print a text and be done.
    Print(String),
    /// Carry out a verb.
    Run(&'static Verb, Args),
}

impl Global {
    /// The state directory.
    pub fn root(&self) -> PathBuf {
        if let Some(root) = &self.root {
            return root.clone();
        }
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|_| !rustix::process::geteuid().is_root());
        runtime.map_or_else(|| PathBuf::from("/run/harness"), |dir| Path::new(&dir).join("harness"))
    }
}

impl Args {
    /// Whether a switch was given.
    pub fn has(&self, long: &str) -> bool {
        self.flags.iter().any(|(name, _)| *name == long)
    }

    /// The value of an option; the last one counts.
    pub fn value(&self, long: &str) -> Option<&OsString> {
        self.flags.iter().rev().find(|(name, _)| *name == long)?.1.as_ref()
    }

    /// Every value of an option that may be repeated.
    pub fn values(&self, long: &str) -> impl Iterator<Item = &OsString> {
        self.flags.iter().filter(move |(name, _)| *name == long).filter_map(|(_, value)| value.as_ref())
    }

    /// A positional argument as text.
    pub fn text(&self, index: usize) -> Result<Option<&str>> {
        let Some(argument) = self.positional.get(index) else { return Ok(None) };
        let invalid = || Error::Usage(format!("{}: not UTF-8", argument.display()));
        argument.to_str().map(Some).ok_or_else(invalid)
    }

    /// The container id.
    pub fn id(&self) -> Result<&str> {
        crate::state::check_id(self.text(0)?.unwrap_or_default())
    }

    /// `--bundle`, or the current directory.
    pub fn bundle(&self) -> PathBuf {
        self.value("bundle").map_or_else(|| PathBuf::from("."), PathBuf::from)
    }
}

/// Parses the command line; `global` is filled even where the rest is wrong, for the log.
pub fn parse(arguments: impl IntoIterator<Item = OsString>, global: &mut Global) -> Result<Command> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let verb = loop {
        match parser.next().map_err(usage)? {
            None => return Ok(Command::Print(help())),
            Some(Arg::Value(name)) => {
                let unknown =
                    || Error::Usage(format!("unknown command {:?}; see --help", name.display().to_string()));
                break VERBS.iter().find(|verb| name == verb.name).ok_or_else(unknown)?;
            }
            Some(argument) => {
                let flag = find(GLOBAL, &argument).ok_or_else(|| unknown("", &argument))?;
                let value = flag.value.map(|_| parser.value()).transpose().map_err(usage)?;
                if let Some(text) = set(global, flag.long, value)? {
                    return Ok(Command::Print(text));
                }
            }
        }
    };
    let mut args = Args { flags: Vec::new(), positional: Vec::new() };
    while let Some(argument) = parser.next().map_err(|error| of(verb, &error))? {
        match argument {
            Arg::Value(value) => args.positional.push(value),
            Arg::Long("help") | Arg::Short('h') if verb.name != "checkpoint" => {
                return Ok(Command::Print(help_of(verb)));
            }
            Arg::Long("help") | Arg::Short('h') => args.flags.push(("help", None)),
            argument => {
                let flag = find(verb.flags, &argument).ok_or_else(|| unknown(verb.name, &argument))?;
                let value =
                    flag.value.map(|_| parser.value()).transpose().map_err(|error| of(verb, &error))?;
                args.flags.push((flag.long, value));
            }
        }
    }
    let (least, most) = verb.count;
    if args.positional.len() < least {
        return Err(Error::Usage(format!("{}: {} is missing", verb.name, verb.arguments)));
    }
    if args.positional.len() > most {
        let extra = args.positional.get(most).map(|extra| extra.display().to_string()).unwrap_or_default();
        return Err(Error::Usage(format!("{}: unexpected argument {extra:?}", verb.name)));
    }
    Ok(Command::Run(verb, args))
}

fn find(flags: &'static [Flag], argument: &Arg<'_>) -> Option<&'static Flag> {
    flags.iter().find(|flag| match argument {
        Arg::Long(name) => flag.long == *name,
        Arg::Short(letter) => flag.short == Some(*letter),
        Arg::Value(_) => false,
    })
}

fn set(global: &mut Global, name: &str, value: Option<OsString>) -> Result<Option<String>> {
    match name {
        "root" => global.root = value.map(PathBuf::from),
        "log" => global.log = value.map(PathBuf::from),
        "log-format" => {
            global.json = match value.as_deref().and_then(|value| value.to_str()) {
                Some("json") => true,
                Some("text") => false,
                _ => return Err(Error::Usage("--log-format: must be text or json".into())),
            }
        }
        "debug" => global.debug = true,
        "systemd-cgroup" => {
            return Err(Error::Usage(
                "--systemd-cgroup: not supported; use the engine's cgroupfs manager".into(),
            ));
        }
        "rootless" => {
            if !matches!(value.as_deref().and_then(|value| value.to_str()), Some("true" | "false" | "auto")) {
                return Err(Error::Usage("--rootless: must be true, false or auto".into()));
            }
        }
        "version" => return Ok(Some(version())),
        _ => return Ok(Some(help())),
    }
    Ok(None)
}

#[allow(clippy::needless_pass_by_value)] // As `map_err` hands it over.
fn usage(error: lexopt::Error) -> Error {
    Error::Usage(error.to_string())
}

fn of(verb: &Verb, error: &lexopt::Error) -> Error {
    Error::Usage(format!("{}: {error}", verb.name))
}

fn unknown(verb: &str, argument: &Arg<'_>) -> Error {
    let name = match argument {
        Arg::Long(name) => format!("--{name}"),
        Arg::Short(letter) => format!("-{letter}"),
        Arg::Value(value) => value.display().to_string(),
    };
    let verb = if verb.is_empty() { String::new() } else { format!("{verb}: ") };
    Error::Usage(format!("{verb}unknown option {name}; see --help"))
}

fn version() -> String {
    format!(
        "harness version {0}\ncommit: {1}\nspec: {2}\ninit: {3}, {4} bytes\n",
        env!("CARGO_PKG_VERSION"),
        option_env!("HARNESS_COMMIT").unwrap_or("unknown"),
        crate::spec::OCI_VERSION,
        env!("INIT_ORIGIN"),
        crate::launch::image::INIT.len(),
    )
}

fn help() -> String {
    let mut text = String::from(
        "An OCI runtime with a freestanding init.\n\nusage: harness [OPTIONS] COMMAND [ARGUMENTS]\n\ncommands:\n",
    );
    for verb in VERBS {
        text += &format!("  {:<12}{}\n", verb.name, verb.about);
    }
    text += "\noptions:\n";
    text += &describe(GLOBAL);
    text
}

fn help_of(verb: &Verb) -> String {
    let mut text = format!("{}\n\nusage: harness {} [OPTIONS] {}\n", verb.about, verb.name, verb.arguments);
    if !verb.flags.is_empty() {
        text += "\noptions:\n";
        text += &describe(verb.flags);
    }
    text
}

fn describe(flags: &[Flag]) -> String {
    let mut text = String::new();
    for flag in flags {
        let short = flag.short.map_or_else(|| "    ".into(), |letter| format!("-{letter}, "));
        let value = flag.value.map_or_else(String::new, |value| format!(" {value}"));
        text += &format!("  {short}--{:<24}{}\n", format!("{}{value}", flag.long), flag.about);
    }
    text
}
