//! Running the program.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::images::journals_in;
use super::wait::{EVENT_TIMEOUT, poll};

/// The longest that any run may take: a hang fails its test instead of everything.
const RUN_TIMEOUT: Duration = Duration::from_secs(180);

/// How often a test looks for what a run does.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// Longer than two signals are taken for one.
const BETWEEN_SIGNALS: Duration = Duration::from_millis(200);

/// A run of the program being put together. Results are JSON, unless asked otherwise.
pub struct Agent {
    command: Command,
}

/// A run that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Agent {
    /// `drive-agent VERB …` with its own state directory below `folder`.
    pub fn new(folder: &Path, arguments: &[&dyn AsRef<OsStr>]) -> Self {
        Self::bare(folder, arguments).with(&["--output", "json", "--progress", "none"])
    }

    /// The same without options of the tests' own.
    pub fn bare(folder: &Path, arguments: &[&dyn AsRef<OsStr>]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agent-under-test"));
        command.args(arguments.iter().map(|argument| argument.as_ref()));
        let state_dir = folder.join("state");
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("XDG_STATE_HOME", &state_dir).env("HOME", folder).current_dir(folder);
        Agent { command }
    }

    /// The same as a shell runs it after `prelude`: with limits, signals that are ignored, and files opened elsewhere.
    pub fn after(self, prelude: &str) -> Self {
        let mut command = Command::new("/bin/bash");
        command.arg("-c").arg(format!("{prelude}\nexec \"$@\"")).arg("bash");
        command.arg(self.command.get_program()).args(self.command.get_args());
        command.env_clear().envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(self.command.get_current_dir().unwrap());
        Agent { command }
    }

    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    /// Runs it in this folder.
    pub fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it within limits of the shell: `ulimit -n 6`.
    pub fn limited(self, limits: &str) -> Self {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{limits} && exec \"$0\" \"$@\""));
        command.arg(self.command.get_program()).args(self.command.get_args());
        command.env_clear().envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(self.command.get_current_dir().unwrap());
        Agent { command }
    }

    /// Starts it.
    pub fn start(mut self) -> Running {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let (stdout_so_far, stderr_so_far) = (Arc::default(), Arc::default());
        let stdout = read_all(child.stdout.take().unwrap(), Arc::clone(&stdout_so_far));
        let stderr = read_all(child.stderr.take().unwrap(), Arc::clone(&stderr_so_far));
        let journals = self.journals();
        Running { child, stdout: Some(stdout), stderr: Some(stderr), stdout_so_far, stderr_so_far, journals }
    }

    /// Runs it to its end with a standard output whose reader has gone.
    pub fn run_without_reader(mut self) -> Ended {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        self.command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let stderr_so_far = Arc::default();
        let stderr = read_all(child.stderr.take().unwrap(), Arc::clone(&stderr_so_far));
        let (stdout_so_far, journals) = (Arc::default(), self.journals());
        Running { child, stdout: None, stderr: Some(stderr), stdout_so_far, stderr_so_far, journals }.wait()
    }

    /// Where it keeps its journals, unless `--state-dir` says otherwise.
    fn journals(&self) -> PathBuf {
        let state = self.command.get_envs().find(|(name, _)| *name == "XDG_STATE_HOME").and_then(|(_, value)| value);
        Path::new(state.unwrap()).join("drive-agent/journals")
    }

    /// Runs it to its end.
    pub fn run(self) -> Ended {
        self.start().wait()
    }
}

/// Whether this process ignores `signal`, and with it every program that it starts.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal.as_raw() - 1) & 1 == 1
}

fn read_all(mut source: impl Read + Send + 'static, so_far: Arc<Mutex<Vec<u8>>>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        loop {
            match source.read(&mut piece).unwrap() {
                0 => return String::from_utf8_lossy(&so_far.lock().unwrap()).into_owned(),
                length => so_far.lock().unwrap().extend_from_slice(&piece[..length]),
            }
        }
    })
}

/// A run under way. It is killed where a test does not wait for its end: a process that was stopped would keep its files
/// for ever.
pub struct Running {
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
    stdout_so_far: Arc<Mutex<Vec<u8>>>,
    stderr_so_far: Arc<Mutex<Vec<u8>>>,
    journals: PathBuf,
}

impl Running {
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        assert!(!is_ignored(signal), "the tests were started with {signal:?} ignored: start them with tests/run");
        // It may have ended already, which the test will see.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Another signal, late enough after the last one not to be taken for the same.
    pub fn signal_again(&self, signal: Signal) {
        std::thread::sleep(BETWEEN_SIGNALS);
        self.signal(signal);
    }

    /// What standard output has so far, when it is a whole JSON document. A process that hangs in the
    /// kernel keeps its files open long after it has said everything.
    fn result_so_far(&self) -> Option<Value> {
        serde_json::from_slice(&self.stdout_so_far.lock().unwrap()).ok()
    }

    /// Waits until something was written to standard output.
    #[track_caller]
    pub fn wait_for_output(&self) {
        self.wait_for("output", |running| (!running.stdout_so_far.lock().unwrap().is_empty()).then_some(()));
    }

    /// Waits until a whole line of standard output is as asked for.
    #[track_caller]
    pub fn wait_for_line(&self, what: &str, is_it: impl Fn(&str) -> bool) {
        let has_it = |text: &str| text.split_inclusive('\n').any(|line| line.ends_with('\n') && is_it(line));
        self.wait_for(what, |running| has_it(&String::from_utf8_lossy(&running.stdout_so_far.lock().unwrap())).then_some(()));
    }

    /// Waits for the result, of a process that may be unable to end.
    #[track_caller]
    pub fn wait_for_result(&self) -> Value {
        self.wait_for("the result", Running::result_so_far)
    }

    /// Waits until standard error has these words: of a message, or of progress where `--progress json` was asked for.
    #[track_caller]
    pub fn wait_for_words(&self, words: &str) {
        let has_said =
            |running: &Running| String::from_utf8_lossy(&running.stderr_so_far.lock().unwrap()).contains(words).then_some(());
        self.wait_for(&format!("`{words}`"), has_said);
    }

    /// Waits until the journals of its state directory record that so many chunks have landed.
    #[track_caller]
    pub fn wait_for_chunks(&self, count: usize) {
        let is_chunk = |line: &&str| line.contains("\"type\":\"chunk\"");
        let recorded = |running: &Running| {
            let texts = journals_in(&running.journals).into_iter().filter_map(|path| std::fs::read_to_string(path).ok());
            let chunks: usize = texts.map(|text| text.lines().filter(is_chunk).count()).sum();
            (chunks >= count).then_some(())
        };
        self.wait_for(&format!("{count} chunks in the journal"), recorded);
    }

    /// Waits until it has stopped, as `DRIVE_AGENT_STOP` makes it.
    #[track_caller]
    pub fn wait_until_stopped(&self) {
        self.wait_for("it to stop", |running| running.is_stopped().then_some(()));
    }

    /// Whether it is stopped, or has ended.
    pub fn is_stopped(&self) -> bool {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
        text.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with(['T', 'Z']))
    }

    /// Waits for an event, which cannot come any more when the process has ended.
    #[track_caller]
    fn wait_for<T>(&self, what: &str, look: impl Fn(&Running) -> Option<T>) -> T {
        let has_ended = || self.stderr.as_ref().is_some_and(JoinHandle::is_finished);
        let found = poll(LOOK_INTERVAL, || {
            // Asked before the look: what came just before the end still counts.
            let has_ended = has_ended();
            look(self).map(Some).or_else(|| has_ended.then_some(None))
        });
        found.flatten().unwrap_or_else(|| {
            let stderr = String::from_utf8_lossy(&self.stderr_so_far.lock().unwrap()).into_owned();
            let why = if has_ended() { "the program ended".to_owned() } else { format!("it did not come in {EVENT_TIMEOUT:?}") };
            panic!("waited for {what}, and {why}: {stderr}");
        })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn wait(self) -> Ended {
        self.wait_at_most(RUN_TIMEOUT).unwrap_or_else(|stderr| panic!("the program did not end within {RUN_TIMEOUT:?}: {stderr}"))
    }

    /// Its end; where it does not end in time it is killed, and what it said on standard error is given.
    pub fn wait_at_most(mut self, timeout: Duration) -> Result<Ended, String> {
        let end = Instant::now() + timeout;
        let status: ExitStatus = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > end => {
                    self.child.kill().unwrap();
                    return Err(all_of(&mut self.stderr));
                }
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        Ok(Ended { code: status.code(), stdout: all_of(&mut self.stdout), stderr: all_of(&mut self.stderr) })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.try_wait();
    }
}

/// All that a process wrote, once it has ended.
fn all_of(reader: &mut Option<JoinHandle<String>>) -> String {
    reader.take().map(|reader| reader.join().unwrap()).unwrap_or_default()
}

impl Ended {
    /// The result, when it ended with `code`.
    #[track_caller]
    pub fn expect(&self, code: i32) -> Value {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// One sentence on standard error with all of `words` in it, when it ended with `code`.
    #[track_caller]
    pub fn expect_error(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is not in: {}", self.stderr);
        }
    }
}

/// A number of a result.
#[track_caller]
pub fn number(result: &Value, name: &str) -> u64 {
    result[name].as_u64().unwrap_or_else(|| panic!("`{name}` is not a number in {result}"))
}

/// The ranges of a class of a receipt.
pub fn ranges(result: &Value, class: &str) -> Vec<(u64, u64)> {
    let ranges = result["receipt"][class]["ranges"].as_array().unwrap_or_else(|| panic!("no receipt in {result}"));
    ranges.iter().map(|range| (range["offset"].as_u64().unwrap(), range["length"].as_u64().unwrap())).collect()
}

/// Every byte is in exactly one class, and the counts are those of the ranges.
#[track_caller]
pub fn check_receipt(result: &Value) {
    let mut all: Vec<(u64, u64)> = Vec::new();
    for class in ["landed_before_request", "landed_after_request", "outcome_unknown", "never_sent"] {
        let ranges = ranges(result, class);
        assert_eq!(ranges.iter().map(|range| range.1).sum::<u64>(), result["receipt"][class]["bytes"].as_u64().unwrap());
        all.extend(ranges);
    }
    all.sort_unstable();
    let mut next = 0;
    for (offset, length) in all {
        assert_eq!(offset, next, "a gap or an overlap in {result}");
        next = offset + length;
    }
    assert_eq!(next, number(result, "bytes_total"));
    assert!(result["receipt"]["resume"].as_str().unwrap().starts_with("drive-agent "));
}
