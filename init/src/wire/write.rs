//! Bodies out: the writer of every type that a message may hold.

use core::ffi::CStr;

/// Where a body is written to.
pub trait Sink {
    /// Appends bytes. A sink that is full notes it and drops the rest.
    fn put(&mut self, bytes: &[u8]);
}

impl<const N: usize> Sink for heapless::Vec<u8, N> {
    fn put(&mut self, bytes: &[u8]) {
        let _all_or_nothing = self.extend_from_slice(bytes);
    }
}

/// A value that can be written as JSON.
pub trait Value: PartialEq + Default {
    /// Writes the value.
    fn write(&self, out: &mut dyn Sink);
}

/// Writes an object, field by field.
pub struct Writer<'o> {
    out: &'o mut dyn Sink,
    empty: bool,
}

impl<'o> Writer<'o> {
    /// Opens an object.
    pub fn object(out: &'o mut dyn Sink) -> Self {
        out.put(b"{");
        Self { out, empty: true }
    }

    /// Writes a field, unless it has its default value. Its name comes as `,"NAME":`.
    pub fn field(&mut self, name: &str, value: &impl Value) {
        if *value == Default::default() {
            return;
        }
        let name = name.as_bytes();
        self.out.put(if self.empty { name.get(1..).unwrap_or_default() } else { name });
        value.write(self.out);
        self.empty = false;
    }

    /// Closes the object.
    pub fn end(self) {
        self.out.put(b"}");
    }
}

impl<T: Value> Value for &[T] {
    fn write(&self, out: &mut dyn Sink) {
        let mut separator = &b"["[..];
        for element in *self {
            out.put(separator);
            element.write(out);
            separator = b",";
        }
        out.put(if self.is_empty() { b"[]" } else { b"]" });
    }
}

impl Value for bool {
    fn write(&self, out: &mut dyn Sink) {
        out.put(if *self { b"true" } else { b"false" });
    }
}

impl Value for u64 {
    fn write(&self, out: &mut dyn Sink) {
        let mut digits = [b'0'; 20];
        let mut rest = *self;
        let mut first = digits.len();
        for (index, digit) in digits.iter_mut().enumerate().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            first = index;
            if rest == 0 {
                break;
            }
        }
        out.put(digits.get(first..).unwrap_or_default());
    }
}

impl Value for u32 {
    fn write(&self, out: &mut dyn Sink) {
        u64::from(*self).write(out);
    }
}

impl Value for i32 {
    fn write(&self, out: &mut dyn Sink) {
        if *self < 0 {
            out.put(b"-");
        }
        u64::from(self.unsigned_abs()).write(out);
    }
}

impl Value for Option<i32> {
    fn write(&self, out: &mut dyn Sink) {
        self.unwrap_or_default().write(out);
    }
}

impl Value for &CStr {
    fn write(&self, out: &mut dyn Sink) {
        out.put(b"\"");
        let mut rest = self.to_bytes();
        // As nearly all are.
        if rest.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
            out.put(rest);
            rest = b"";
        }
        loop {
            let valid = core::str::from_utf8(rest).map_or_else(|error| error.valid_up_to(), str::len);
            let (mut text, behind) = rest.split_at(valid);
            loop {
                let plain = text.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count();
                let (run, special) = text.split_at(plain);
                out.put(run);
                let Some((byte, special)) = special.split_first() else { break };
                escape(out, 0, *byte);
                text = special;
            }
            let Some((byte, behind)) = behind.split_first() else { break };
            escape(out, 0xdc, *byte);
            rest = behind;
        }
        out.put(b"\"");
    }
}

/// Writes `\uHHLL`.
fn escape(out: &mut dyn Sink, high: u8, low: u8) {
    out.put(b"\\u");
    for byte in [high, low] {
        for nibble in [byte >> 4, byte & 15] {
            out.put(&[nibble + if nibble < 10 { b'0' } else { b'a' - 10 }]);
        }
    }
}
