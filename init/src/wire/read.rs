//! Bodies in: serde-json-core cuts the tokens, the seeds here fill plain structs in place.
//!
//! The types are not recursive and unknown keys are refused, so nesting is bounded by the types
//! (five levels) and the parser's stack with it.

use core::cell::Cell;
use core::ffi::CStr;
use core::fmt;
use core::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json_core::de::Deserializer as Tokens;

use crate::sys::arena::{Arena, Full};

/// Why a body is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Not JSON, not UTF-8, or a value of another type.
    Syntax,
    /// A key that the message does not have.
    UnknownKey,
    /// A key that was there before.
    RepeatedKey,
    /// A number that its field cannot hold.
    Range,
    /// A NUL in a string.
    Nul,
    /// An escape that names no character.
    Escape,
    /// The arena is full.
    Memory,
}

/// A refused body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// Why.
    pub reason: Reason,
    /// Byte offset of the last key or string seen before the refusal.
    pub offset: usize,
}

/// What the readers share: the arena, and the place of the last token for error messages.
pub struct Source<'r, 'de> {
    arena: &'r Arena<'de>,
    start: usize,
    last: Cell<usize>,
    reason: Cell<Reason>,
}

/// A value that is filled in place from a token stream.
pub trait Field<'de> {
    /// Reads the value.
    fn fill<D: Deserializer<'de>>(&mut self, input: D, source: &Source<'_, 'de>) -> Result<(), D::Error>;
}

/// A struct declared with `message!`.
pub trait Object<'de> {
    /// Reads the value of `key`; `seen` has a bit for each field read before.
    fn entry<A: MapAccess<'de>>(
        &mut self,
        key: &str,
        map: &mut A,
        seen: &mut u64,
        source: &Source<'_, 'de>,
    ) -> Result<(), A::Error>;
}

/// Reads one body. All that `T` borrows afterwards lies in `arena`, not in `body`.
pub fn read<'a, T: Default + Object<'a>>(body: &'a [u8], arena: &Arena<'a>) -> Result<T, Malformed> {
    let source = Source {
        arena,
        start: body.as_ptr() as usize,
        last: Cell::new(body.as_ptr() as usize),
        reason: Cell::new(Reason::Syntax),
    };
    let mut value = T::default();
    let mut tokens = Tokens::new(body, None);
    value
        .fill(&mut tokens, &source)
        .and_then(|()| tokens.end())
        .map(|_| value)
        .map_err(|_| Malformed { reason: source.reason.get(), offset: source.last.get() - source.start })
}

impl<'de> Source<'_, 'de> {
    /// Notes why the reading ends; the tokenizer's own error has no room for it.
    pub fn refuse<E: serde::de::Error>(&self, reason: Reason) -> E {
        self.reason.set(reason);
        E::custom("")
    }

    /// Reads the value of a field unless its bit is set already.
    pub fn value<A: MapAccess<'de>, T: Field<'de>>(
        &self,
        map: &mut A,
        seen: &mut u64,
        bit: u64,
        field: &mut T,
    ) -> Result<(), A::Error> {
        if *seen & bit != 0 {
            return Err(self.refuse(Reason::RepeatedKey));
        }
        *seen |= bit;
        map.next_value_seed(Slot(field, self))
    }

    fn store(&self, text: &str) -> Result<&'de CStr, Reason> {
        self.arena.text(text.len(), Unescape { rest: text.as_bytes(), tail: Tail::default() })
    }
}

impl From<Full> for Reason {
    fn from(_: Full) -> Self {
        Self::Memory
    }
}

struct Slot<'x, 'r, 'de, T>(&'x mut T, &'x Source<'r, 'de>);

impl<'de, T: Field<'de>> DeserializeSeed<'de> for Slot<'_, '_, 'de, T> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        self.0.fill(input, self.1)
    }
}

/// A string as it stands in the body, escapes and all.
struct Raw<'x, 'r, 'de>(&'x Source<'r, 'de>);

impl<'de> DeserializeSeed<'de> for Raw<'_, '_, 'de> {
    type Value = &'de str;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<&'de str, D::Error> {
        input.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Raw<'_, '_, 'de> {
    type Value = &'de str;
    fn expecting(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<&'de str, E> {
        self.0.last.set(text.as_ptr() as usize);
        Ok(text)
    }
}

struct Fields<'x, 'r, 'de, T>(&'x mut T, &'x Source<'r, 'de>);

impl<'de, T: Object<'de>> Visitor<'de> for Fields<'_, '_, 'de, T> {
    type Value = ();
    fn expecting(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = 0;
        while let Some(key) = map.next_key_seed(Raw(self.1))? {
            self.0.entry(key, &mut map, &mut seen, self.1)?;
        }
        Ok(())
    }
}

impl<'de, T: Object<'de>> Field<'de> for T {
    fn fill<D: Deserializer<'de>>(&mut self, input: D, source: &Source<'_, 'de>) -> Result<(), D::Error> {
        input.deserialize_map(Fields(self, source))
    }
}

impl<'de> Field<'de> for &'de CStr {
    fn fill<D: Deserializer<'de>>(&mut self, input: D, source: &Source<'_, 'de>) -> Result<(), D::Error> {
        let text = input.deserialize_str(Raw(source))?;
        *self = source.store(text).map_err(|reason| source.refuse(reason))?;
        Ok(())
    }
}

struct Elements<'x, 'r, 'de, T>(&'x Source<'r, 'de>, PhantomData<T>);

impl<'de, T: Field<'de> + Copy + Default + 'de> Visitor<'de> for Elements<'_, '_, 'de, T> {
    type Value = &'de [T];
    fn expecting(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<&'de [T], A::Error> {
        let mut list = self.0.arena.list();
        let mut element = T::default();
        while seq.next_element_seed(Slot(&mut element, self.0))?.is_some() {
            list.push(core::mem::take(&mut element)).map_err(|full| self.0.refuse(full.into()))?;
        }
        list.finish().map_err(|full| self.0.refuse(full.into()))
    }
}

impl<'de, T: Field<'de> + Copy + Default + 'de> Field<'de> for &'de [T] {
    fn fill<D: Deserializer<'de>>(&mut self, input: D, source: &Source<'_, 'de>) -> Result<(), D::Error> {
        *self = input.deserialize_seq(Elements(source, PhantomData))?;
        Ok(())
    }
}

/// A number or a truth value, whatever the tokenizer finds.
struct Scalar;

impl Visitor<'_> for Scalar {
    type Value = i128;
    fn expecting(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
    fn visit_bool<E>(self, value: bool) -> Result<i128, E> {
        Ok(i128::from(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<i128, E> {
        Ok(i128::from(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<i128, E> {
        Ok(i128::from(value))
    }
}

macro_rules! scalar {
    ($($type:ty, $call:ident, $convert:expr;)*) => {$(
        impl<'de> Field<'de> for $type {
            fn fill<D: Deserializer<'de>>(&mut self, input: D, source: &Source<'_, 'de>) -> Result<(), D::Error> {
                let value = input.$call(Scalar)?;
                *self = $convert(value).map_err(|_| source.refuse(Reason::Range))?;
                Ok(())
            }
        }
    )*};
}
scalar! {
    u64, deserialize_u64, u64::try_from;
    u32, deserialize_u64, u32::try_from;
    i32, deserialize_i64, i32::try_from;
    bool, deserialize_bool, |value| Ok::<bool, ()>(value != 0);
    Option<i32>, deserialize_i64, |value| i32::try_from(value).map(Some);
}

/// Up to three bytes of an encoded character that are still to come.
#[derive(Default)]
struct Tail {
    bytes: [u8; 4],
    next: usize,
    end: usize,
}

/// The bytes that a JSON string stands for. A lone surrogate U+DCNN is the byte NN, which is how
/// the writer carries bytes that are no UTF-8 (as PEP 383 does).
struct Unescape<'a> {
    rest: &'a [u8],
    tail: Tail,
}

impl Unescape<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn hex(&mut self) -> Option<u32> {
        let mut value = 0;
        for _ in 0..4 {
            value = value * 16 + char::from(self.byte()?).to_digit(16)?;
        }
        Some(value)
    }

    fn escape(&mut self) -> Option<u8> {
        Some(match self.byte()? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.unicode(),
            _ => return None,
        })
    }

    fn unicode(&mut self) -> Option<u8> {
        let code = match self.hex()? {
            byte @ 0xdc80..=0xdcff => return Some(byte as u8),
            high @ 0xd800..=0xdbff => {
                if self.byte()? != b'\\' || self.byte()? != b'u' {
                    return None;
                }
                let low = self.hex()?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                0x1_0000 + ((high - 0xd800) << 10) + low
            }
            code => code,
        };
        let end = char::from_u32(code)?.encode_utf8(&mut self.tail.bytes).len();
        self.tail.next = 1;
        self.tail.end = end;
        self.tail.bytes.first().copied()
    }
}

impl Iterator for Unescape<'_> {
    type Item = Result<u8, Reason>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.tail.next < self.tail.end {
            let byte = self.tail.bytes.get(self.tail.next).copied()?;
            self.tail.next += 1;
            return Some(Ok(byte));
        }
        let byte = match self.byte()? {
            b'\\' => match self.escape() {
                Some(byte) => byte,
                None => return Some(Err(Reason::Escape)),
            },
            byte => byte,
        };
        Some(if byte == 0 { Err(Reason::Nul) } else { Ok(byte) })
    }
}
