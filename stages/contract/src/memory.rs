//! Measures memory: a counting allocator that keeps the device's side apart from the rest of the program.
//!
//! On a CPU the "device" is this process, so no driver says what the network holds. Here the system allocator is called through
//! [`CountingAllocator`], which remembers for each large block on which [`Side`] it was allocated. The side is a property of the
//! allocating thread: the engine calls [`enter`] with [`Side::Device`] on the thread of the device's lane, before it builds the
//! lane's stages; all other threads are [`Side::Host`], the pools of workers and of kernels too. Kernels get their buffers from the
//! thread that calls them; what one allocates inside a pool's thread counts as host.
//!
//! Only blocks of at least [`THRESHOLD`] bytes are counted, with the size that was asked for, so that small allocations cost
//! nothing more than without it. Images, tensors and their copies are far above it; what is not counted is names, options, and the
//! tensors of biases and norms. A block is taken off the side that allocated it, whichever thread frees it.

#![expect(unsafe_code, reason = "an allocator can't be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Blocks of fewer bytes are not counted.
pub const THRESHOLD: usize = 4 * 1024;

/// Bytes before a counted block, or the block's alignment if that is more. The first of them holds the side.
const HEADER: usize = 64;

/// Whose memory it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Sources, workers, queues and everything else that is not the device's lane.
    Host,
    /// The lane of the device's stages.
    Device,
}

/// Bytes that one side holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes allocated and not freed.
    pub now: u64,
    /// The most that `now` has been, since the program began or since [`reset_peak`].
    pub peak: u64,
}

struct Account {
    now: AtomicU64,
    peak: AtomicU64,
}

impl Account {
    const fn new() -> Self {
        Self { now: AtomicU64::new(0), peak: AtomicU64::new(0) }
    }

    fn add(&self, bytes: usize) {
        let now = self.now.fetch_add(bytes as u64, Relaxed) + bytes as u64;
        self.peak.fetch_max(now, Relaxed);
    }

    fn subtract(&self, bytes: usize) {
        self.now.fetch_sub(bytes as u64, Relaxed);
    }
}

static HOST: Account = Account::new();
static DEVICE: Account = Account::new();
/// Set by the first counted allocation: without it the program has another allocator.
static INSTALLED: AtomicBool = AtomicBool::new(false);

thread_local! {
    // Constant and without a destructor, so that reading it inside the allocator never allocates.
    static SIDE: Cell<Side> = const { Cell::new(Side::Host) };
}

fn account(side: Side) -> &'static Account {
    match side {
        Side::Host => &HOST,
        Side::Device => &DEVICE,
    }
}

/// The side of the current thread.
pub fn side() -> Side {
    SIDE.get()
}

/// Counts what the current thread allocates on a side, until the guard is dropped.
#[must_use = "the side lasts as long as the guard"]
pub fn enter(side: Side) -> Guard {
    Guard { before: SIDE.replace(side), thread: PhantomData }
}

/// Restores the side that the thread had before. It can't leave its thread.
#[derive(Debug)]
pub struct Guard {
    before: Side,
    thread: PhantomData<*const ()>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        SIDE.set(self.before);
    }
}

/// What a side holds, in bytes; `None` when [`CountingAllocator`] isn't this program's allocator (or has not met a block
/// that it counts).
pub fn usage(side: Side) -> Option<Usage> {
    let Account { now, peak } = account(side);
    INSTALLED.load(Relaxed).then(|| Usage { now: now.load(Relaxed), peak: peak.load(Relaxed) })
}

/// Resets a side's peak to what it holds now.
pub fn reset_peak(side: Side) {
    let Account { now, peak } = account(side);
    peak.store(now.load(Relaxed), Relaxed);
}

/// What a heap keeps of freed memory at its end, and the size of blocks from which on each is mapped by itself. A decoded photograph of 2048 x 2048
/// pixels has 12 MiB.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const REUSED: libc::c_int = 32 << 20;

/// Has all threads that begin from now on allocate from one heap, also the pictures that come and go on them, and keeps up to 32 MiB of what is freed at
/// its end for the next ones. With a heap for each thread, as glibc has it, large blocks leave more unused between them; and a block that is mapped anew for
/// each picture is filled with zeros by the system, page by page, which takes a fifth of a decoder's time. Returns whether the system's allocator can be
/// asked: only glibc's can.
pub fn share_heap() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let settings = [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, REUSED), (libc::M_TRIM_THRESHOLD, REUSED)];
        // SAFETY: `mallopt` with these parameters has no preconditions; glibc's allocator locks its own state.
        settings.into_iter().all(|(parameter, value)| unsafe { libc::mallopt(parameter, value) } == 1)
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    false
}

/// Asks the system's allocator to return unused memory to the operating system. Returns whether it can be asked:
/// only glibc's can.
pub fn return_unused() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: `malloc_trim` has no preconditions; glibc's allocator locks its own arenas.
        unsafe { libc::malloc_trim(0) };
        true
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    false
}

/// The system's allocator, with the blocks of at least [`THRESHOLD`] bytes counted by side. A program installs it with
/// `#[global_allocator]`.
#[derive(Debug, Clone, Copy, Default)]
pub struct CountingAllocator;

/// The layout of a counted block with its header, and the header's size. `None` when no address space is large enough.
fn with_header(layout: Layout) -> Option<(Layout, usize)> {
    let header = layout.align().max(HEADER);
    let whole = Layout::from_size_align(layout.size().checked_add(header)?, layout.align()).ok()?;
    Some((whole, header))
}

/// Counts a new block on the current side, and returns the part behind its header.
///
/// # Safety
/// `whole` is null, or a block of `header` and `size` bytes that nothing else uses yet.
unsafe fn begin(whole: *mut u8, header: usize, size: usize) -> *mut u8 {
    if whole.is_null() {
        return whole;
    }
    let side = side();
    INSTALLED.store(true, Relaxed);
    account(side).add(size);
    // SAFETY: the block begins with `header` bytes, at least one, so both the byte and the end of the header are inside it.
    unsafe {
        whole.write(side as u8);
        whole.add(header)
    }
}

/// The account on which a counted block stands.
///
/// # Safety
/// `whole` is the beginning of a block that went through [`begin`] and has not been freed.
unsafe fn holder(whole: *const u8) -> &'static Account {
    // SAFETY: `begin` wrote this byte, and nothing else writes before the pointer that it returned.
    let side = unsafe { whole.read() };
    account(if side == Side::Device as u8 { Side::Device } else { Side::Host })
}

// SAFETY: blocks come from `System` and go back to it with the layout that they were allocated with: below the threshold the
// caller's, otherwise the caller's with the header, which only depends on the caller's layout. The header is a multiple of the
// alignment, so the pointer behind it is aligned as asked.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() < THRESHOLD {
            // SAFETY: the caller's own promises.
            return unsafe { System.alloc(layout) };
        }
        let Some((whole, header)) = with_header(layout) else { return std::ptr::null_mut() };
        // SAFETY: `whole` is not empty, and the new block has the size that `begin` asks for.
        unsafe { begin(System.alloc(whole), header, layout.size()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.size() < THRESHOLD {
            // SAFETY: the caller's own promises.
            return unsafe { System.alloc_zeroed(layout) };
        }
        let Some((whole, header)) = with_header(layout) else { return std::ptr::null_mut() };
        // SAFETY: as in `alloc`. `begin` writes into the header alone, so what is behind it stays zero.
        unsafe { begin(System.alloc_zeroed(whole), header, layout.size()) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if layout.size() < THRESHOLD {
            // SAFETY: the caller's own promises; below the threshold `block` came from `System` with this layout.
            return unsafe { System.dealloc(block, layout) };
        }
        // It was allocated with this layout, so there is one with the header.
        let Some((whole, header)) = with_header(layout) else { return };
        // SAFETY: `block` stands `header` bytes behind the beginning of a block that `System` gave for `whole`.
        unsafe {
            let beginning = block.sub(header);
            holder(beginning).subtract(layout.size());
            System.dealloc(beginning, whole);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match (layout.size() < THRESHOLD, size < THRESHOLD) {
            // SAFETY: the caller's own promises; below the threshold `block` came from `System` with this layout.
            (true, true) => unsafe { System.realloc(block, layout, size) },
            // SAFETY: the caller's own promises; both sizes are counted.
            (false, false) => unsafe { resize(block, layout, size) },
            // SAFETY: the caller promises that `size` with this alignment is a layout. The old block stays until its content,
            // as much of it as fits, is in the new one, which can't overlap it.
            _ => unsafe {
                let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
                if !new.is_null() {
                    std::ptr::copy_nonoverlapping(block, new, layout.size().min(size));
                    self.dealloc(block, layout);
                }
                new
            },
        }
    }
}

/// Makes a counted block larger or smaller, header and all; it stays on its side.
///
/// # Safety
/// `block` is a counted block of [`CountingAllocator`] with this layout; `size` is counted too.
unsafe fn resize(block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
    let new = Layout::from_size_align(size, layout.align()).ok().and_then(with_header);
    let (Some((whole, header)), Some((new, _))) = (with_header(layout), new) else { return std::ptr::null_mut() };
    // SAFETY: the block of `System` begins `header` bytes before `block` and has the layout `whole`. The header's size only depends
    // on the alignment, so `System` moves header and content to where they belong. A refused resize leaves the old block.
    unsafe {
        let moved = System.realloc(block.sub(header), whole, new.size());
        if moved.is_null() {
            return moved;
        }
        let holder = holder(moved);
        if size > layout.size() {
            holder.add(size - layout.size());
        } else {
            holder.subtract(layout.size() - size);
        }
        moved.add(header)
    }
}
