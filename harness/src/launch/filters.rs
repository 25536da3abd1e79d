//! Seccomp filters that were compiled before: engines give all their containers one profile, and compiling
//! that of Docker takes a tenth of what a create takes.
//!
//! A file holds the profile that its filter was made of, and is for that profile alone, word for word: its
//! name says no more than where to look. Another build of the compiler does not take it. Who can change what
//! is kept there is root, and could change any other state of `--root` as well.

use std::path::Path;
use std::rc::Rc;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::settle;
use crate::error::{Context, Result};
use crate::seccomp::Filter;
use crate::spec::{Seccomp, SeccompArg, SeccompRule, Spec, Text};
use crate::state::Store;

/// Directory below `--root`; no id begins with a dot.
const DIRECTORY: &str = ".template.filters";

/// Most filters that are kept, before all of them go: engines have few profiles, but somebody may have one for
/// each container, and builds that are gone have left theirs.
const MOST: usize = 64;

/// Largest file that is looked at: the longest filter, and a profile that is no stranger than others.
const LARGEST: usize = 1024 * 1024;

/// What the compiler is made of.
const BUILD: &str = env!("SECCOMP_SOURCES");

/// What a filter is made of: the profile, and whether `no_new_privs` is set when it is loaded, on which
/// depends what it must allow.
#[derive(Clone, Copy)]
pub struct Origin<'o> {
    profile: &'o Seccomp<'o>,
    no_new_privs: bool,
}

impl<'o> Origin<'o> {
    /// What the filter of a container is made of, if it has one.
    pub fn of(spec: &'o Spec<'_>) -> Option<Self> {
        let profile = spec.linux.as_ref()?.seccomp.as_deref()?;
        let process = spec.process.as_ref();
        let no_new_privs = process.is_none_or(|process| process.no_new_privileges.unwrap_or(false));
        Some(Self { profile, no_new_privs })
    }

    /// Everything of it, in one way that tells it from every other. No field is left out, nor will be.
    fn write(&self, put: &mut dyn FnMut(&[u8])) {
        let Seccomp {
            default_action,
            default_errno_ret,
            architectures,
            flags,
            listener_path,
            listener_metadata,
            syscalls,
        } = self.profile;
        put(BUILD.as_bytes());
        put(&[u8::from(self.no_new_privs)]);
        for text in [default_action, listener_path, listener_metadata] {
            write_option(text.as_ref(), put, |text, put| write_text(text, put));
        }
        write_option(*default_errno_ret, put, |errno, put| put(&errno.to_le_bytes()));
        for list in [architectures, flags] {
            write_option(list.as_ref(), put, |list, put| write_texts(list, put));
        }
        write_option(syscalls.as_ref(), put, |rules, put| {
            put(&rules.len().to_le_bytes());
            for rule in rules {
                write_rule(rule, put);
            }
        });
    }

    /// Where its filter is looked for: a sum as hash tables use it, good for nothing but that.
    fn name(&self) -> String {
        let mut sum = 0_u64;
        self.write(&mut |bytes| {
            for chunk in bytes.chunks(8) {
                let mut word = [0; 8];
                if let Some(head) = word.get_mut(..chunk.len()) {
                    head.copy_from_slice(chunk);
                }
                sum = (sum.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x517c_c1b7_2722_0a95);
            }
        });
        format!("{DIRECTORY}/{sum:016x}")
    }

    /// What comes behind it in `file`, if that begins with it.
    fn strip<'f>(&self, file: &'f [u8]) -> Option<&'f [u8]> {
        let mut rest = Some(file);
        self.write(&mut |bytes| rest = rest.and_then(|rest| rest.strip_prefix(bytes)));
        rest
    }
}

fn write_rule(rule: &SeccompRule<'_>, put: &mut dyn FnMut(&[u8])) {
    let SeccompRule { names, action, errno_ret, args } = rule;
    write_texts(names, put);
    write_text(action, put);
    write_option(*errno_ret, put, |errno, put| put(&errno.to_le_bytes()));
    write_option(args.as_ref(), put, |args, put| {
        put(&args.len().to_le_bytes());
        for SeccompArg { index, value, value_two, op } in args {
            put(&index.to_le_bytes());
            put(&value.to_le_bytes());
            write_option(*value_two, put, |value, put| put(&value.to_le_bytes()));
            write_text(op, put);
        }
    });
}

fn write_option<T>(value: Option<T>, put: &mut dyn FnMut(&[u8]), write: impl Fn(T, &mut dyn FnMut(&[u8]))) {
    put(&[u8::from(value.is_some())]);
    if let Some(value) = value {
        write(value, put);
    }
}

fn write_text(text: &str, put: &mut dyn FnMut(&[u8])) {
    put(&text.len().to_le_bytes());
    put(text.as_bytes());
}

fn write_texts(list: &[Text<'_>], put: &mut dyn FnMut(&[u8])) {
    put(&list.len().to_le_bytes());
    for text in list {
        write_text(text, put);
    }
}

/// The filter of a profile as init takes it, if it was compiled before; anything that is wrong with it is as
/// good as none.
pub fn find(root: &Path, origin: Origin<'_>) -> Option<Rc<[u8]>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(root.join(origin.name()), flags, Mode::empty()).ok()?;
    let found = rustix::fs::fstat(&file).ok()?;
    let own = found.st_uid == crate::sys::effective_uid() && found.st_mode & 0o022 == 0;
    let size = usize::try_from(found.st_size).ok().filter(|size| *size <= LARGEST)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile || !own {
        return None;
    }
    let mut text = Vec::with_capacity(size + 1);
    rustix::io::read(&file, rustix::buffer::spare_capacity(&mut text)).ok()?;
    origin.strip(&text).filter(|section| Filter::is_section(section)).map(Rc::from)
}

/// Keeps a filter for the next container.
pub fn keep(store: &Store, origin: Origin<'_>, section: &[u8]) -> Result<()> {
    let directory = store.path().join(DIRECTORY);
    match rustix::fs::mkdir(&directory, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno).host("mkdir", directory.display()),
    }
    let mut text = Vec::new();
    origin.write(&mut |bytes| text.extend_from_slice(bytes));
    text.extend_from_slice(section);
    if text.len() > LARGEST {
        return Ok(());
    }
    let entries = std::fs::read_dir(&directory).host("read", directory.display())?;
    let there: Vec<_> = entries.flatten().collect();
    if there.len() >= MOST {
        for file in there {
            std::fs::remove_file(file.path()).host("remove", directory.display())?;
        }
    }
    let now = init_core::sys::clock(linux_raw_sys::general::CLOCK_REALTIME);
    let new = directory.join(format!("{}-{now}", std::process::id()));
    settle::replace(&store.path().join(origin.name()), &new, 0o600, &text)
}

/// Removes all of them.
pub fn remove(store: &Store) -> Result<()> {
    let directory = store.path().join(DIRECTORY);
    match std::fs::remove_dir_all(&directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done.host("remove", directory.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(text: &str) -> Seccomp<'_> {
        serde_json::from_str(text).unwrap()
    }

    fn bytes(text: &str, no_new_privs: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        let profile = profile(text);
        Origin { profile: &profile, no_new_privs }.write(&mut |more| bytes.extend_from_slice(more));
        bytes
    }

    #[test]
    fn every_part_of_a_profile_counts() {
        let texts = [
            "{}",
            r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#,
            r#"{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1}"#,
            r#"{"architectures":["a","b"]}"#,
            r#"{"architectures":["ab"]}"#,
            r#"{"flags":["a","b"]}"#,
            r#"{"flags":[]}"#,
            r#"{"listenerPath":"a"}"#,
            r#"{"listenerMetadata":"a"}"#,
            r#"{"syscalls":[]}"#,
            r#"{"syscalls":[{"names":["a"],"action":"b"}]}"#,
            r#"{"syscalls":[{"names":["a"],"action":"b","errnoRet":0}]}"#,
            r#"{"syscalls":[{"names":["a"],"action":"b","args":[]}]}"#,
            r#"{"syscalls":[{"names":["a"],"action":"b","args":[{"index":0,"value":1,"op":"c"}]}]}"#,
            r#"{"syscalls":[{"names":["a"],"action":"b","args":[{"index":0,"value":2,"op":"c"}]}]}"#,
            r#"{"syscalls":[{"names":["a"],"action":"b","args":[{"index":0,"value":1,"valueTwo":1,"op":"c"}]}]}"#,
        ];
        let mut all: Vec<Vec<u8>> = texts.iter().map(|text| bytes(text, true)).collect();
        all.push(bytes("{}", false));
        for (index, one) in all.iter().enumerate() {
            for other in all.get(index + 1..).unwrap() {
                assert!(!one.starts_with(other) && !other.starts_with(one), "{index}");
            }
        }
    }

    #[test]
    fn what_follows_is_found_behind_the_same_profile_only() {
        let (one, other) = (profile(r#"{"flags":["a"]}"#), profile(r#"{"flags":["b"]}"#));
        let one = Origin { profile: &one, no_new_privs: true };
        let mut file = Vec::new();
        one.write(&mut |bytes| file.extend_from_slice(bytes));
        file.extend_from_slice(b"section");
        assert_eq!(one.strip(&file), Some(&b"section"[..]));
        assert_eq!(Origin { profile: &other, no_new_privs: true }.strip(&file), None);
        assert_eq!(one.strip(&file[..8]), None);
    }
}
