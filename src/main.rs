//! The binary: the program of [`pipeline::cli`] with the stage kinds that come with it.
//! A program of your own stages is this one with another registry.

use std::process::ExitCode;

use pipeline::contract::memory::CountingAllocator;

/// Large blocks are counted by side, so that a run can say what it held where no driver says it.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> ExitCode {
    pipeline::cli::main(pipeline::builtin())
}
