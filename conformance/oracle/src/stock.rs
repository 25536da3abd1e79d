//! The filter that seccompiler makes by itself: one architecture, one action for all rules.

use std::collections::BTreeMap;

use harness_oracle::engines;
use harness_oracle::seccomp::{Arch, Instruction, action, find_number};
use harness_oracle::spec::SeccompRule as Entry;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

/// Compiles the rules that allow.
pub fn compile(text: &str) -> Result<Vec<Instruction>, String> {
    let target = engines::target(Arch::X86_64, &[]);
    let profile = engines::parse(text, &target).map_err(|error| error.to_string())?;
    // Without rules: any call.
    let mut calls: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let allowing = profile.syscalls.iter().flatten().filter(|entry| &*entry.action == "SCMP_ACT_ALLOW");
    for entry in allowing {
        for number in entry.names.iter().filter_map(|name| find_number(Arch::X86_64, name)) {
            match (rule(entry)?, calls.get_mut(&i64::from(number))) {
                (Some(rule), Some(rules)) if !rules.is_empty() => rules.push(rule),
                (Some(_), Some(_)) => {}
                (rule, _) => {
                    calls.insert(i64::from(number), rule.into_iter().collect());
                }
            }
        }
    }
    let default = profile.default_action.as_deref().unwrap_or_default();
    let default = action::parse(default, profile.default_errno_ret, Default::default);
    let default = default.map_err(|error| error.to_string())?;
    let mismatch = SeccompAction::Errno(default & !action::MASK);
    let filter = SeccompFilter::new(calls, mismatch, SeccompAction::Allow, TargetArch::x86_64);
    let program = filter.and_then(BpfProgram::try_from).map_err(|error| error.to_string())?;
    Ok(program.iter().map(|one| Instruction { code: one.code, jt: one.jt, jf: one.jf, k: one.k }).collect())
}

fn rule(entry: &Entry<'_>) -> Result<Option<SeccompRule>, String> {
    let mut conditions = Vec::new();
    for arg in entry.args.iter().flatten() {
        let (op, value) = match &*arg.op {
            "SCMP_CMP_NE" => (SeccompCmpOp::Ne, arg.value),
            "SCMP_CMP_EQ" => (SeccompCmpOp::Eq, arg.value),
            "SCMP_CMP_MASKED_EQ" => (SeccompCmpOp::MaskedEq(arg.value), arg.value_two.unwrap_or_default()),
            other => return Err(format!("profiles of engines had no {other} so far")),
        };
        let condition = SeccompCondition::new(arg.index as u8, SeccompCmpArgLen::Qword, op, value);
        conditions.push(condition.map_err(|error| error.to_string())?);
    }
    if conditions.is_empty() {
        return Ok(None);
    }
    SeccompRule::new(conditions).map(Some).map_err(|error| error.to_string())
}
