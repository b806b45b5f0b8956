//! The program around the library: arguments, logging, one file per command.
//! What a command does is in the library; here is only what a user types and sees.

mod choices;
mod devices;
mod dot;
mod eval;
mod exit;
mod export;
mod folds;
mod log;
mod output;
mod plan;
mod predict;
mod preview;
mod resume;
mod run;
mod sample;
mod schema;
mod signals;
mod stages;
mod threads;
mod validate;
mod verify;

use std::io::{IsTerminal, stderr, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgAction, Args, ColorChoice, Parser, Subcommand};
use pipeline_contract::{Registry, lost, memory};

use output::show_problems;

/// Trains segmentation networks from a YAML file of stages, within a memory budget.
#[derive(Debug, Parser)]
#[command(name = "pipeline", version, after_help = exit::HELP, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// What every command takes.
#[derive(Debug, Args)]
struct Common {
    /// When to use colours.
    #[arg(long, global = true, value_name = "WHEN", default_value_t = ColorChoice::Auto, value_enum)]
    color: ColorChoice,
    /// Prints more on standard error; twice: everything.
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,
    /// Makes every warning an error: of the file, and of what is doubtful in its data. The same as `strict: true` in the file.
    #[arg(long, global = true)]
    deny_warnings: bool,
    /// Prints only errors on standard error.
    #[arg(short, long, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Trains from a pipeline file; the results go to the run's folder.
    Run(folds::Opts),
    /// Writes what a trained model predicts of photographs: masks, probabilities, overlays.
    Predict(predict::Opts),
    /// Measures a trained model on photographs with masks.
    Eval(eval::Opts),
    /// Writes a trained model as an ONNX file, for other programs.
    Export(export::Opts),
    /// Reports all problems of pipeline files at once; runs nothing.
    Validate(validate::Opts),
    /// Shows how much memory a run will need; with a budget, which settings fit.
    Plan(plan::Opts),
    /// Draws a contact sheet of what the network will see: samples, their masks, several epochs side by side.
    Preview(preview::Opts),
    /// Draws a file's graph: stages, lanes, what flows between them and how much may queue.
    Dot(dot::Opts),
    /// Lists the devices that this build can train on here.
    Devices(devices::Opts),
    /// Compares this build with a PyTorch reference, or a file's accumulation with one large batch.
    Verify(verify::Opts),
    /// Lists the stage kinds, or describes one.
    Stages(stages::Opts),
    /// Prints the JSON Schema of pipeline files, for editors.
    Schema(schema::Opts),
    /// Draws a small data set of synthetic fundus images in the layout of FIVES.
    Sample(sample::Opts),
}

impl Command {
    /// Lays `strict` over the files that the command reads. The other commands read none, and warn of nothing.
    fn deny_warnings(&mut self) {
        let set = match self {
            Self::Run(opts) => &mut opts.run.set,
            Self::Eval(opts) => {
                opts.choices.strict = true;
                &mut opts.set
            }
            Self::Validate(opts) => &mut opts.set,
            Self::Plan(opts) => &mut opts.set,
            Self::Preview(opts) => &mut opts.set,
            Self::Dot(opts) => &mut opts.set,
            Self::Verify(opts) => &mut opts.set,
            Self::Predict(opts) => {
                opts.choices.strict = true;
                return;
            }
            Self::Export(_) | Self::Devices(_) | Self::Stages(_) | Self::Schema(_) | Self::Sample(_) => return,
        };
        set.push("strict=true".to_owned());
    }
}

/// The program: reads the arguments, runs the command on the stage kinds of `registry`. See `exit` for the exit codes.
pub fn main(registry: Registry) -> ExitCode {
    let Cli { mut command, common } = Cli::parse();
    if common.deny_warnings {
        command.deny_warnings();
    }
    let out = output::colors(common.color, stdout().is_terminal());
    let err = output::colors(common.color, stderr().is_terminal());
    log::start(err, common.verbose, common.quiet);
    memory::share_heap();
    if !threads::start() {
        return exit::FAILED.into();
    }
    watch_for_loss();
    match &command {
        Command::Run(opts) => folds::cmd(opts, &registry, err, common.quiet),
        Command::Predict(opts) => predict::cmd(opts, &registry, common.quiet),
        Command::Eval(opts) => eval::cmd(opts, &registry, err, common.quiet),
        Command::Export(opts) => export::cmd(opts),
        Command::Validate(opts) => validate::cmd(opts, &registry, out),
        Command::Plan(opts) => plan::cmd(opts, &registry, err),
        Command::Preview(opts) => preview::cmd(opts, &registry, err),
        Command::Dot(opts) => dot::cmd(opts, &registry, err),
        Command::Devices(opts) => devices::cmd(opts),
        Command::Verify(opts) => verify::cmd(opts, &registry, err),
        Command::Stages(opts) => stages::cmd(opts, &registry, out),
        Command::Schema(opts) => schema::cmd(opts, &registry),
        Command::Sample(opts) => sample::cmd(opts),
    }
}

/// Ends the program some time after a device was lost, if it hasn't ended by itself: a thread that waits for a lost device may wait
/// forever.
fn watch_for_loss() {
    let watch = || {
        let loss = lost::wait();
        std::thread::sleep(Duration::from_secs(30));
        let help = loss.mend().map(|mend| format!("\n  help: {mend}")).unwrap_or_default();
        tracing::error!("the program ends here: {loss}{help}");
        std::process::exit(i32::from(exit::FAILED));
    };
    if let Err(error) = std::thread::Builder::new().name("losses".into()).spawn(watch) {
        tracing::debug!("a lost device may keep the program from ending: {error}");
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
