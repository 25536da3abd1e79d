//! The allocator of short lives: a verb of the start path allocates a few kilobytes and ends, so
//! the first allocations come from static memory, and but for the last one are given back by the end
//! of the process.
//! What does not fit any more is the system allocator's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Enough for a create of a bundle with a hundred mounts.
const SIZE: usize = 192 * 1024;

/// How much of it is used. Not 0 to begin with, and so on a page that the kernel has written to before the
/// process runs: on one of its own, the first load and the first store were a page fault each.
static USED: AtomicUsize = AtomicUsize::new(64);

struct Bump {
    memory: UnsafeCell<[u8; SIZE]>,
}

// SAFETY: a byte of `memory` has one owner at a time: `USED` moves over it by compare-exchange only,
// up in `take`, and down when the owner of the last bytes gives them back.
unsafe impl Sync for Bump {}

/// Behind all other static memory (start-path.ld), so that the few variables of others lie together.
#[global_allocator]
static ALLOCATOR: Bump = Bump { memory: UnsafeCell::new([0; SIZE]) };

impl Bump {
    fn base(&self) -> *mut u8 {
        self.memory.get().cast()
    }

    fn take(&self, layout: Layout) -> Option<*mut u8> {
        let base = self.base() as usize;
        let mut used = USED.load(Ordering::Relaxed);
        loop {
            let start = (base + used).checked_next_multiple_of(layout.align())? - base;
            let end = start.checked_add(layout.size()).filter(|end| *end <= SIZE)?;
            match USED.compare_exchange_weak(used, end, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(self.base().wrapping_add(start)),
                Err(now) => used = now,
            }
        }
    }

    fn owns(&self, pointer: *mut u8) -> bool {
        (pointer as usize).wrapping_sub(self.base() as usize) < SIZE
    }
}

// SAFETY: `take` returns disjoint, aligned ranges of `memory`, which is static; everything else is
// passed on to the system allocator with the layout it was allocated with.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is the system allocator's.
        self.take(layout).unwrap_or_else(|| unsafe { System.alloc(layout) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if !self.owns(pointer) {
            // SAFETY: not from `memory`, so from the system allocator, with this layout.
            return unsafe { System.dealloc(pointer, layout) };
        }
        // The last allocation is given back, so that the next one finds its pages mapped. Another
        // allocation meanwhile leaves it where it is.
        let start = pointer as usize - self.base() as usize;
        let _ = USED.compare_exchange(start + layout.size(), start, Ordering::Relaxed, Ordering::Relaxed);
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !self.owns(pointer) {
            // SAFETY: not from `memory`, so from the system allocator, with this layout.
            return unsafe { System.realloc(pointer, layout, size) };
        }
        // The last allocation grows where it is.
        let start = pointer as usize - self.base() as usize;
        let (end, grown) = (start + layout.size(), start.saturating_add(size));
        let in_place =
            grown <= SIZE && USED.compare_exchange(end, grown, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if in_place {
            return pointer;
        }
        let Ok(new) = Layout::from_size_align(size, layout.align()) else { return ptr::null_mut() };
        // SAFETY: `new` has the caller's size, which is not zero.
        let target = unsafe { self.alloc(new) };
        if !target.is_null() {
            // SAFETY: both ranges are at least this long and do not overlap.
            unsafe { ptr::copy_nonoverlapping(pointer, target, layout.size().min(size)) };
        }
        target
    }
}
