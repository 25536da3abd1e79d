//! The compiler: per architecture a balanced tree over intervals of numbers, neighbours with the
//! same verdict merged. What conditions cost is seccompiler's code; how a number finds them is ours.

use seccompiler::{BpfProgram, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

use super::action;
use super::arch::{Arch, X32_BIT};
use super::code::{
    AND, ARCHITECTURE, AT_LEAST, Code, EQUAL, GREATER, Instruction, JUMP, LOAD, Label, NUMBER, RETURN,
};
use super::rules::{Conditional, Op, Rules, Table};
use crate::error::{Error, Result};

/// `BPF_MAXINSNS` of linux/bpf_common.h.
const MOST: usize = 4096;

/// What numbers from `start` on lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Interval {
    start: u32,
    leaf: Leaf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Leaf {
    Verdict(u32),
    /// Instructions that decide by the arguments and return.
    Chain(Vec<Instruction>),
}

/// Compiles flat rules; `pointer` is the place of their profile.
pub fn compile(rules: &Rules, pointer: &str) -> Result<Vec<Instruction>> {
    let mut code = Code::default();
    let mut next = code.verdict(action::KILL_THREAD);
    let mut audits: Vec<u32> = Vec::new();
    for table in &rules.tables {
        if !audits.contains(&table.arch.audit()) {
            audits.push(table.arch.audit());
        }
    }
    // From the last to the first, so that the native architecture is the first to be asked for.
    for audit in audits.iter().rev() {
        let intervals = intervals(rules, *audit)?;
        let tree = tree(&mut code, &intervals);
        let start = code.load(NUMBER, tree);
        next = code.branch(EQUAL, *audit, start, next);
    }
    code.load(ARCHITECTURE, next);
    let program = code.finish();
    if program.len() > MOST {
        let reason = format!("{} instructions, more than the {MOST} that the kernel accepts", program.len());
        return Err(Error::config(format!("{pointer}/syscalls"), reason));
    }
    Ok(program)
}

/// All numbers of an architecture as the kernel tells them apart, cut where the verdict changes.
fn intervals(rules: &Rules, audit: u32) -> Result<Vec<Interval>> {
    let mut list = Vec::new();
    let of = |arch: Arch| rules.tables.iter().find(|table| table.arch == arch);
    if audit != Arch::X86_64.audit() {
        for table in rules.tables.iter().filter(|table| table.arch.audit() == audit) {
            cut(rules, table, 0, u32::MAX, &mut list)?;
        }
        return Ok(list);
    }
    let foreign = |start| Interval { start, leaf: Leaf::Verdict(action::KILL_THREAD) };
    match of(Arch::X86_64) {
        Some(table) => cut(rules, table, 0, X32_BIT - 1, &mut list)?,
        None => list.push(foreign(0)),
    }
    match of(Arch::X32) {
        Some(table) => cut(rules, table, X32_BIT, u32::MAX - 1, &mut list)?,
        None => merge(&mut list, foreign(X32_BIT)),
    }
    // -1 is what a tracer makes of a call that it skips, not a number of x32.
    let verdict = of(Arch::X86_64).map_or(action::KILL_THREAD, |table| rules.fallback(table, u32::MAX));
    merge(&mut list, Interval { start: u32::MAX, leaf: Leaf::Verdict(verdict) });
    Ok(list)
}

/// The intervals of a table, whose numbers begin at `base`.
fn cut(rules: &Rules, table: &Table, base: u32, last: u32, list: &mut Vec<Interval>) -> Result<()> {
    let mut next = 0u32;
    for number in table.numbers() {
        if next < number {
            gap(rules, table, base, (next, number), list);
        }
        let leaf = match table.unconditional(number) {
            Some(entry) => {
                Leaf::Verdict(rules.actions.get(usize::from(entry)).copied().unwrap_or(rules.default))
            }
            None => chain(rules, table, number)?,
        };
        merge(list, Interval { start: base + number, leaf });
        next = number + 1;
    }
    if base + next <= last {
        gap(rules, table, base, (next, last - base), list);
    }
    Ok(())
}

/// Numbers without a rule, cut at the highest one that the profile names.
fn gap(rules: &Rules, table: &Table, base: u32, (first, end): (u32, u32), list: &mut Vec<Interval>) {
    let verdict = |number| Leaf::Verdict(rules.fallback(table, number));
    merge(list, Interval { start: base + first, leaf: verdict(first) });
    let Some(beyond) = table.highest.map(|highest| highest + 1) else { return };
    if first < beyond && beyond < end {
        merge(list, Interval { start: base + beyond, leaf: verdict(beyond) });
    }
}

fn merge(list: &mut Vec<Interval>, interval: Interval) {
    if list.last().is_none_or(|last| last.leaf != interval.leaf) {
        list.push(interval);
    }
}

/// The rules of a number one after the other; the first that matches returns.
fn chain(rules: &Rules, table: &Table, number: u32) -> Result<Leaf> {
    let mut piece = Vec::new();
    for rule in table.conditional(number) {
        piece.extend(conditions(rule, table.arch.is_wide())?);
        let verdict = rules.actions.get(usize::from(rule.entry)).copied().unwrap_or(rules.default);
        piece.push(Instruction { code: RETURN, jt: 0, jf: 0, k: verdict });
    }
    piece.push(Instruction { code: RETURN, jt: 0, jf: 0, k: rules.fallback(table, number) });
    Ok(Leaf::Chain(piece))
}

/// The code of a rule's conditions: it falls off its end if all hold, and else jumps one past it
/// (held by the test `seccompiler_keeps_its_contract`).
pub fn conditions(rule: &Conditional, wide: bool) -> Result<Vec<Instruction>> {
    let broken = |error| Error::State(format!("seccompiler: {error}"));
    let mut list = Vec::with_capacity(rule.conditions.len());
    for condition in &rule.conditions {
        let op = match condition.op {
            Op::Ne => SeccompCmpOp::Ne,
            Op::Lt => SeccompCmpOp::Lt,
            Op::Le => SeccompCmpOp::Le,
            Op::Eq => SeccompCmpOp::Eq,
            Op::Ge => SeccompCmpOp::Ge,
            Op::Gt => SeccompCmpOp::Gt,
            Op::MaskedEq(mask) => SeccompCmpOp::MaskedEq(mask),
        };
        let width = if wide { SeccompCmpArgLen::Qword } else { SeccompCmpArgLen::Dword };
        list.push(SeccompCondition::new(condition.index, width, op, condition.value).map_err(broken)?);
    }
    let program = BpfProgram::from(SeccompRule::new(list).map_err(broken)?);
    let convert =
        |one: &seccompiler::sock_filter| Instruction { code: one.code, jt: one.jt, jf: one.jf, k: one.k };
    Ok(tidy(program.iter().map(convert).collect()))
}

/// Takes out what decides nothing: the two jumps in front of a rule, which are for rules in a row,
/// and comparisons of a masked half with 0 under the mask 0.
fn tidy(mut code: Vec<Instruction>) -> Vec<Instruction> {
    let is_jump = |one: Option<&Instruction>| one.is_some_and(|one| one.code == JUMP);
    while is_jump(code.first()) && is_jump(code.get(1)) {
        code.drain(..2);
    }
    let idle = |window: &[Instruction]| match window {
        [load, and, equal] => {
            (load.code, and.code, and.k) == (LOAD, AND, 0) && (equal.code, equal.k, equal.jt) == (EQUAL, 0, 0)
        }
        _ => false,
    };
    while let Some(at) = code.windows(3).position(idle) {
        cut_out(&mut code, at, 3);
    }
    code
}

/// Removes instructions and shortens the jumps over them. Nothing jumps into them.
fn cut_out(code: &mut Vec<Instruction>, at: usize, count: usize) {
    for (place, one) in code.iter_mut().enumerate().take(at) {
        let over = |distance: usize| place + 1 + distance >= at + count;
        if one.code == JUMP {
            one.k -= if over(one.k as usize) { count as u32 } else { 0 };
        } else if matches!(one.code, EQUAL | GREATER | AT_LEAST) {
            one.jt -= if over(usize::from(one.jt)) { count as u8 } else { 0 };
            one.jf -= if over(usize::from(one.jf)) { count as u8 } else { 0 };
        }
    }
    code.drain(at..at + count);
}

/// A balanced tree; the right half is written first, since everything is written backwards.
fn tree(code: &mut Code, intervals: &[Interval]) -> Label {
    match intervals {
        [] => code.verdict(action::KILL_THREAD),
        [one] => match &one.leaf {
            Leaf::Verdict(value) => code.verdict(*value),
            Leaf::Chain(piece) => code.chain(piece),
        },
        // One number that differs from those around it takes one comparison.
        [around, one, after] if around.leaf == after.leaf && after.start == one.start + 1 => {
            let yes = tree(code, std::slice::from_ref(one));
            let no = tree(code, std::slice::from_ref(around));
            code.branch(EQUAL, one.start, yes, no)
        }
        more => {
            let (left, right) = more.split_at(more.len() / 2);
            let start = right.first().map_or(0, |first| first.start);
            let above = tree(code, right);
            let below = tree(code, left);
            code.branch(AT_LEAST, start, above, below)
        }
    }
}
