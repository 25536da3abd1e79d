//! From a profile to flat rules: numbers instead of names, one list an architecture, precedence
//! decided. What a filter means is defined here; the compiler only makes it fast.
//!
//! Precedence: an unconditional rule of a call beats every conditional one, and of two the first;
//! then the first conditional rule that matches, in the order of the profile. A rule whose action
//! is the default one does not count.

use super::action;
use super::arch::Arch;
use super::table::{Finder, Row};
use crate::error::{Error, Result};
use crate::spec::{Seccomp, SeccompRule};

/// A comparison of config.json.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// `SCMP_CMP_NE`.
    Ne,
    /// `SCMP_CMP_LT`.
    Lt,
    /// `SCMP_CMP_LE`.
    Le,
    /// `SCMP_CMP_EQ`.
    Eq,
    /// `SCMP_CMP_GE`.
    Ge,
    /// `SCMP_CMP_GT`.
    Gt,
    /// `SCMP_CMP_MASKED_EQ` with its mask.
    MaskedEq(u64),
}

/// A condition on an argument. Both sides are unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Condition {
    /// 0 to 5.
    pub index: u8,
    /// Comparison.
    pub op: Op,
    /// Operand.
    pub value: u64,
}

/// A rule with conditions, all of which must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditional {
    /// Number of the call.
    pub number: u32,
    /// Element of the profile's `syscalls`.
    pub entry: u16,
    /// Conditions; at least one.
    pub conditions: Vec<Condition>,
}

/// The rules of one architecture.
#[derive(Debug)]
pub struct Table {
    /// Architecture.
    pub arch: Arch,
    /// Element of `syscalls` plus 1, by number; 0 for none.
    unconditional: Vec<u16>,
    /// Calls with numbers far above the others.
    private: Vec<(u32, u16)>,
    /// Rules with conditions, by number, then in order.
    pub conditional: Vec<Conditional>,
    /// The highest number that the profile names, if it names any.
    pub highest: Option<u32>,
}

/// A profile, flat.
#[derive(Debug)]
pub struct Rules {
    /// What happens to calls that no rule is about.
    pub default: u32,
    /// Action by element of `syscalls`.
    pub actions: Vec<u32>,
    /// Tables, the native architecture first.
    pub tables: Vec<Table>,
    /// Names that no table has.
    pub unknown: Vec<String>,
    /// Elements of which an argument is compared more than once: each comparison became a rule of
    /// its own, as in other runtimes.
    pub split: Vec<usize>,
}

/// Numbers below this are indexes.
const DENSE: usize = 1024;

impl Table {
    fn new(arch: Arch) -> Self {
        Self {
            arch,
            unconditional: vec![0; DENSE],
            private: Vec::new(),
            conditional: Vec::new(),
            highest: None,
        }
    }

    /// The unconditional rule of a number.
    pub fn unconditional(&self, number: u32) -> Option<u16> {
        let entry = match self.unconditional.get(number as usize) {
            Some(entry) => *entry,
            None => {
                self.private.iter().find(|(private, _)| *private == number).map_or(0, |(_, entry)| *entry)
            }
        };
        entry.checked_sub(1)
    }

    /// The conditional rules of a number, in order.
    pub fn conditional(&self, number: u32) -> &[Conditional] {
        let start = self.conditional.partition_point(|rule| rule.number < number);
        let end = self.conditional.partition_point(|rule| rule.number <= number);
        self.conditional.get(start..end).unwrap_or_default()
    }

    /// Every number with a rule, in order.
    pub fn numbers(&self) -> Vec<u32> {
        let dense = self.unconditional.iter().zip(0u32..).filter(|(entry, _)| **entry != 0);
        let mut numbers: Vec<u32> = dense.map(|(_, number)| number).collect();
        numbers.extend(self.private.iter().map(|(number, _)| *number));
        numbers.extend(self.conditional.iter().map(|rule| rule.number));
        // Two or three sorted runs, which only the stable sort is quick with.
        #[allow(clippy::stable_sort_primitive)]
        numbers.sort();
        numbers.dedup();
        numbers
    }

    fn add(&mut self, number: u32, entry: u16, conditions: &[Vec<Condition>]) {
        if !conditions.is_empty() {
            let new =
                |conditions: &Vec<Condition>| Conditional { number, entry, conditions: conditions.clone() };
            self.conditional.extend(conditions.iter().map(new));
            return;
        }
        if self.unconditional(number).is_some() {
            return;
        }
        match self.unconditional.get_mut(number as usize) {
            Some(slot) => *slot = entry + 1,
            None => self.private.push((number, entry + 1)),
        }
    }

    fn name(&mut self, number: u32) {
        if !self.arch.is_private(number) {
            self.highest = self.highest.max(Some(number));
        }
    }
}

/// What engines' own profiles have for other architectures, or for kernels that never were: nobody's
/// mistake, and no warning at every start.
const ELSEWHERE: [&str; 3] = ["swapcontext", "syscall", "timerfd"];

impl Rules {
    /// Flattens a profile for the architectures it names and `native`.
    pub fn new(profile: &Seccomp<'_>, native: Arch, pointer: &str) -> Result<Self> {
        let default_action = profile.default_action.as_deref().unwrap_or_default();
        let places = || ["defaultAction", "defaultErrnoRet"].map(|field| format!("{pointer}/{field}"));
        let default = action::parse(default_action, profile.default_errno_ret, places)?;
        let tables = architectures(profile, native, pointer)?.into_iter().map(Table::new).collect();
        let mut rules = Self { default, actions: Vec::new(), tables, unknown: Vec::new(), split: Vec::new() };
        let mut finder = Finder::default();
        for (index, rule) in profile.syscalls.iter().flatten().enumerate() {
            let pointer = format!("{pointer}/syscalls/{index}");
            rules.add(rule, index, &pointer, &mut finder)?;
        }
        for table in &mut rules.tables {
            table.conditional.sort_by_key(|rule| rule.number);
        }
        Ok(rules)
    }

    fn add(
        &mut self,
        rule: &SeccompRule<'_>,
        index: usize,
        pointer: &str,
        finder: &mut Finder,
    ) -> Result<()> {
        let places = || ["action", "errnoRet"].map(|field| format!("{pointer}/{field}"));
        let verdict = action::parse(&rule.action, rule.errno_ret, places)?;
        self.actions.push(verdict);
        let (alternatives, split) = conditions(rule, pointer)?;
        if split {
            self.split.push(index);
        }
        if rule.names.is_empty() {
            return Err(Error::config(format!("{pointer}/names"), "empty"));
        }
        let entry = u16::try_from(index).ok().filter(|entry| *entry < u16::MAX);
        let entry = entry.ok_or_else(|| Error::config(pointer, "more than 65535 rules"))?;
        for name in &rule.names {
            let Some(row) = finder.find(name) else {
                let new = !self.unknown.iter().any(|known| *known == **name);
                if new && !ELSEWHERE.contains(&&**name) {
                    self.unknown.push(name.to_string());
                }
                continue;
            };
            for table in &mut self.tables {
                one(table, row, entry, &alternatives, verdict == self.default);
            }
        }
        Ok(())
    }

    /// The rules of an architecture.
    pub fn table(&self, arch: Arch) -> Option<&Table> {
        self.tables.iter().find(|table| table.arch == arch)
    }

    /// What happens to a call, and the element of `syscalls` that decides it. This is the meaning
    /// of a profile; compiled filters are held against it.
    pub fn evaluate(&self, audit: u32, number: u32, args: &[u64; 6]) -> (u32, Option<u16>) {
        let Some((arch, number)) = Arch::of(audit, number) else { return (action::KILL_THREAD, None) };
        let Some(table) = self.table(arch) else { return (action::KILL_THREAD, None) };
        let of =
            |entry: u16| (self.actions.get(usize::from(entry)).copied().unwrap_or(self.default), Some(entry));
        if let Some(entry) = table.unconditional(number) {
            return of(entry);
        }
        let matching = table
            .conditional(number)
            .iter()
            .find(|rule| rule.conditions.iter().all(|condition| condition.holds(args, table.arch.is_wide())));
        match matching {
            Some(rule) => of(rule.entry),
            None => (self.fallback(table, number), None),
        }
    }

    /// What happens to a number that no rule decides: calls that are newer than the profile do not
    /// exist, so that programs fall back to older ones. A profile that names none is about all.
    pub fn fallback(&self, table: &Table, number: u32) -> u32 {
        let permissive = matches!(self.default & action::MASK, action::ALLOW | action::LOG | action::TRACE);
        if permissive || table.highest.is_none_or(|highest| number <= highest) {
            self.default
        } else {
            action::UNKNOWN_CALL
        }
    }
}

impl Condition {
    /// Whether the arguments satisfy it; on architectures of 32 bits both sides have 32.
    pub fn holds(&self, args: &[u64; 6], wide: bool) -> bool {
        let cut = |value: u64| if wide { value } else { value & u64::from(u32::MAX) };
        let argument = cut(args.get(usize::from(self.index)).copied().unwrap_or_default());
        let value = cut(self.value);
        match self.op {
            Op::Ne => argument != value,
            Op::Lt => argument < value,
            Op::Le => argument <= value,
            Op::Eq => argument == value,
            Op::Ge => argument >= value,
            Op::Gt => argument > value,
            // Operand bits outside the mask do not count, as in libseccomp.
            Op::MaskedEq(mask) => argument & cut(mask) == value & cut(mask),
        }
    }
}

/// Adds a call to a table, and where it is multiplexed there the call it goes through, whose first
/// argument tells which one is meant.
fn one(table: &mut Table, row: &Row, entry: u16, alternatives: &[Vec<Condition>], is_default: bool) {
    if let Some(number) = table.arch.number(row) {
        table.name(number);
        if !is_default {
            table.add(number, entry, alternatives);
        }
    }
    let Some((number, call)) = row.multiplexed.filter(|_| table.arch == Arch::X86) else { return };
    table.name(number);
    if is_default {
        return;
    }
    let which = Condition { index: 0, op: Op::Eq, value: call.into() };
    let through = |conditions: &[Condition]| {
        let others = conditions.iter().filter(|condition| condition.index != 0).copied();
        std::iter::once(which).chain(others).collect::<Vec<_>>()
    };
    match alternatives {
        [] => table.add(number, entry, &[vec![which]]),
        some => table.add(number, entry, &some.iter().map(|one| through(one)).collect::<Vec<_>>()),
    }
}

/// The architectures of a profile, the native one first and always.
fn architectures(profile: &Seccomp<'_>, native: Arch, pointer: &str) -> Result<Vec<Arch>> {
    let mut list = vec![native];
    for (index, name) in profile.architectures.iter().flatten().enumerate() {
        match Arch::find(name).filter(|_| name.starts_with("SCMP_ARCH_")) {
            Some(arch) if !list.contains(&arch) => list.push(arch),
            Some(_) => {}
            None if Arch::is_foreign(name) || &**name == "SCMP_ARCH_NATIVE" => {}
            None => {
                return Err(Error::config(
                    format!("{pointer}/architectures/{index}"),
                    format!("unknown architecture {:?}", &**name),
                ));
            }
        }
    }
    Ok(list)
}

/// The alternatives of a rule, any of which may hold; none for an unconditional one. True where an
/// argument was compared twice, which makes every comparison an alternative.
fn conditions(rule: &SeccompRule<'_>, pointer: &str) -> Result<(Vec<Vec<Condition>>, bool)> {
    let mut all = Vec::new();
    for (index, arg) in rule.args.iter().flatten().enumerate() {
        let wrong = |field: &str, reason: String| {
            Err(Error::config(format!("{pointer}/args/{index}/{field}"), reason))
        };
        let op = match &*arg.op {
            "SCMP_CMP_NE" => Op::Ne,
            "SCMP_CMP_LT" => Op::Lt,
            "SCMP_CMP_LE" => Op::Le,
            "SCMP_CMP_EQ" => Op::Eq,
            "SCMP_CMP_GE" => Op::Ge,
            "SCMP_CMP_GT" => Op::Gt,
            "SCMP_CMP_MASKED_EQ" => Op::MaskedEq(arg.value),
            other => return wrong("op", format!("unknown comparison {other:?}")),
        };
        let value = if matches!(op, Op::MaskedEq(_)) { arg.value_two.unwrap_or(0) } else { arg.value };
        if arg.index > 5 {
            return wrong("index", format!("{} exceeds 5", arg.index));
        }
        all.push(Condition { index: arg.index as u8, op, value });
    }
    let twice =
        all.iter().enumerate().any(|(at, one)| all.iter().take(at).any(|other| other.index == one.index));
    Ok(match all.len() {
        0 => (Vec::new(), false),
        _ if twice => (all.into_iter().map(|one| vec![one]).collect(), true),
        _ => (vec![all], false),
    })
}
