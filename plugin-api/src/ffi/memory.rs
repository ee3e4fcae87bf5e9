//! Memory of the process.

/// Gives memory back to the system that is free but kept. What a large piece of work leaves behind otherwise stays with
/// the process: the allocator keeps it for the threads that used it.
///
/// Takes about a millisecond for every few MiB. Does nothing where the C library is not glibc.
pub fn release() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn malloc_trim(pad: usize) -> std::ffi::c_int;
        }
        // SAFETY: glibc's function of this signature; it locks each arena, and touches free memory only.
        unsafe { malloc_trim(0) };
    }
}

/// Makes the allocator give back what is freed. Call it while the process has one thread.
///
/// glibc otherwise makes up to eight arenas for each processor, and after the first block of some megabytes, such as the
/// hash of a password takes, keeps that much in each of them.
pub fn keep_little() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::ffi::c_int;

        unsafe extern "C" {
            fn mallopt(parameter: c_int, value: c_int) -> c_int;
        }
        // The numbers of malloc.h: M_ARENA_MAX, M_MMAP_THRESHOLD (which also stops its growth), M_TRIM_THRESHOLD.
        for (parameter, value) in [(-8, 2), (-3, 256 << 10), (-1, 256 << 10)] {
            // SAFETY: glibc's function of this signature; it changes numbers of the allocator under its lock.
            unsafe { mallopt(parameter, value) };
        }
    }
}
