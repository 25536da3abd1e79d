//! The device policy of cgroup v2: a program of type `BPF_PROG_TYPE_CGROUP_DEVICE`.
//!
//! The common list, "deny everything, then allow these", becomes a few tests with shared exits and
//! one bit test a major number: 20 instructions for the default list. Everything else becomes the
//! rules from last to first.

use std::collections::BTreeMap;

use rbpf::insn_builder::{Arch, BpfCode, Cond, Instruction, IntoBytes, MemSize, Source};

use crate::plan::{EVERY, Rule, Scope, base};

/// `BPF_DEVCG_DEV_BLOCK` of linux/bpf.h.
const BLOCK: u32 = 1;
/// `BPF_DEVCG_DEV_CHAR`.
const CHAR: u32 = 2;

// Registers. r0 is the verdict and starts as "allow".
const VERDICT: u8 = 0;
const CONTEXT: u8 = 1;
const TYPE: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const BIT: u8 = 6;

/// Where a jump goes.
#[derive(Clone, Copy)]
enum To {
    Allow,
    Deny,
    /// Past that many instructions.
    Over(i16),
}

enum Step {
    Load(u8, i16),
    MoveRegister(u8, u8),
    Move(u8, u32),
    ShiftRight(u8, u32),
    ShiftLeft(u8, u8),
    And(u8, u32),
    Jump(Cond, u8, u32, To),
    Always(To),
}

/// Compiles a policy: the last rule that matches decides, for each bit of the access on its own.
/// `None` where everything is allowed, or there is no policy at all: neither needs a program.
pub fn compile(rules: &[Rule]) -> Option<Vec<u8>> {
    if rules.is_empty() {
        return None;
    }
    let base = base(rules);
    let allowed = base.and_then(|base| rules.get(base)).is_some_and(|rule| rule.allow);
    let rest = rules.get(base.map_or(0, |base| base + 1)..).unwrap_or_default();
    // Allowing more changes nothing once everything is allowed.
    if allowed && rest.iter().all(|rule| rule.allow) {
        return None;
    }
    let mut steps = vec![
        Step::Move(VERDICT, 1),
        Step::Load(TYPE, 0),
        Step::MoveRegister(ACCESS, TYPE),
        Step::ShiftRight(ACCESS, 16),
    ];
    if !allowed && rest.iter().all(|rule| rule.allow) {
        union(rest, &mut steps);
    } else {
        steps.extend([Step::And(TYPE, 0xffff), Step::Load(MAJOR, 4), Step::Load(MINOR, 8)]);
        for rule in rest.iter().rev() {
            one(*rule, &mut steps);
        }
        if allowed {
            steps.push(Step::Always(To::Allow));
        }
    }
    Some(assemble(&steps))
}

/// Rules that only allow: their order does not matter, so they can be sorted and merged.
fn union(rules: &[Rule], steps: &mut Vec<Step>) {
    let any = |kind: Scope| {
        let of = |rule: &&Rule| {
            (rule.scope == kind || rule.scope == Scope::All) && rule.major.is_none() && rule.minor.is_none()
        };
        rules.iter().filter(of).fold(0, |bits, rule| bits | rule.access)
    };
    // What every device of both types may: taken off the access before anything else is looked at.
    let common = any(Scope::Char) & any(Scope::Block);
    if common != 0 {
        steps.extend([Step::And(ACCESS, EVERY & !common), Step::Jump(Cond::Equals, ACCESS, 0, To::Allow)]);
    }
    steps.push(Step::And(TYPE, 0xffff));
    let mut whole: Vec<u32> = Vec::new();
    let mut bits: BTreeMap<u32, u32> = BTreeMap::new();
    let mut others: Vec<Rule> = Vec::new();
    for rule in rules {
        let complete = rule.scope == Scope::Char && rule.access | common == EVERY;
        match (rule.major, rule.minor) {
            (None, None) if rule.access | common == common => {}
            (Some(major), None) if complete => whole.push(major),
            (Some(major), Some(minor @ 0..=30)) if complete => *bits.entry(major).or_default() |= 1 << minor,
            _ => others.push(*rule),
        }
    }
    let loaded = !others.is_empty();
    if loaded {
        steps.extend([Step::Load(MAJOR, 4), Step::Load(MINOR, 8)]);
        for rule in others {
            one(rule, steps);
        }
    }
    if whole.is_empty() && bits.is_empty() {
        return;
    }
    steps.push(Step::Jump(Cond::NotEquals, TYPE, CHAR, To::Deny));
    if !loaded {
        steps.push(Step::Load(MAJOR, 4));
    }
    for major in whole {
        steps.push(Step::Jump(Cond::Equals, MAJOR, major, To::Allow));
    }
    if bits.is_empty() {
        return;
    }
    if !loaded {
        steps.push(Step::Load(MINOR, 8));
    }
    steps.extend([
        Step::Jump(Cond::Greater, MINOR, 30, To::Deny),
        Step::Move(BIT, 1),
        Step::ShiftLeft(BIT, MINOR),
    ]);
    for (major, mask) in bits {
        steps.push(Step::Jump(Cond::NotEquals, MAJOR, major, To::Over(1)));
        steps.push(Step::Jump(Cond::BitAnd, BIT, mask, To::Allow));
    }
}

/// One rule: on a match it decides about its bits of the access.
fn one(rule: Rule, steps: &mut Vec<Step>) {
    let mut tests = Vec::new();
    match rule.scope {
        Scope::All => {}
        Scope::Char => tests.push((TYPE, CHAR)),
        Scope::Block => tests.push((TYPE, BLOCK)),
    }
    tests.extend(rule.major.map(|major| (MAJOR, major)));
    tests.extend(rule.minor.map(|minor| (MINOR, minor)));
    let decision = match (rule.allow, rule.access) {
        (true, EVERY) => vec![Step::Always(To::Allow)],
        (true, access) => {
            vec![Step::And(ACCESS, EVERY & !access), Step::Jump(Cond::Equals, ACCESS, 0, To::Allow)]
        }
        (false, EVERY) => vec![Step::Always(To::Deny)],
        (false, access) => vec![Step::Jump(Cond::BitAnd, ACCESS, access, To::Deny)],
    };
    for (index, (register, value)) in tests.iter().enumerate() {
        let over = tests.len() - index - 1 + decision.len();
        steps.push(Step::Jump(Cond::NotEquals, *register, *value, To::Over(over as i16)));
    }
    steps.extend(decision);
}

/// Encodes the steps; after the last one comes the denial, then the one exit.
fn assemble(steps: &[Step]) -> Vec<u8> {
    let mut code = BpfCode::new();
    let deny = steps.len();
    for (index, step) in steps.iter().enumerate() {
        let offset = |to: To| match to {
            To::Over(count) => count,
            To::Deny => (deny - index - 1) as i16,
            To::Allow => (deny - index) as i16,
        };
        match *step {
            Step::Load(register, field) => {
                code.load_x(MemSize::Word).set_dst(register).set_src(CONTEXT).set_off(field).push();
            }
            Step::MoveRegister(to, from) => {
                code.mov(Source::Reg, Arch::X64).set_dst(to).set_src(from).push();
            }
            Step::Move(to, value) => {
                code.mov(Source::Imm, Arch::X64).set_dst(to).set_imm(value as i32).push();
            }
            Step::ShiftRight(to, value) => {
                code.right_shift(Source::Imm, Arch::X64).set_dst(to).set_imm(value as i32).push();
            }
            Step::ShiftLeft(to, by) => {
                code.left_shift(Source::Reg, Arch::X64).set_dst(to).set_src(by).push();
            }
            Step::And(to, value) => {
                code.bit_and(Source::Imm, Arch::X64).set_dst(to).set_imm(value as i32).push();
            }
            Step::Jump(condition, register, value, to) => {
                let jump = code.jump_conditional(condition, Source::Imm);
                jump.set_dst(register).set_imm(value as i32).set_off(offset(to)).push();
            }
            Step::Always(to) => {
                code.jump_unconditional().set_off(offset(to)).push();
            }
        }
    }
    code.mov(Source::Imm, Arch::X64).set_dst(VERDICT).set_imm(0).push();
    code.exit().push();
    code.into_bytes().to_vec()
}

#[cfg(test)]
mod tests;
