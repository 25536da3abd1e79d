//! `update`.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::cgroup::{self, update};
use crate::cli::{Args, Global};
use crate::error::{Context, Error, Result};
use crate::plan;
use crate::spec::{self, Resources};
use crate::state::{self, Directory, State, Status};

/// Options and where in the resources they go.
pub const FIELDS: [(&str, &str, &str); 15] = [
    ("blkio-weight", "blockIO", "weight"),
    ("cpu-period", "cpu", "period"),
    ("cpu-quota", "cpu", "quota"),
    ("cpu-burst", "cpu", "burst"),
    ("cpu-share", "cpu", "shares"),
    ("cpu-rt-period", "cpu", "realtimePeriod"),
    ("cpu-rt-runtime", "cpu", "realtimeRuntime"),
    ("cpu-idle", "cpu", "idle"),
    ("cpuset-cpus", "cpu", "cpus"),
    ("cpuset-mems", "cpu", "mems"),
    ("memory", "memory", "limit"),
    ("memory-reservation", "memory", "reservation"),
    ("memory-swap", "memory", "swap"),
    ("pids-limit", "pids", "limit"),
    ("kernel-memory", "memory", "kernel"),
];

/// What stands for the single options where a file's name would.
const OPTIONS: &str = "options";

/// Changes the limits of a container, and its device policy if one is given.
pub fn run(global: &Global, args: &Args) -> Result<u8> {
    let directory = state::find(&global.root(), args.id()?)?;
    let state = directory.load()?;
    if directory.status(&state) == Status::Stopped {
        return Err(Error::State(format!("cannot update container {:?}: it has stopped", state.id)));
    }
    let (name, text) = source(args)?;
    change(&directory, &state, &name, &text).map_err(|error| placed(error, &name, args)).map(|()| 0)
}

/// A mistake of the configuration is one of the options here, or of a file.
fn placed(error: Error, source: &str, args: &Args) -> Error {
    let Error::Config { pointer, reason } = error else { return error };
    let given = |(option, group, field): &&(&str, &str, &str)| {
        args.value(option).is_some() && pointer == format!("/{group}/{field}")
    };
    match FIELDS.iter().find(given).filter(|_| source == OPTIONS) {
        Some((option, ..)) => Error::Usage(format!("update: --{option}: {reason}")),
        None => Error::file(source, format!("{pointer}: {reason}")),
    }
}

fn change(directory: &Directory, state: &State, source: &str, text: &[u8]) -> Result<()> {
    let mut resources: Resources<'_> = spec::parse_part(Path::new(source), text)?;
    if let Some(memory) = resources.memory.as_ref().filter(|memory| memory.check_before_update == Some(true))
    {
        update::check_memory(&state.cgroups, memory.limit.unwrap_or(0), "/memory/limit")?;
    }
    let v2 = cgroup::facts()?.v1.is_none();
    update::complete(&state.cgroups, &mut resources);
    update::limits(&state.cgroups, &plan::plan_limits(&resources, v2, "")?)?;
    if let Some(rules) = &resources.devices {
        let kept = Some(directory).filter(|_| state.made.is_empty());
        update::policy(&state.cgroups, &plan::policy(rules, "/devices")?, kept)?;
    }
    Ok(())
}

/// `--resources FILE` or `-`, or what the single options say.
fn source(args: &Args) -> Result<(String, Vec<u8>)> {
    if let Some(file) = args.value("resources") {
        let mut text = Vec::new();
        if file == "-" {
            std::io::stdin().read_to_end(&mut text).host("read", "stdin")?;
            return Ok(("stdin".into(), text));
        }
        let text = std::fs::read(file).host("read", file.display())?;
        return Ok((file.display().to_string(), text));
    }
    let mut resources = Map::new();
    for (option, group, field) in FIELDS {
        let Some(value) = args.value(option) else { continue };
        let value = value.to_string_lossy();
        let number = match option {
            "cpuset-cpus" | "cpuset-mems" => Value::from(value.into_owned()),
            _ => json!(
                amount(&value)
                    .ok_or_else(|| { Error::Usage(format!("update: --{option}: {value:?} is no number")) })?
            ),
        };
        if let Some(group) = resources.entry(group).or_insert_with(|| json!({})).as_object_mut() {
            group.insert(field.into(), number);
        }
    }
    if resources.is_empty() {
        return Err(Error::Usage("update: nothing to change; see --help".into()));
    }
    Ok((OPTIONS.into(), Value::Object(resources).to_string().into_bytes()))
}

/// A number, for bytes also with a unit as engines write it: `64m`, `1g`.
fn amount(text: &str) -> Option<i64> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let (digits, shift) = match lower.chars().last()? {
        'k' => (lower.get(..lower.len() - 1)?, 10),
        'm' => (lower.get(..lower.len() - 1)?, 20),
        'g' => (lower.get(..lower.len() - 1)?, 30),
        _ => (lower, 0),
    };
    digits.parse::<i64>().ok()?.checked_mul(1 << shift)
}
