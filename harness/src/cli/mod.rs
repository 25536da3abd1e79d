//! The command line: one table of verbs and flags, from which parsing and help are made.

mod table;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use lexopt::Arg;

pub use table::Verb;
use table::{Flag, GLOBAL, VERBS};

use crate::error::{Error, Result};
use crate::process::is_mapped;

/// Options that hold for every verb.
#[derive(Clone, Default)]
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
        // Who has logged in as root of a user namespace has a /run of its own.
        let mapped = || std::env::var_os("USER").is_none_or(|user| user != "root") && is_mapped();
        let ordinary = |_: &OsString| !rustix::process::geteuid().is_root() || mapped();
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(ordinary);
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

    /// The positional arguments from one on.
    pub fn rest(&self, from: usize) -> &[OsString] {
        self.positional.get(from..).unwrap_or_default()
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
            Arg::Value(value) => {
                args.positional.push(value);
                // A program's own options are not ours.
                if args.positional.len() > verb.own {
                    args.positional.extend(parser.raw_args().map_err(|error| of(verb, &error))?);
                    break;
                }
            }
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
