//! What the machine does to a run: full disks, folders that can't be written, terminals that are closed. Each is really done; where
//! that takes rights that a test doesn't have, it says so and does the others.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{checkpoints, complete, count, drawn, metrics, outcome, run, said, signal, started, until};

/// A file system in memory, unmounted when it is dropped.
struct Disk(PathBuf);

impl Disk {
    /// `None` where mounting isn't allowed.
    fn mount(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let options = format!("size={size}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).stderr(Stdio::null()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(at.into()));
        }
        eprintln!("no disk can be mounted here: nothing is said of full or read-only ones");
        None
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The pictures of the evaluation are larger than all else.
const NO_PICTURES: &str = "stages.evaluate.with.pictures=0";

fn steps(count: usize) -> impl Fn(&Path) -> bool {
    move |out: &Path| self::count(&metrics(out), "step") >= count
}

#[test]
fn a_disk_too_small_for_checkpoints_costs_only_the_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let reference = folder.path().join("reference");
    complete(&reference, &[], &[]);
    let out = folder.path().join("run");
    // Room for the model, the picture and the figures, not for a checkpoint of three times the model's size.
    let Some(disk) = Disk::mount(&out, "272k") else { return };
    let output = complete(&out, &["trainer.checkpoint={every_steps: 2}", NO_PICTURES], &["--resume"]);
    assert!(said(&output).contains("a checkpoint can't be written"), "{}", said(&output));
    assert!(said(&output).contains("No space left"), "{}", said(&output));
    assert_eq!(outcome(&out), outcome(&reference));
    assert_eq!(fs::read_dir(out.join("checkpoint")).unwrap().count(), 0, "nothing half written is left");
    drop(disk);
}

#[test]
fn a_disk_that_fills_up_ends_the_run_and_it_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let (reference, out) = (folder.path().join("reference"), folder.path().join("run"));
    // Long enough that it can't end between a look at its figures and the halt.
    let long = "trainer.num_epochs=20";
    complete(&reference, &[long], &[]);
    let Some(disk) = Disk::mount(&out, "16m") else { return };
    let set = [long, "trainer.checkpoint={every_steps: 1, keep: 2}"];
    let child = until(&out, &set, &["--resume"], |out| steps(2)(out) && !checkpoints(out).is_empty());
    // Another program takes all that is left: now the figures can't be written either.
    signal(&child, "STOP");
    let _full = fs::write(out.join("filler"), vec![1; 32 << 20]);
    signal(&child, "CONT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("No space left"), "{}", said(&output));
    fs::remove_file(out.join("filler")).unwrap();
    complete(&out, &set, &["--resume"]);
    assert_eq!(outcome(&out), outcome(&reference));
    drop(disk);
}

#[test]
fn a_disk_without_room_for_the_model_says_so_and_leaves_no_half_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (reference, out) = (folder.path().join("reference"), folder.path().join("run"));
    complete(&reference, &[], &[]);
    // Room for figures and picture, not for the model, and no checkpoints that would give way to it.
    let Some(disk) = Disk::mount(&out, "128k") else { return };
    let output = run(&out, &["trainer.checkpoint={keep: 0}", NO_PICTURES], &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("last.safetensors can't be written"), "{}", said(&output));
    assert!(!out.join("model.safetensors").exists(), "no half a model");
    disk.remount("size=16m");
    let output = complete(&out, &[], &["--resume"]);
    assert!(said(&output).contains("starting from the beginning"), "{}", said(&output));
    assert_eq!(outcome(&out), outcome(&reference));
    drop(disk);
}

#[test]
fn a_folder_that_cant_be_written_is_named_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (reference, out) = (folder.path().join("reference"), folder.path().join("run"));
    complete(&reference, &[], &[]);
    let Some(disk) = Disk::mount(&out, "16m") else { return };
    let child = until(&out, &[], &["--resume"], steps(2));
    signal(&child, "TERM");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(75));
    disk.remount("ro");
    for more in [&["--resume"][..], &[]] {
        let output = run(&out, &[], more).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{}", said(&output));
        assert!(said(&output).contains(&*out.to_string_lossy()), "{}", said(&output));
    }
    disk.remount("rw");
    complete(&out, &[], &["--resume"]);
    assert_eq!(outcome(&out), outcome(&reference));
    drop(disk);
}

/// Of a user who may have only so many threads: each start ends well or with an error, never with a panic.
#[test]
fn too_few_threads_are_an_error() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    const USER: u32 = 64_999;
    let folder = tempfile::tempdir().unwrap();
    // Another user can't read the build's folder.
    let program = folder.path().join("pipeline");
    fs::copy(env!("CARGO_BIN_EXE_pipeline"), &program).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let mut codes = Vec::new();
    // A pool for each core, workers, and a thread for each lane.
    let enough = 64 + 4 * std::thread::available_parallelism().map_or(1, usize::from);
    for threads in (1..=16).chain([enough]) {
        let out = folder.path().join(threads.to_string());
        let command = drawn().run(&out, &["trainer.num_epochs=1"], &[]);
        let mut limited = Command::new("prlimit");
        limited.arg(format!("--nproc={threads}")).arg(&program).args(command.get_args());
        limited.uid(USER).gid(USER).current_dir(env!("CARGO_MANIFEST_DIR"));
        let Ok(output) = limited.output() else {
            eprintln!("no other user can be taken here: nothing is said of threads");
            return;
        };
        let said = said(&output);
        assert!(!said.contains("panicked"), "{threads}: {said}");
        let code = output.status.code();
        assert!(code == Some(0) || (code == Some(3) && said.contains("error: ")), "{threads}: {code:?} {said}");
        codes.push(code);
    }
    assert_eq!((codes[0], codes[codes.len() - 1]), (Some(3), Some(0)));
}

#[test]
fn a_closed_terminal_leaves_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (reference, out) = (folder.path().join("reference"), folder.path().join("run"));
    complete(&reference, &[], &[]);
    // `script` gives the program a terminal; when `script` is killed, the terminal is gone.
    let command = drawn().run(&out, &[], &[]);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted: Vec<String> = words.map(|word| format!("'{}'", word.to_string_lossy())).collect();
    let mut script = Command::new("script");
    script.args(["-qec", &format!("exec {}", quoted.join(" ")), "/dev/null"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let Ok(mut script) = script.stdin(Stdio::null()).stdout(Stdio::null()).spawn() else {
        eprintln!("there is no `script` here: nothing is said of closed terminals");
        return;
    };
    while !steps(2)(&out) {
        assert!(script.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(1));
    }
    script.kill().unwrap();
    script.wait().unwrap();
    let started = Instant::now();
    while !fs::read_to_string(out.join("summary.json")).is_ok_and(|text| text.contains("\"interrupted\"")) {
        assert!(started.elapsed() < Duration::from_secs(30), "it didn't stop by itself: {:?}", metrics(&out).last());
        std::thread::sleep(Duration::from_millis(5));
    }
    // The summary is written last but one; the lock is gone when the program is.
    let again = loop {
        let output = run(&out, &[], &["--resume"]).output().unwrap();
        if !said(&output).contains("is running in it") {
            break output;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{}", said(&output));
    };
    assert!(again.status.success(), "{}", said(&again));
    assert!(said(&again).contains("resuming from"), "{}", said(&again));
    assert_eq!(outcome(&out), outcome(&reference));
}

#[test]
fn a_clock_that_jumps_changes_nothing() {
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
    if !Path::new(library).exists() {
        eprintln!("there is no libfaketime here: nothing is said of clocks that jump");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (reference, out, clock) = (folder.path().join("reference"), folder.path().join("run"), folder.path().join("clock"));
    complete(&reference, &[], &[]);
    fs::write(&clock, "+0").unwrap();
    let mut command = run(&out, &["trainer.checkpoint={every_steps: 1}"], &["--resume"]);
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &clock).env("FAKETIME_NO_CACHE", "1");
    // The system's clock, which people and time servers set; not the one that counts from the machine's start.
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let mut child = started(command, &out, steps(2));
    fs::write(&clock, "+3650d").unwrap();
    while !steps(6)(&out) && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    fs::write(&clock, "-30d").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(outcome(&out), outcome(&reference));
    let seconds: Vec<f64> = metrics(&out).iter().map(|line| line.seconds).collect();
    assert!(seconds.is_sorted() && seconds.iter().all(|&seconds| seconds < 3600.0), "{seconds:?}");
}
