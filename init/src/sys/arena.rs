//! A bump arena over memory given by the caller: what init parses lives here, and nowhere else.
//!
//! Finished values grow from the low end. A list of unknown length collects its elements on a
//! stack at the high end and is copied down, in order, when it is complete; lists nest.

use core::cell::Cell;
use core::ffi::CStr;
use core::marker::PhantomData;
use core::mem::{MaybeUninit, align_of, size_of};
use core::ops::Range;
use core::{ptr, slice};

/// The arena is exhausted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// A bump arena; `'a` is the life of its memory and of all that it hands out.
pub struct Arena<'a> {
    low: Cell<usize>,
    high: Cell<usize>,
    memory: PhantomData<&'a mut [u8]>,
}

/// An open list: elements pushed since `mark` lie on the arena's high stack.
pub struct List<'r, 'a, T> {
    arena: &'r Arena<'a>,
    mark: usize,
    count: usize,
    element: PhantomData<T>,
}

impl<'a> Arena<'a> {
    /// An arena over `memory`.
    pub fn new(memory: &'a mut [MaybeUninit<u8>]) -> Self {
        let range = memory.as_mut_ptr_range();
        Self {
            low: Cell::new(range.start.expose_provenance()),
            high: Cell::new(range.end.expose_provenance()),
            memory: PhantomData,
        }
    }

    /// The addresses that nothing is stored at.
    pub fn unused(&self) -> Range<usize> {
        self.low.get()..self.high.get()
    }

    fn take(&self, size: usize, align: usize) -> Result<usize, Full> {
        let start = self.low.get().checked_next_multiple_of(align).ok_or(Full)?;
        let end = start.checked_add(size).ok_or(Full)?;
        if end > self.high.get() {
            return Err(Full);
        }
        self.low.set(end);
        Ok(start)
    }

    /// Stores at most `limit` bytes and a NUL after them. The bytes must hold no NUL of their own;
    /// the first error of `bytes` ends the call.
    pub fn text<E: From<Full>>(
        &self,
        limit: usize,
        bytes: impl Iterator<Item = Result<u8, E>>,
    ) -> Result<&'a CStr, E> {
        let start = self.take(limit + 1, 1)?;
        let target = ptr::with_exposed_provenance_mut::<MaybeUninit<u8>>(start);
        // SAFETY: `take` reserved limit + 1 bytes of memory that this arena borrows for 'a.
        let target = unsafe { slice::from_raw_parts_mut(target, limit + 1) };
        let mut length = 0;
        for byte in bytes {
            target.get_mut(length).ok_or(Full)?.write(byte?);
            length += 1;
        }
        target.get_mut(length).ok_or(Full)?.write(0);
        self.low.set(start + length + 1);
        // SAFETY: the length + 1 bytes from `target` on were written above.
        let text = unsafe { slice::from_raw_parts(target.as_ptr().cast::<u8>(), length + 1) };
        CStr::from_bytes_with_nul(text).map_err(|_| Full.into())
    }

    /// Zeroed bytes.
    pub fn bytes(&self, length: usize) -> Result<&'a mut [u8], Full> {
        let start = self.take(length, 8)?;
        let target = ptr::with_exposed_provenance_mut::<u8>(start);
        // SAFETY: `take` reserved `length` bytes of memory that this arena borrows for 'a.
        unsafe { target.write_bytes(0, length) };
        // SAFETY: as above, and the bytes were written; `take` hands each out once.
        Ok(unsafe { slice::from_raw_parts_mut(target, length) })
    }

    /// Stores bytes, which must hold no NUL, and a NUL after them.
    pub fn plain(&self, bytes: &[u8]) -> Result<&'a CStr, Full> {
        let start = self.take(bytes.len() + 1, 1)?;
        let target = ptr::with_exposed_provenance_mut::<u8>(start);
        // SAFETY: `take` reserved bytes.len() + 1 bytes of memory that this arena borrows for 'a; `bytes`
        // lies elsewhere, for `take` hands each out once.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
        // SAFETY: the last of the reserved bytes.
        unsafe { target.wrapping_add(bytes.len()).write(0) };
        // SAFETY: all bytes from `target` on were written above.
        let text = unsafe { slice::from_raw_parts(target, bytes.len() + 1) };
        CStr::from_bytes_with_nul(text).map_err(|_| Full)
    }

    /// Copies a string.
    pub fn copy(&self, text: &CStr) -> Result<&'a CStr, Full> {
        self.plain(text.to_bytes())
    }

    /// Copies a list.
    pub fn copy_all<T: Copy>(&self, list: &[T]) -> Result<&'a [T], Full> {
        let mut copies = self.list();
        for element in list {
            copies.push(*element)?;
        }
        copies.finish()
    }

    /// Opens a list.
    pub fn list<T: Copy>(&self) -> List<'_, 'a, T> {
        List { arena: self, mark: self.high.get(), count: 0, element: PhantomData }
    }

    /// The argument vector of execve(2): pointers to `texts`, then a null pointer.
    pub fn pointers(&self, texts: &[&'a CStr]) -> Result<&'a [*const core::ffi::c_char], Full> {
        let mut list = self.list();
        for text in texts {
            list.push(text.as_ptr())?;
        }
        list.push(ptr::null())?;
        list.finish()
    }
}

impl<'a, T: Copy> List<'_, 'a, T> {
    /// Appends an element.
    pub fn push(&mut self, element: T) -> Result<(), Full> {
        let slot = self.arena.stack(size_of::<T>(), align_of::<T>())?;
        // SAFETY: `stack` reserved an aligned slot of the element's size in the arena's unused range.
        unsafe { ptr::with_exposed_provenance_mut::<T>(slot).write(element) };
        self.count += 1;
        Ok(())
    }

    /// Closes the list: its elements in order, at the low end.
    pub fn finish(self) -> Result<&'a [T], Full> {
        let start = self.arena.unstack(self.mark, self.count, size_of::<T>(), align_of::<T>())?;
        // SAFETY: `unstack` moved `count` elements, written by `push`, to aligned memory that the
        // arena borrows for 'a.
        Ok(unsafe { slice::from_raw_parts(ptr::with_exposed_provenance::<T>(start), self.count) })
    }
}

/// The two halves of a list that do not depend on its elements' type.
impl Arena<'_> {
    /// Reserves a slot on the high stack. Slots of one type lie side by side: a size is a multiple
    /// of its alignment.
    #[inline(never)]
    fn stack(&self, size: usize, align: usize) -> Result<usize, Full> {
        let slot = self.high.get().checked_sub(size).ok_or(Full)? & !(align - 1);
        if slot < self.low.get() {
            return Err(Full);
        }
        self.high.set(slot);
        Ok(slot)
    }

    /// Moves the last `count` slots to the low end, the first one pushed first, and gives the stack
    /// back down to `mark`.
    #[inline(never)]
    fn unstack(&self, mark: usize, count: usize, size: usize, align: usize) -> Result<usize, Full> {
        let stack = self.high.get();
        let start = self.take(size * count, align);
        self.high.set(mark);
        let start = start?;
        for index in 0..count {
            let source = ptr::with_exposed_provenance::<u8>(stack + (count - 1 - index) * size);
            let target = ptr::with_exposed_provenance_mut::<u8>(start + index * size);
            // SAFETY: `push` wrote these bytes and nested lists have given their space back; `take`
            // reserved room for all of them below the stack, so the two do not overlap.
            unsafe { ptr::copy_nonoverlapping(source, target, size) };
        }
        Ok(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_nest_and_keep_their_order() {
        let mut memory = [MaybeUninit::uninit(); 512];
        let arena = Arena::new(&mut memory);
        let mut outer = arena.list::<(u8, &[u32])>();
        for tag in 0..3u8 {
            let mut inner = arena.list::<u32>();
            for value in 0..u32::from(tag) {
                inner.push(value).unwrap();
            }
            outer.push((tag, inner.finish().unwrap())).unwrap();
        }
        assert_eq!(outer.finish().unwrap(), [(0, &[][..]), (1, &[0][..]), (2, &[0, 1][..])]);
    }

    #[test]
    fn a_full_arena_says_so_and_stays_usable() {
        let mut memory = [MaybeUninit::uninit(); 8];
        let arena = Arena::new(&mut memory);
        let text = |bytes: &[u8]| arena.text(bytes.len(), bytes.iter().copied().map(Ok::<u8, Full>));
        assert_eq!(text(b"12345678"), Err(Full));
        assert_eq!(text(b"1234567"), Ok(c"1234567"));
        assert_eq!(arena.list::<u8>().push(1), Err(Full));
    }
}
