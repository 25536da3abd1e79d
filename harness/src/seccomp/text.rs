//! Filters for people: a listing with the reason of each part, and lints of profiles.

use std::fmt::Write;

use super::arch::{Arch, X32_BIT};
use super::code::{AND, AT_LEAST, EQUAL, GREATER, Instruction, JUMP, LOAD, RETURN};
use super::rules::{Condition, Conditional, Op, Rules, Table};
use super::{Filter, action};

/// A listing of the program, one instruction a line: its number, what it does, and where the
/// verdict comes from or what the number means.
pub fn listing(filter: &Filter) -> String {
    let mut text = String::new();
    let mut audit = None;
    for (at, one) in filter.program.iter().enumerate() {
        let next = at + 1;
        let (yes, no) = (next + usize::from(one.jt), next + usize::from(one.jf));
        let meaning = meaning(&filter.rules, *one, &mut audit);
        let what = match one.code {
            LOAD => format!("load {}", field(one.k)),
            AND => format!("and {:#x}", one.k),
            JUMP => format!("jump {}", next + one.k as usize),
            RETURN => format!("return {}", action::describe(one.k)),
            EQUAL => format!("if == {:#x} then {yes} else {no}", one.k),
            GREATER => format!("if > {:#x} then {yes} else {no}", one.k),
            AT_LEAST => format!("if >= {:#x} then {yes} else {no}", one.k),
            other => format!("code {other:#x}"),
        };
        let line = format!("{at:>5}  {what:<44}{meaning}");
        let _to_a_string = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// A field of `struct seccomp_data`.
fn field(offset: u32) -> String {
    match offset {
        0 => "number".into(),
        4 => "architecture".into(),
        _ => {
            let half = if offset.is_multiple_of(8) { "low" } else { "high" };
            format!("argument {} {half}", offset.saturating_sub(16) / 8)
        }
    }
}

/// What a constant stands for: an architecture, or the name of the first call of an interval.
fn meaning(rules: &Rules, one: Instruction, audit: &mut Option<u32>) -> String {
    if one.code == EQUAL && rules.tables.iter().any(|table| table.arch.audit() == one.k) {
        *audit = Some(one.k);
        let names = rules.tables.iter().filter(|table| table.arch.audit() == one.k);
        return format!("; {}", names.map(|table| table.arch.name()).collect::<Vec<_>>().join(", "));
    }
    if one.code != AT_LEAST {
        return String::new();
    }
    let x32 = *audit == Some(Arch::X86_64.audit()) && one.k >= X32_BIT;
    let arch = rules
        .tables
        .iter()
        .find(|table| Some(table.arch.audit()) == *audit && (table.arch == Arch::X32) == x32);
    let number = if x32 { one.k - X32_BIT } else { one.k };
    let name = arch.and_then(|table| table.arch.name_of(number));
    name.map_or_else(String::new, |name| format!("; {name}"))
}

/// A condition for people.
pub fn condition(one: &Condition) -> String {
    let argument = format!("arg{}", one.index);
    match one.op {
        Op::Ne => format!("{argument} != {:#x}", one.value),
        Op::Lt => format!("{argument} < {:#x}", one.value),
        Op::Le => format!("{argument} <= {:#x}", one.value),
        Op::Eq => format!("{argument} == {:#x}", one.value),
        Op::Ge => format!("{argument} >= {:#x}", one.value),
        Op::Gt => format!("{argument} > {:#x}", one.value),
        Op::MaskedEq(mask) => format!("{argument} & {mask:#x} == {:#x}", one.value),
    }
}

/// What is likely not meant in a profile; `conditional` names it as the rules have it.
pub fn lints(filter: &Filter) -> Vec<String> {
    let rules = &filter.rules;
    let mut lints = filter.warnings.clone();
    for index in &rules.split {
        lints.push(format!(
            "/syscalls/{index}: an argument is compared twice, so any one of the comparisons is enough"
        ));
    }
    let Some(table) = rules.table(filter.native) else { return lints };
    lints.extend(unreached(table));
    lints.extend(overlapping(rules, table));
    lints.extend(narrow(table));
    lints.extend(socketcall(rules));
    if let Err(error) = filter.preflight(true, "") {
        lints.push(error.to_string().replace("config.json: ", ""));
    }
    lints
}

fn name(table: &Table, number: u32) -> String {
    table.arch.name_of(number).map_or_else(|| number.to_string(), str::to_owned)
}

/// Conditional rules of calls that have an unconditional one.
fn unreached(table: &Table) -> Vec<String> {
    let hidden = table.conditional.iter().filter_map(|rule| {
        let entry = table.unconditional(rule.number)?;
        let name = name(table, rule.number);
        Some(format!(
            "/syscalls/{}: never reached for {name}: /syscalls/{entry} is unconditional",
            rule.entry
        ))
    });
    hidden.collect()
}

/// Rules of one call with different actions that may both match: the first decides.
fn overlapping(rules: &Rules, table: &Table) -> Vec<String> {
    let mut lints = Vec::new();
    let action = |rule: &Conditional| rules.actions.get(usize::from(rule.entry));
    for (at, rule) in table.conditional.iter().enumerate() {
        if table.unconditional(rule.number).is_some() {
            continue;
        }
        let later = table.conditional.iter().skip(at + 1).filter(|other| other.number == rule.number);
        for other in later.filter(|other| action(other) != action(rule) && !disjoint(rule, other)) {
            lints.push(format!(
                "/syscalls/{} and /syscalls/{}: both may match {}, with different actions; the first decides",
                rule.entry,
                other.entry,
                name(table, rule.number)
            ));
        }
    }
    // A rule that was split is still one element of the profile.
    lints.dedup();
    lints
}

/// Two rules that compare one argument with `==` to different values, or with `==` and `!=` to one.
fn disjoint(one: &Conditional, other: &Conditional) -> bool {
    one.conditions.iter().any(|a| {
        other.conditions.iter().any(|b| {
            a.index == b.index
                && match (a.op, b.op) {
                    (Op::Eq, Op::Eq) => a.value != b.value,
                    (Op::Eq, Op::Ne) | (Op::Ne, Op::Eq) => a.value == b.value,
                    _ => false,
                }
        })
    })
}

/// Calls whose first argument the kernel reads as 32 bits.
const NARROW: [&str; 7] = ["personality", "socket", "socketpair", "ioctl", "fcntl", "prctl", "futex"];

/// Comparisons of all 64 bits of an argument of which the kernel looks at 32.
fn narrow(table: &Table) -> Vec<String> {
    let mut lints = Vec::new();
    for rule in &table.conditional {
        let name = name(table, rule.number);
        let denies = rule.conditions.iter().any(|one| one.index < 2 && !matches!(one.op, Op::MaskedEq(_)));
        if table.arch.is_wide() && NARROW.contains(&name.as_str()) && denies {
            lints.push(format!(
                "/syscalls/{}: {name} takes an int, and all 64 bits of it are compared: other high bits do not match",
                rule.entry
            ));
        }
    }
    lints.dedup();
    lints
}

/// `socketcall` open to all while `socket` is looked at: its arguments lie in memory, where a filter
/// cannot see them.
fn socketcall(rules: &Rules) -> Vec<String> {
    let filtered = |table: &Table, name: &str| {
        let number = super::table::Finder::default().find(name).and_then(|row| table.arch.number(row));
        number.is_some_and(|number| {
            table.unconditional(number).is_none() && !table.conditional(number).is_empty()
        })
    };
    let Some(x86) = rules.table(Arch::X86) else { return Vec::new() };
    let open = x86.unconditional(102).is_some_and(|entry| {
        rules.actions.get(usize::from(entry)).is_some_and(|action| *action == action::ALLOW)
    });
    if open && rules.tables.iter().any(|table| filtered(table, "socket")) {
        vec![
            "socketcall is allowed on X86 while socket is filtered: the filter cannot see its arguments"
                .into(),
        ]
    } else {
        Vec::new()
    }
}
