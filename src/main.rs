//! The binary: the program of [`pipeline::cli`] with the stage kinds that come with it.
//! A program of your own stages is this one with another registry.

use std::process::ExitCode;

fn main() -> ExitCode {
    pipeline::cli::main(pipeline::builtin())
}
