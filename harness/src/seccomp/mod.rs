//! Seccomp: from `linux.seccomp` to a filter, without libseccomp. Pure: no file is read and no
//! call made, so the same profile gives the same bytes on every host.
//!
//! [`rules`] says what a profile means, [`compile`] makes it fast, [`Filter::section`] is what init
//! takes (PROTOCOL.md, "Frames").

pub mod action;
pub mod arch;
pub mod code;
pub mod compile;
pub mod engine;
pub mod machine;
pub mod rules;
pub mod table;
pub mod text;

pub use arch::Arch;
pub use code::Instruction;

use std::borrow::Cow;
use std::rc::Rc;

use machine::Call;
use rules::Rules;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::spec::Seccomp;

/// `SECCOMP_FILTER_FLAG_*` of linux/seccomp.h by their names in config.json.
const FLAGS: [(&str, u32); 4] = [
    // Init is one thread: there is nobody to synchronise with.
    ("SECCOMP_FILTER_FLAG_TSYNC", 0),
    ("SECCOMP_FILTER_FLAG_LOG", 2),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", SPEC_ALLOW),
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", WAIT_KILLABLE),
];
/// Version of a section.
const VERSION: u16 = 1;
/// Bytes in front of a section's instructions.
const HEADER: usize = 16;
const SPEC_ALLOW: u32 = 4;
const NEW_LISTENER: u32 = 8;
const WAIT_KILLABLE: u32 = 32;

/// The number of a call, for x32 without its bit.
pub fn find_number(arch: Arch, name: &str) -> Option<u32> {
    table::Finder::default().find(name).and_then(|row| arch.number(row))
}

/// The flags that may be asked for, for `features`.
pub fn flag_names() -> impl Iterator<Item = &'static str> {
    FLAGS.iter().map(|(name, _)| *name)
}

/// A compiled filter.
#[derive(Debug)]
pub struct Filter {
    /// What it means.
    pub rules: Rules,
    /// Its instructions.
    pub program: Vec<Instruction>,
    /// The architecture it is loaded on.
    pub native: Arch,
    /// Flags of seccomp(2).
    pub flags: u32,
    /// Who is notified, where somebody is.
    pub listener: Option<Listener>,
    /// What the profile asks for and does not get, each with its place.
    pub warnings: Vec<String>,
}

/// Who takes the notifications of a filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Path of its socket.
    pub path: String,
    /// Text for it.
    pub metadata: String,
}

/// A filter that init can be given.
#[derive(Debug)]
pub enum Ready {
    /// Compiled now.
    Compiled(Filter),
    /// Compiled before, of the same profile: [`Filter::section`].
    Kept(Rc<[u8]>),
}

impl Ready {
    /// The bytes that init takes.
    pub fn section(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Compiled(filter) => filter.section().into(),
            Self::Kept(section) => (**section).into(),
        }
    }

    /// How many instructions it has.
    pub fn length(&self) -> usize {
        self.section().len().saturating_sub(HEADER) / size_of::<u64>()
    }

    /// Who is notified, where somebody is.
    pub fn listener(&self) -> Option<&Listener> {
        match self {
            Self::Compiled(filter) => filter.listener.as_ref(),
            Self::Kept(_) => None,
        }
    }

    /// Whether it is new, and what init takes is all that matters of it.
    pub fn is_to_be_kept(&self) -> bool {
        matches!(self, Self::Compiled(filter) if filter.listener.is_none() && filter.warnings.is_empty())
    }
}

impl Filter {
    /// Compiles a profile for the architectures it names and `native`; `pointer` is its place.
    pub fn new(profile: &Seccomp<'_>, native: Arch, pointer: &str) -> Result<Self> {
        let rules = Rules::new(profile, native, pointer)?;
        let notifies = rules.actions.iter().chain([&rules.default]).any(|action| *action == action::NOTIFY);
        let listener = listener(profile, notifies, pointer)?;
        let flags = flags(profile, listener.is_some(), pointer)?;
        let program = compile::compile(&rules, pointer)?;
        let warnings = warnings(&rules, pointer);
        Ok(Self { rules, program, native, flags, listener, warnings })
    }

    /// The bytes that init takes: sixteen of header, then the instructions.
    pub fn section(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.program.len() * size_of::<u64>());
        bytes.extend_from_slice(b"BPFi");
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(self.program.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&self.native.audit().to_le_bytes());
        bytes.extend_from_slice(&self.flags.to_le_bytes());
        for one in &self.program {
            let ([code, more], [k, l, m, n]) = (one.code.to_le_bytes(), one.k.to_le_bytes());
            bytes.extend_from_slice(&[code, more, one.jt, one.jf, k, l, m, n]);
        }
        bytes
    }

    /// Whether bytes are a whole section, for this machine.
    pub fn is_section(bytes: &[u8]) -> bool {
        let Some((header, code)) = bytes.split_first_chunk::<HEADER>() else { return false };
        let [b'B', b'P', b'F', b'i', v, w, low, high, audit @ .., _, _, _, _] = header else { return false };
        let length = usize::from(u16::from_le_bytes([*low, *high])) * size_of::<u64>();
        [*v, *w] == VERSION.to_le_bytes()
            && *audit == Arch::native().audit().to_le_bytes()
            && (length, length > 0) == (code.len(), true)
    }

    /// Fails if the filter would not let init become the process: behind it nobody could say so.
    pub fn preflight(&self, no_new_privs: bool, pointer: &str) -> Result<()> {
        let needed: &[&str] = if no_new_privs { &["execve"] } else { &["capset", "execve"] };
        for name in needed {
            let Some(number) = find_number(self.native, name) else { continue };
            let call = Call { audit: self.native.audit(), number, args: [0; 6] };
            let (verdict, entry) = self.rules.evaluate(call.audit, number, &call.args);
            if self.rules.table(self.native).is_some_and(|table| !table.conditional(number).is_empty()) {
                // It depends on arguments that are not known yet.
                continue;
            }
            if !matches!(verdict & action::MASK, action::ALLOW | action::LOG | action::NOTIFY | action::TRACE)
            {
                let place = match entry {
                    Some(entry) => format!("{pointer}/syscalls/{entry}"),
                    None => format!("{pointer}/defaultAction"),
                };
                let reason = format!("{} for {name}, which starts the process", action::describe(verdict));
                return Err(Error::config(place, reason));
            }
        }
        Ok(())
    }
}

fn listener(profile: &Seccomp<'_>, notifies: bool, pointer: &str) -> Result<Option<Listener>> {
    let path = profile.listener_path.as_deref().filter(|path| !path.is_empty());
    let metadata = profile.listener_metadata.as_deref().filter(|text| !text.is_empty());
    let wrong = |field: &str, reason: &str| Err(Error::config(format!("{pointer}/{field}"), reason));
    match (path, notifies) {
        (None, true) => wrong("listenerPath", "missing, and SCMP_ACT_NOTIFY needs a listener"),
        (None, false) if metadata.is_some() => wrong("listenerMetadata", "needs listenerPath"),
        (Some(path), _) if !path.starts_with('/') => wrong("listenerPath", "must be absolute"),
        // Nobody is notified, so nobody is told.
        (_, false) => Ok(None),
        (Some(path), true) => {
            Ok(Some(Listener { path: path.to_owned(), metadata: metadata.unwrap_or_default().to_owned() }))
        }
    }
}

/// Absent flags are `SPEC_ALLOW`, as in other runtimes; an empty list is none.
fn flags(profile: &Seccomp<'_>, listens: bool, pointer: &str) -> Result<u32> {
    let Some(list) = &profile.flags else { return Ok(SPEC_ALLOW | if listens { NEW_LISTENER } else { 0 }) };
    let mut flags = if listens { NEW_LISTENER } else { 0 };
    for (index, name) in list.iter().enumerate() {
        let wrong = |reason: String| Error::config(format!("{pointer}/flags/{index}"), reason);
        let found = FLAGS.iter().find(|(known, _)| *known == &**name);
        let (_, flag) = found.ok_or_else(|| wrong(format!("unknown flag {:?}", &**name)))?;
        if *flag == WAIT_KILLABLE && !listens {
            return Err(wrong("needs a rule with SCMP_ACT_NOTIFY".into()));
        }
        flags |= flag;
    }
    Ok(flags)
}

fn warnings(rules: &Rules, pointer: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    if !rules.unknown.is_empty() {
        let names = rules.unknown.join(", ");
        warnings.push(format!("{pointer}/syscalls: unknown system calls are ignored: {names}"));
    }
    warnings
}
