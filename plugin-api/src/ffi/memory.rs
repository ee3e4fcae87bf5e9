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
