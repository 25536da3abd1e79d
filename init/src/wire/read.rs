//! Bodies in: serde-json-core cuts the tokens, the seeds here fill plain structs in place.
//!
//! The types are not recursive and unknown keys are refused, so nesting is bounded by the types
//! (five levels) and the parser's stack with it.

use core::cell::Cell;
use core::ffi::CStr;
use core::fmt;

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

/// Where a value goes. The types are few, so the code that reads them exists once.
pub enum Target<'x, 'de> {
    /// A truth value.
    Bool(&'x mut bool),
    /// A number.
    U32(&'x mut u32),
    /// A number.
    U64(&'x mut u64),
    /// A number with a sign.
    I32(&'x mut i32),
    /// The same, which may be absent.
    Maybe(&'x mut Option<i32>),
    /// A string.
    Text(&'x mut &'de CStr),
    /// A struct declared with `message!`.
    Object(&'x mut dyn Object<'de>),
    /// A list.
    List(&'x mut dyn List<'de>),
}

/// A value that is filled in place.
pub trait Field<'de> {
    /// Where it is.
    fn target(&mut self) -> Target<'_, 'de>;
}

/// A struct declared with `message!`.
pub trait Object<'de> {
    /// The field of a key, with its number; `place` is that of the key before.
    fn field(&mut self, key: &str, place: &mut Place) -> Option<(u32, Target<'_, 'de>)>;
}

/// A place among the keys of a message: that of the next one, if a body has them in their order.
#[derive(Default)]
pub struct Place {
    byte: usize,
    number: u32,
}

/// The number of a key among those of a message, which stand in one text, a space behind each: pointers
/// to each would take more room than the keys themselves. Looked for from `place` on, and then from the
/// beginning.
#[inline(never)]
pub fn number_of(keys: &str, key: &str, place: &mut Place) -> Option<u32> {
    for _ in 0..2 {
        while let Some(rest) = keys.as_bytes().get(place.byte..).filter(|rest| !rest.is_empty()) {
            let length = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
            let number = place.number;
            *place = Place { byte: place.byte + length + 1, number: number + 1 };
            if length == key.len() && rest.starts_with(key.as_bytes()) {
                return Some(number);
            }
        }
        *place = Place::default();
    }
    None
}

/// Reads the next element of a list to where it is told; false at the end of the list.
type Next<'n, 'de> = &'n mut dyn FnMut(Target<'_, 'de>) -> Result<bool, Stop>;

/// A list of values, which lies in the arena.
pub trait List<'de> {
    /// Reads element after element.
    fn collect(&mut self, source: &Source<'_, 'de>, next: Next<'_, 'de>) -> Result<(), Stop>;
}

/// The reading ends; why is noted elsewhere.
pub struct Stop;

/// Reads one body. All that `T` borrows afterwards lies in `arena`, not in `body`.
pub fn read<'a, T: Default + Object<'a>>(body: &'a [u8], arena: &Arena<'a>) -> Result<T, Malformed> {
    let source = Source {
        arena,
        start: body.as_ptr() as usize,
        last: Cell::new(body.as_ptr() as usize),
        reason: Cell::new(Reason::Syntax),
    };
    let mut value = T::default();
    read_object(body, &mut value, &source)
        .map(|()| value)
        .map_err(|Stop| Malformed { reason: source.reason.get(), offset: source.last.get() - source.start })
}

fn read_object<'a>(body: &'a [u8], value: &mut dyn Object<'a>, source: &Source<'_, 'a>) -> Result<(), Stop> {
    let mut tokens = Tokens::new(body, None);
    let read = Slot(Target::Object(value), source).deserialize(&mut tokens);
    read.and_then(|()| tokens.end()).map(drop).map_err(|_| Stop)
}

impl<'de> Source<'_, 'de> {
    /// Notes why the reading ends; the tokenizer's own error has no room for it.
    pub fn refuse<E: serde::de::Error>(&self, reason: Reason) -> E {
        self.reason.set(reason);
        E::custom("")
    }

    fn store(&self, text: &str) -> Result<&'de CStr, Reason> {
        if !text.bytes().any(|byte| matches!(byte, b'\\' | 0)) {
            return Ok(self.arena.plain(text.as_bytes())?);
        }
        self.arena.text(text.len(), Unescape { rest: text.as_bytes(), tail: Tail::default() })
    }
}

impl From<Full> for Reason {
    fn from(_: Full) -> Self {
        Self::Memory
    }
}

struct Slot<'x, 's, 'r, 'de>(Target<'x, 'de>, &'s Source<'r, 'de>);

impl<'de> DeserializeSeed<'de> for Slot<'_, '_, '_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        let Self(mut target, source) = self;
        let word = match &mut target {
            Target::Text(value) => {
                let text = input.deserialize_str(Raw(source))?;
                **value = source.store(text).map_err(|reason| source.refuse(reason))?;
                return Ok(());
            }
            Target::Object(object) => return input.deserialize_map(Fields(&mut **object, source)),
            Target::List(list) => return input.deserialize_seq(Elements(&mut **list, source)),
            Target::Bool(_) => input.deserialize_bool(Scalar)?,
            Target::U32(_) | Target::U64(_) => input.deserialize_u64(Scalar)?,
            Target::I32(_) | Target::Maybe(_) => input.deserialize_i64(Scalar)?,
        };
        let stored = match target {
            Target::Bool(value) => store(value, Ok(word != 0)),
            Target::U32(value) => store(value, u32::try_from(word)),
            Target::U64(value) => store(value, Ok(word)),
            Target::I32(value) => store(value, i32::try_from(word as i64)),
            Target::Maybe(value) => store(value, i32::try_from(word as i64).map(Some)),
            Target::Text(_) | Target::Object(_) | Target::List(_) => Ok(()),
        };
        stored.map_err(|reason| source.refuse(reason))
    }
}

fn store<T>(slot: &mut T, value: Result<T, core::num::TryFromIntError>) -> Result<(), Reason> {
    *slot = value.map_err(|_| Reason::Range)?;
    Ok(())
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

struct Fields<'x, 'r, 'de>(&'x mut dyn Object<'de>, &'x Source<'r, 'de>);

impl<'de> Visitor<'de> for Fields<'_, '_, 'de> {
    type Value = ();
    fn expecting(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (mut seen, mut place) = (0u64, Place::default());
        while let Some(key) = map.next_key_seed(Raw(self.1))? {
            let (number, target) =
                self.0.field(key, &mut place).ok_or_else(|| self.1.refuse(Reason::UnknownKey))?;
            if seen & (1 << number) != 0 {
                return Err(self.1.refuse(Reason::RepeatedKey));
            }
            seen |= 1 << number;
            map.next_value_seed(Slot(target, self.1))?;
        }
        Ok(())
    }
}

struct Elements<'x, 'r, 'de>(&'x mut dyn List<'de>, &'x Source<'r, 'de>);

impl<'de> Visitor<'de> for Elements<'_, '_, 'de> {
    type Value = ();
    fn expecting(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut error = None;
        let read = self.0.collect(self.1, &mut |target| {
            seq.next_element_seed(Slot(target, self.1)).map(|more| more.is_some()).map_err(|why| {
                error = Some(why);
                Stop
            })
        });
        read.map_err(|Stop| error.unwrap_or_else(|| self.1.refuse(Reason::Memory)))
    }
}

impl<'de, T: Field<'de> + Copy + Default> List<'de> for &'de [T] {
    fn collect(&mut self, source: &Source<'_, 'de>, next: Next<'_, 'de>) -> Result<(), Stop> {
        let mut list = source.arena.list();
        let mut element = T::default();
        while next(element.target())? {
            list.push(core::mem::take(&mut element)).map_err(|Full| Stop)?;
        }
        *self = list.finish().map_err(|Full| Stop)?;
        Ok(())
    }
}

impl<'de, T: Field<'de> + Copy + Default> Field<'de> for &'de [T] {
    fn target(&mut self) -> Target<'_, 'de> {
        Target::List(self)
    }
}

/// A number or a truth value, whatever the tokenizer finds; a negative one in two's complement.
struct Scalar;

impl Visitor<'_> for Scalar {
    type Value = u64;
    fn expecting(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
    fn visit_bool<E>(self, value: bool) -> Result<u64, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<u64, E> {
        Ok(value)
    }
    fn visit_i64<E>(self, value: i64) -> Result<u64, E> {
        Ok(value as u64)
    }
}

macro_rules! fields {
    ($($type:ty, $target:ident;)*) => {$(
        impl<'de> Field<'de> for $type {
            fn target(&mut self) -> Target<'_, 'de> {
                Target::$target(self)
            }
        }
    )*};
}
fields! {
    bool, Bool;
    u32, U32;
    u64, U64;
    i32, I32;
    Option<i32>, Maybe;
    &'de CStr, Text;
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
