//! Measuring a whole process from outside: wall time, processor time, peak memory.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::error::BenchError;
use super::report::Run;

/// How often memory is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// What is left of an error's text.
const ERROR_BYTES_MAX: usize = 2000;

/// A process that has ended.
pub(super) struct Ended {
    pub(super) run: Run,
    pub(super) stdout: Vec<u8>,
}

/// Runs a command to its end. `input` goes to its standard input: what must not be seen in a list of processes.
pub(super) fn measure(command: &mut Command, input: &[u8]) -> Result<Ended, BenchError> {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let failed = |error: std::io::Error| BenchError::Failed(format!("`{name}` could not be run: {error}"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // What the last one left is not this one's: writes under way, and room that a file system still has to give back.
    rustix::fs::sync();
    let started = Instant::now();
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A caller that does not read it does not need it.
        let _ = stdin.write_all(input);
    }
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let has_ended = AtomicBool::new(false);
    let (out, errors, waited, peak) = std::thread::scope(|scope| {
        let out = scope.spawn(move || read_all(stdout));
        let errors = scope.spawn(move || read_all(stderr));
        let (id, has_ended) = (child.id(), &has_ended);
        let peak = scope.spawn(move || watch_memory(id, has_ended));
        let waited = wait_until_dead(&child).map(|()| started.elapsed());
        has_ended.store(true, Ordering::Relaxed);
        (out.join().unwrap_or_default(), errors.join().unwrap_or_default(), waited, peak.join().unwrap_or_default())
    });
    let seconds = waited.map_err(failed)?.as_secs_f64();
    let cpu_seconds = cpu_seconds(&child);
    let status = child.wait().map_err(failed)?;
    if !status.success() {
        let errors = String::from_utf8_lossy(&errors);
        let tail = &errors[errors.floor_char_boundary(errors.len().saturating_sub(ERROR_BYTES_MAX))..];
        return Err(BenchError::Failed(format!("`{name}` failed ({status}): {}", tail.trim())));
    }
    let run = Run { seconds, cpu_seconds, peak_memory_bytes: peak, ..Run::default() };
    Ok(Ended { run, stdout: out })
}

fn read_all(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What came before an error is all that there is.
    let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
    bytes
}

/// Waits for the end of a process, and leaves it to be asked.
fn wait_until_dead(child: &Child) -> std::io::Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(std::io::ErrorKind::NotFound)?;
    loop {
        match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Processor time of a process that has ended and was not waited for, with that of its own children.
fn cpu_seconds(child: &Child) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    // The name may hold anything: fields are counted behind it (proc_pid_stat(5)).
    let fields: Vec<&str> = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let ticks: u64 = fields.iter().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// The most memory that a process had, as its own count says it until its end.
fn watch_memory(id: u32, has_ended: &AtomicBool) -> Option<u64> {
    let path = format!("/proc/{id}/status");
    let mut peak = None;
    while !has_ended.load(Ordering::Relaxed) {
        peak = peak_memory(&path).or(peak);
        std::thread::sleep(LOOK_INTERVAL);
    }
    peak
}

/// What a process says is the most memory that it had, in bytes.
pub(super) fn peak_memory(status: &str) -> Option<u64> {
    let status = std::fs::read_to_string(status).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_measured_and_its_failure_is_told() {
        let ended = measure(Command::new("sh").args(["-c", "cat; i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"]), b"in");
        let ended = ended.unwrap();
        assert_eq!(ended.stdout, b"in");
        assert!(ended.run.seconds > 0.0 && ended.run.cpu_seconds > 0.0 && ended.run.peak_memory_bytes > Some(100_000));
        let failed = measure(Command::new("sh").args(["-c", "echo why >&2; exit 3"]), b"").err().unwrap().to_string();
        assert!(failed.contains("why") && failed.contains('3'), "{failed}");
        assert!(measure(&mut Command::new("/no/such/program"), b"").is_err());
    }
}
