//! Fields of the specification that are not implemented: read, so that they can be refused.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Whether a field says anything. Empty values, zero, `false` and `null` ask for nothing, and
/// engines write them freely.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unsupported(pub bool);

impl<'de> Deserialize<'de> for Unsupported {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Unsupported;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_unit<E>(self) -> Result<Unsupported, E> {
        Ok(Unsupported(false))
    }
    fn visit_bool<E>(self, value: bool) -> Result<Unsupported, E> {
        Ok(Unsupported(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Unsupported, E> {
        Ok(Unsupported(value != 0))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Unsupported, E> {
        Ok(Unsupported(value != 0))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Unsupported, E> {
        Ok(Unsupported(true))
    }
    fn visit_str<E>(self, value: &str) -> Result<Unsupported, E> {
        Ok(Unsupported(!value.is_empty()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Unsupported, A::Error> {
        let mut some = false;
        while seq.next_element::<Unsupported>()?.is_some() {
            some = true;
        }
        Ok(Unsupported(some))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unsupported, A::Error> {
        let mut some = false;
        while let Some((_, value)) = map.next_entry::<serde::de::IgnoredAny, Unsupported>()? {
            some |= value.0;
        }
        Ok(Unsupported(some))
    }
}
