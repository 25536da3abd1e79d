//! Calls to hold filters against: around every number and every operand that a profile names.

use std::collections::BTreeSet;

use crate::seccomp::arch::{Arch, X32_BIT};
use crate::seccomp::machine::{self, Call};
use crate::seccomp::rules::{Conditional, Op, Rules};
use crate::seccomp::{Filter, action};

/// How many calls there are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breadth {
    /// Every number of every table, each that has conditions with the operands of all rules.
    Wide,
    /// Numbers that the profile names and their neighbours, each with the operands of its own rules.
    Near,
}

/// Numbers where something begins or ends: x32, the sign, the private ones of 32-bit ARM.
const EDGES: [u32; 11] = [
    0,
    0x3fff_ffff,
    X32_BIT,
    0x7fff_ffff,
    0x8000_0000,
    u32::MAX - 1,
    u32::MAX,
    0xf_0000,
    0xf_0001,
    0xf_0005,
    0xf_0007,
];

/// Argument vectors around the operands of some rules.
pub fn vectors<'a>(rules: impl Iterator<Item = &'a Conditional>) -> Vec<[u64; 6]> {
    let mut vectors = vec![[0; 6], [u64::MAX; 6]];
    for rule in rules {
        for condition in &rule.conditions {
            let (value, mask) =
                (condition.value, if let Op::MaskedEq(mask) = condition.op { mask } else { u64::MAX });
            for value in [
                value,
                value.wrapping_add(1),
                value.wrapping_sub(1),
                value.wrapping_add(1 << 32),
                value.wrapping_sub(1 << 32),
                value & 0xffff_ffff,
                value | !mask,
                !value,
            ] {
                for base in [0, u64::MAX] {
                    let mut vector = [base; 6];
                    for other in &rule.conditions {
                        vector[usize::from(other.index)] = other.value;
                    }
                    vector[usize::from(condition.index)] = value;
                    vectors.push(vector);
                }
            }
        }
    }
    vectors.sort_unstable();
    vectors.dedup();
    vectors
}

fn numbers(rules: &Rules, breadth: Breadth) -> BTreeSet<u32> {
    let bases: Vec<u32> = match breadth {
        Breadth::Wide => (0..620).chain(0xf_0000..0xf_0008).collect(),
        Breadth::Near => {
            let named =
                rules.tables.iter().flat_map(|table| table.numbers().into_iter().chain(table.highest));
            named.flat_map(|number| [number.saturating_sub(1), number, number + 1]).collect()
        }
    };
    bases.into_iter().flat_map(|number| [number, number | X32_BIT]).chain(EDGES).collect()
}

/// Calls `sample` with each of them.
pub fn each(rules: &Rules, breadth: Breadth, mut sample: impl FnMut(&Call)) {
    // Two architectures share a value, and two values belong to none.
    let audits: BTreeSet<u32> = Arch::ALL.map(Arch::audit).into_iter().chain([0, 1]).collect();
    let plain = vectors(std::iter::empty());
    let all = vectors(rules.tables.iter().flat_map(|table| &table.conditional));
    for number in numbers(rules, breadth) {
        let own = || rules.tables.iter().flat_map(|table| table.conditional(number & !X32_BIT));
        let near;
        let vectors = match breadth {
            _ if own().next().is_none() => &plain,
            Breadth::Wide => &all,
            Breadth::Near => {
                near = vectors(own());
                &near
            }
        };
        for audit in &audits {
            for args in vectors {
                sample(&Call { audit: *audit, number, args: *args });
            }
        }
    }
}

/// Holds the compiled filter in the machine against the rules; how many samples that were.
///
/// # Panics
/// At the first difference.
pub fn check(filter: &Filter, breadth: Breadth) -> u64 {
    let mut samples = 0;
    each(&filter.rules, breadth, |call| {
        let (meant, _) = filter.rules.evaluate(call.audit, call.number, &call.args);
        let verdict = machine::run(&filter.program, call).map(|(verdict, _)| verdict);
        assert_eq!(verdict.map(action::describe), Some(action::describe(meant)), "{call:x?}");
        samples += 1;
    });
    samples
}
