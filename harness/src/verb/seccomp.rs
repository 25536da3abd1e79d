//! `seccomp compile | check | explain | dis`: the compiler without a container.

use std::path::Path;

use serde_json::json;

use crate::cli::{Args, Global};
use crate::error::{Context, Error, Result};
use crate::seccomp::engine::{self, Target};
use crate::seccomp::machine::{self, Call};
use crate::seccomp::{Arch, Filter, action, find_number, text};

/// Carries out one of the tools.
pub fn run(_: &Global, args: &Args) -> Result<u8> {
    let tool = args.text(0)?.unwrap_or_default();
    if !["compile", "check", "explain", "dis"].contains(&tool) {
        return Err(Error::Usage(format!("seccomp: unknown tool {tool:?}: compile, check, explain or dis")));
    }
    let path = args.text(1)?.ok_or_else(|| Error::Usage(format!("seccomp {tool}: PROFILE is missing")))?;
    let profile = std::fs::read(path).host("read", path)?;
    let target = target(args)?;
    let parsed = engine::parse(Path::new(path), &profile, &target)?;
    let filter = Filter::new(&parsed, target.arch, "").map_err(|error| in_file(error, path))?;
    match tool {
        "compile" => compile(args, &filter, path),
        "check" => check(args, &filter, path),
        "dis" => super::print(&text::listing(&filter)).map(|()| 0),
        _ => explain(args, &filter),
    }
}

/// The place of a mistake is in the profile, not in config.json.
fn in_file(error: Error, path: &str) -> Error {
    match error {
        Error::Config { pointer, reason } => Error::file(path, format!("{pointer}: {reason}")),
        error => error,
    }
}

fn target(args: &Args) -> Result<Target> {
    let arch = match args.value("arch") {
        None => Arch::native(),
        Some(name) => {
            let unknown = || {
                Error::Usage(format!(
                    "seccomp: --arch: unknown architecture {:?}",
                    name.display().to_string()
                ))
            };
            let found = Arch::find(&name.to_string_lossy());
            found.ok_or_else(unknown)?
        }
    };
    let names = args.values("caps").flat_map(|list| {
        list.to_string_lossy()
            .split(',')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    Ok(Target { arch, capabilities: names.collect(), kernel: kernel(args)? })
}

/// The oldest kernel that the filter is for; only profiles with `minKernel` ask.
fn kernel(args: &Args) -> Result<(u32, u32)> {
    let Some(text) = args.value("kernel") else { return Ok((5, 12)) };
    let text = text.to_string_lossy();
    let (major, minor) = text.split_once('.').unwrap_or((&text, "0"));
    let number = |part: &str| part.parse().ok();
    number(major)
        .zip(number(minor))
        .ok_or_else(|| Error::Usage(format!("seccomp: --kernel: {text:?} is no version")))
}

fn compile(args: &Args, filter: &Filter, path: &str) -> Result<u8> {
    let output =
        args.value("output").ok_or_else(|| Error::Usage("seccomp compile: -o FILE is missing".into()))?;
    for warning in &filter.warnings {
        eprintln!("warning: {path}: {warning}");
    }
    std::fs::write(output, filter.section()).host("write", output.display())?;
    if args.has("json") {
        super::print(&format!(
            "{}\n",
            json!({
                "architecture": filter.native.name(), "instructions": filter.program.len(),
                "bytes": filter.section().len(), "flags": filter.flags,
            })
        ))?;
    }
    Ok(0)
}

fn check(args: &Args, filter: &Filter, path: &str) -> Result<u8> {
    let lints = text::lints(filter);
    if args.has("json") {
        super::print(&format!("{}\n", json!({ "instructions": filter.program.len(), "lints": lints })))?;
    } else {
        let lines: String = lints.iter().map(|lint| format!("{path}: {lint}\n")).collect();
        super::print(&lines)?;
    }
    Ok(if lints.is_empty() { 0 } else { super::NO })
}

/// The verdict on a call, and what decides it. Without arguments each is taken as 0.
fn explain(args: &Args, filter: &Filter) -> Result<u8> {
    let name = args.text(2)?.ok_or_else(|| Error::Usage("seccomp explain: SYSCALL is missing".into()))?;
    let number = name.parse().ok().or_else(|| find_number(filter.native, name));
    let number = number.ok_or_else(|| {
        Error::Usage(format!("seccomp explain: {} has no system call {name:?}", filter.native.name()))
    })?;
    let mut values = [0u64; 6];
    for (slot, text) in values.iter_mut().zip(args.rest(3)) {
        let text = text.to_string_lossy();
        let parsed = match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse::<u64>().ok().or_else(|| text.parse::<i64>().ok().map(|value| value as u64)),
        };
        *slot = parsed.ok_or_else(|| Error::Usage(format!("seccomp explain: {text:?} is no number")))?;
    }
    let call = Call { audit: filter.native.audit(), number, args: values };
    let (verdict, entry) = filter.rules.evaluate(call.audit, number, &values);
    let steps = machine::run(&filter.program, &call).map_or(0, |(_, steps)| steps);
    let because = match entry {
        Some(entry) => format!("syscalls[{entry}]"),
        None if verdict != filter.rules.default => "the profile knows no call of that number".into(),
        None => "defaultAction".into(),
    };
    let conditions: Vec<String> = filter
        .rules
        .table(filter.native)
        .iter()
        .flat_map(|table| table.conditional(number))
        .filter(|rule| Some(rule.entry) == entry)
        .map(|rule| rule.conditions.iter().map(text::condition).collect::<Vec<_>>().join(" and "))
        .collect();
    if args.has("json") {
        super::print(&format!(
            "{}\n",
            json!({
                "syscall": name, "number": number, "action": action::describe(verdict), "rule": entry, "conditions": conditions,
                "instructions": steps,
            })
        ))?;
    } else {
        let reason =
            if conditions.is_empty() { String::new() } else { format!(" ({})", conditions.join(" or ")) };
        super::print(&format!(
            "{} {name}: {} by {because}{reason}\n",
            filter.native.name(),
            action::describe(verdict)
        ))?;
    }
    let allowed = matches!(verdict & action::MASK, action::ALLOW | action::LOG);
    Ok(if allowed { 0 } else { super::NO })
}
