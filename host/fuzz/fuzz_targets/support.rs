//! What several targets need.
#![expect(dead_code, reason = "each target needs some of it")]

use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// A text that must not come out where a secret went in.
pub(crate) const SECRET: &str = "gEh31m-7316";

/// Runs a reader, which may take so many bytes of memory at a time.
pub(crate) fn within<T>(limit: usize, read: impl FnOnce() -> T) -> T {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let value = read();
    let used = HEAP.peak_usage().saturating_sub(before);
    assert!(used <= limit, "{used} bytes were taken, over {limit}");
    value
}

/// The first byte and the rest; zero where there is none.
pub(crate) fn choice(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}

/// The lines of an input.
pub(crate) fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|byte| *byte == b'\n')
}
