//! The exit codes, by name, and their documentation in the help.
//! 2 is also what the argument parser exits with.

/// All was done.
pub(super) const DONE: u8 = 0;
/// The file has problems, or figures are out of tolerance: the command worked, and its answer is no.
pub(super) const PROBLEMS: u8 = 1;
/// The arguments don't make sense.
pub(super) const USAGE: u8 = 2;
/// What was asked for failed: a run, or reading or writing a file.
pub(super) const FAILED: u8 = 3;
/// Stopped by a scheduler or by the terminal's closing, with a checkpoint: try again with `--resume`. EX_TEMPFAIL, as sendmail has it.
pub(super) const RESUME: u8 = 75;
/// Stopped by the user. 128 + SIGINT, as shells have it.
pub(super) const INTERRUPTED: u8 = 130;

/// The part of the help that tells them.
pub(super) const HELP: &str = "\
Exit codes:
  0    all was done
  1    the file has problems, or figures are out of tolerance
  2    the arguments don't make sense
  3    what was asked for failed: a run, or reading or writing a file
  75   stopped by SIGTERM or SIGHUP, with a checkpoint: continue with --resume
  130  stopped by the user

Environment:
  PIPELINE_LOG  what to log, such as `debug` or `pipeline::engine=trace`; goes before -v and -q
  NO_COLOR      no colours, unless --color always

Start with:
  pipeline validate FILE.yml && pipeline run FILE.yml";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_tells_every_code() {
        for code in [DONE, PROBLEMS, USAGE, FAILED, RESUME, INTERRUPTED] {
            assert!(HELP.lines().any(|line| line.split_whitespace().next() == Some(&code.to_string())), "{code}");
        }
    }
}
