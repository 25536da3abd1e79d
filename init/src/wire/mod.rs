//! The protocol between harness and init (`PROTOCOL.md`): frames, and JSON bodies whose types
//! are declared once, with `message!`, for both directions and both sides. No I/O here.

mod frame;
mod read;
mod write;

pub use frame::{
    BadHeader, HEADER_LENGTH, Header, Kind, MAGIC, MAX_CONFIG, MAX_FILTER, MAX_INLINE, MAX_MESSAGE, VERSION,
};
pub use read::{Field, List, Malformed, Object, Place, Reason, Source, Stop, Target, number_of, read};
pub use write::{Sink, Value, Writer};

/// Declares messages: plain structs of which every field has a default, with reader and writer.
///
/// The reader refuses unknown and repeated keys; the writer leaves out fields at their default.
macro_rules! message {
    ($(#[$meta:meta])* pub struct $name:ident<$life:lifetime> { $($(#[$doc:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq)]
        pub struct $name<$life> { $($(#[$doc])* pub $field: $type,)* }
        $crate::wire::message!(@impl [$life] [$life] $name<$life> { $($field)* });
    };
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$doc:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq)]
        pub struct $name { $($(#[$doc])* pub $field: $type,)* }
        $crate::wire::message!(@impl ['de] [] $name { $($field)* });
    };
    (@impl [$read:lifetime] [$($write:lifetime)?] $type:ty { $($field:ident)* }) => {
        impl<$read> $crate::wire::Object<$read> for $type {
            fn field(
                &mut self,
                key: &str,
                place: &mut $crate::wire::Place,
            ) -> Option<(u32, $crate::wire::Target<'_, $read>)> {
                const KEYS: &str = concat!($(stringify!($field), " "),*);
                let number = $crate::wire::number_of(KEYS, key, place)?;
                let mut next = 0;
                $(
                    if number == next {
                        return Some((number, $crate::wire::Field::target(&mut self.$field)));
                    }
                    next += 1;
                )*
                let _past_the_last = next;
                None
            }
        }

        impl<$read> $crate::wire::Field<$read> for $type {
            fn target(&mut self) -> $crate::wire::Target<'_, $read> {
                $crate::wire::Target::Object(self)
            }
        }

        impl<$($write)?> $crate::wire::Value for $type {
            fn write(&self, out: &mut dyn $crate::wire::Sink) {
                let mut object = $crate::wire::Writer::object(out);
                $(object.field(concat!(",\"", stringify!($field), "\":"), &self.$field);)*
                object.end();
            }
        }
    };
}
pub(crate) use message;

#[cfg(test)]
mod tests;
