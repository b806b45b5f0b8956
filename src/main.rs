//! The binary: the program of [`pipeline::cli`] with the stage kinds that come with it.
//! A program with your own stages is this one with another registry.

use std::process::ExitCode;

use pipeline::contract::memory::CountingAllocator;

/// Counts large blocks by side, so that a run on the CPU can measure what the device's lane holds.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> ExitCode {
    pipeline::cli::main(pipeline::builtin())
}
