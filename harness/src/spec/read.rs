//! From bytes to [`Spec`]: strict JSON, with the place of every mistake.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::Spec;
use crate::error::{Error, Result};

/// Longest config.json, in bytes.
pub const MAX_SIZE: u64 = 16 * 1024 * 1024;

/// Deepest nesting of arrays and objects.
const MAX_DEPTH: i32 = 127;

/// A JSON object of values of one type, in its order; a repeated key is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map<'a, T = Text<'a>>(pub Vec<(Text<'a>, T)>);

/// Text that borrows from the document unless it holds an escape. (`Cow` alone is always copied
/// inside of lists and options.)
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text<'a>(Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> std::result::Result<Self, D::Error> {
        struct Strings;
        impl<'de> Visitor<'de> for Strings {
            type Value = Cow<'de, str>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> std::result::Result<Cow<'de, str>, E> {
                Ok(Cow::Borrowed(text))
            }
            fn visit_str<E>(self, text: &str) -> std::result::Result<Cow<'de, str>, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        input.deserialize_str(Strings).map(Text)
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Map<'a, T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> std::result::Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Map<'de, T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Map<'de, T>, A::Error> {
                let mut entries: Vec<(Text<'de>, T)> = Vec::new();
                while let Some((key, value)) = map.next_entry()? {
                    if entries.iter().any(|(other, _)| *other == key) {
                        return Err(A::Error::custom(format_args!("duplicate field `{key}`")));
                    }
                    entries.push((key, value));
                }
                Ok(Map(entries))
            }
        }
        input.deserialize_map(Entries(PhantomData))
    }
}

/// Parses config.json. `path` is for messages.
pub fn parse<'a>(path: &Path, text: &'a [u8]) -> Result<Spec<'a>> {
    parse_part(path, text)
}

/// Parses a document that holds a part of config.json: a process, resources, a seccomp profile.
pub fn parse_part<'a, T: Deserialize<'a>>(path: &Path, text: &'a [u8]) -> Result<T> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(Error::file(path, "empty"));
    }
    let wrong = |at: usize, reason: &str| {
        let before = text.get(..at).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        Error::file(path, format!("{line}:{column}: {reason}"))
    };
    let text = std::str::from_utf8(text).map_err(|error| wrong(error.valid_up_to(), "not UTF-8"))?;
    if text.starts_with('\u{feff}') {
        return Err(Error::file(path, "1:1: byte order mark"));
    }
    if let Some(at) = too_deep(text.as_bytes()) {
        return Err(wrong(at, &format!("nested more than {MAX_DEPTH} levels deep")));
    }
    serde_json::from_str(text).map_err(|error| explain::<T>(path, text, &error))
}

/// How many brackets open, eight bytes at a time: the two that do differ in one bit.
fn openings(text: &[u8]) -> u32 {
    const LOW: u64 = u64::from_ne_bytes([0x7f; 8]);
    let (words, rest) = text.as_chunks();
    let count = |word: [u8; 8]| {
        let other =
            (u64::from_ne_bytes(word) | u64::from_ne_bytes([0x20; 8])) ^ u64::from_ne_bytes([b'{'; 8]);
        // The high bit of each byte that is zero, and of no other: a sum within a byte carries nowhere.
        (!(((other & LOW) + LOW) | other | LOW)).count_ones()
    };
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    words.iter().map(|word| count(*word)).sum::<u32>() + count(last)
}

/// Where the nesting exceeds [`MAX_DEPTH`]. The parser skips unknown values without recursion and
/// so without a limit of its own.
fn too_deep(text: &[u8]) -> Option<usize> {
    // So it is not with few brackets, which are quickly counted.
    if openings(text) <= MAX_DEPTH as u32 {
        return None;
    }
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Some(at);
                }
            }
            b']' | b'}' if !quoted => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The second look at a document that is wrong: it finds the JSON pointer of the mistake.
fn explain<'a, T: Deserialize<'a>>(path: &Path, text: &'a str, error: &serde_json::Error) -> Error {
    let (line, column) = (error.line(), error.column());
    let reason = error.to_string();
    let reason = reason.split(" at line ").next().unwrap_or_default();
    let mut input = serde_json::Deserializer::from_str(text);
    let place = match serde_path_to_error::deserialize::<_, T>(&mut input) {
        Err(error) if !error.inner().is_syntax() && !error.inner().is_eof() => pointer(error.path()),
        _ => String::new(),
    };
    let separator = if place.is_empty() { "" } else { ": " };
    Error::file(path, format!("{line}:{column}: {place}{separator}{reason}"))
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer += &format!("/{index}"),
            Segment::Map { key } => pointer += &format!("/{}", escape(key)),
            Segment::Enum { variant } => pointer += &format!("/{variant}"),
            Segment::Unknown => {}
        }
    }
    pointer
}

/// A key as a part of a JSON pointer (RFC 6901).
pub fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &[u8]) -> String {
        parse(Path::new("config.json"), text).err().map(|error| error.to_string()).unwrap()
    }

    #[test]
    fn brackets_are_counted() {
        for length in 0..20 {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = vec![b'}'; length];
                    text[at] = byte;
                    assert_eq!(openings(&text) == 1, b"[{".contains(&byte), "{byte} of {length}");
                }
            }
        }
        assert_eq!(openings(b"[[[{{{[[[{{{]]]"), 12);
    }

    #[test]
    fn mistakes_have_a_place() {
        assert_eq!(error(b" \n"), "config.json: empty");
        assert_eq!(error(b"\xef\xbb\xbf{}"), "config.json: 1:1: byte order mark");
        assert_eq!(error(b"{\n \"a\": \"\xff\"}"), "config.json: 2:8: not UTF-8");
        assert_eq!(error(b"{} x"), "config.json: 1:4: trailing characters");
        assert_eq!(error(b"{"), "config.json: 1:1: EOF while parsing an object");
        assert_eq!(
            error(br#"{"process":{"user":{"uid":"0"}}}"#),
            "config.json: 1:29: /process/user/uid: invalid type: string \"0\", expected u32"
        );
        assert_eq!(
            error(br#"{"process":{"user":{"uid":4294967296}}}"#),
            "config.json: 1:36: /process/user/uid: invalid value: integer `4294967296`, expected u32"
        );
        assert_eq!(
            error(br#"{"linux":{"namespaces":[{"type":"pid"},{"type":1e3}]}}"#),
            "config.json: 1:50: /linux/namespaces/1/type: invalid type: floating point `1000.0`, expected a string"
        );
        assert_eq!(
            error(br#"{"hostname":"a","hostname":"b"}"#),
            "config.json: 1:26: duplicate field `hostname`"
        );
        assert_eq!(
            error(br#"{"linux":{"sysctl":{"a":"1","a":"2"}}}"#),
            "config.json: 1:36: /linux/sysctl: duplicate field `a`"
        );
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = "[".repeat(200_000);
        assert_eq!(
            error(format!("{{\"x\":{deep}").as_bytes()),
            "config.json: 1:132: nested more than 127 levels deep"
        );
    }
}
