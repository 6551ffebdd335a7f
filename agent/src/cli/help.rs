//! What help says beside the options: the groups that they are listed in, and examples.
//!
//! `-h` shows the options that are used every day, `--help` all of them. Every example is parsed by a test.

pub(super) const BLOB: &str = "Blob";
pub(super) const DRIVE: &str = "Drive";
pub(super) const CHECKS: &str = "Checks";
pub(super) const FAILING: &str = "Failing drives";
pub(super) const SPEED: &str = "Speed and memory";
pub(super) const RESUME: &str = "Resuming";
pub(super) const TIMEOUTS: &str = "Timeouts";
pub(super) const STORE: &str = "Reaching the store";
pub(super) const OUTPUT: &str = "Output";

pub(super) const PROGRAM: &str = "\
Examples:
  drive-agent drives
  drive-agent import /dev/sdb https://acme.blob.core.windows.net/drives/sdb.img
  drive-agent export /backup/sdb.img /dev/sdc --confirm WD-1234
  drive-agent verify /backup/sdb.img.manifest.jsonl --drive /dev/sdb
  drive-agent serve

Options from elsewhere:
  Every option of a transfer is also a variable: `--chunk-size` is DRIVE_AGENT_CHUNK_SIZE. Those that may hold for all
  transfers can stand in $XDG_CONFIG_HOME/drive-agent/options.toml (or the file of DRIVE_AGENT_OPTIONS_FILE), such as
  `chunk-size = \"16MiB\"`. The command line is taken first, then the variable, then the file.

Exit codes: 0 complete, 1 failed, 2 usage, 3 refused by a safety rule, 4 complete with unreadable ranges, 5 mismatch, \
6 drive failed, 7 store failed, 130 cancelled with a receipt.";

pub(super) const PROGRAM_SHORT: &str = "Every command has examples: `drive-agent import --help`.";

pub(super) const IMPORT: &str = "\
Examples:
  An attached drive into a file, and the file read again:
    drive-agent import /dev/sdb /backup/sdb.img --verify read-back
  Into blob storage, with the credentials that the `az` command takes from the environment:
    drive-agent import /dev/sdb az://drives/sdb.img --tier cool
  What would be done, without doing it:
    drive-agent import /dev/sdb az://drives/sdb.img --dry-run
  A drive that fails: every sector that can be read, with a map that ddrescue understands:
    drive-agent import /dev/sdb /backup/sdb.img --on-unreadable rescue --mapfile /backup/sdb.map
  The disk of a virtual machine:
    drive-agent import disk.raw az://disks/disk.vhd --blob-type page --blob-format vhd

The same command again resumes what was interrupted.";

pub(super) const EXPORT: &str = "\
Examples:
  Onto an attached drive, named by its serial number so that no other one is written:
    drive-agent export az://drives/sdb.img /dev/sdc --confirm WD-1234
  Into an image, and the image read again:
    drive-agent export /backup/sdb.img disk.raw --verify read-back

The same command again resumes what was interrupted.";

pub(super) const VERIFY: &str = "\
Examples:
  A blob against its manifest:
    drive-agent verify az://drives/sdb.img.manifest.jsonl --blob az://drives/sdb.img
  The drive that was imported, and the blob:
    drive-agent verify /backup/sdb.img.manifest.jsonl --drive /dev/sdb --blob /backup/sdb.img";

pub(super) const TRANSFERS: &str = "\
Examples:
  drive-agent transfers
  drive-agent transfers show /backup/sdb.img
  drive-agent transfers discard /backup/sdb.img";

pub(super) const DRIVES: &str = "\
Examples:
  drive-agent drives
  drive-agent drives --watch
  drive-agent drives attach disk.raw --read-only
  drive-agent drives detach disk.raw
  drive-agent drives describe sample-drives/disk.toml";

pub(super) const BENCH: &str = "\
Examples:
  drive-agent bench
  drive-agent bench --drive /dev/sdb --store null --direction import --html report.html
  drive-agent bench peers --only upload --json before.json
  drive-agent bench compare before.json after.json";

pub(super) const SERVE: &str = "\
Examples:
  With an account `local` below the state directory and two empty bays, at http://127.0.0.1:7070:
    drive-agent serve
  As a service of the machine:
    drive-agent serve --config /etc/drive-agent/service.toml --check
    drive-agent serve --config /etc/drive-agent/service.toml";

pub(super) const STATION: &str = "\
Examples:
  drive-agent station --service https://jobs.example --token-file dock-3.token --config station.toml";

pub(super) const JOBS: &str = "\
Examples:
  drive-agent jobs create mine --kind import --account local --drive WD-1234
  drive-agent jobs ship mine --carrier DHL --tracking 00340434 --return-address address.json
  drive-agent jobs show mine --watch
  drive-agent jobs cancel mine";

pub(super) const BAYS: &str = "\
Examples:
  drive-agent bays
  drive-agent bays attention
  drive-agent bays dock bay-1 disk.raw --drive-id WD-1234
  drive-agent bays rate 200MB/s";

pub(super) const TOKENS: &str = "\
Examples:
  drive-agent tokens create acme --for default
  drive-agent tokens create dock-3 --station
  drive-agent tokens list";

pub(super) const COMPLETIONS: &str = "\
Examples:
  drive-agent completions bash
  drive-agent completions zsh";

pub(super) const MAN: &str = "\
Examples:
  drive-agent man import
  drive-agent man --dir /usr/share/man/man1";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Arguments;

    #[test]
    fn every_example_is_a_command_line() {
        let examples =
            [PROGRAM, IMPORT, EXPORT, VERIFY, TRANSFERS, DRIVES, BENCH, SERVE, STATION, JOBS, BAYS, TOKENS, COMPLETIONS, MAN];
        for text in examples {
            let mut count = 0;
            for line in text.lines().map(str::trim).filter(|line| line.starts_with("drive-agent ")) {
                let parsed = Arguments::command().try_get_matches_from(line.split(' '));
                assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
                count += 1;
            }
            assert!(count > 0, "no example in {text}");
        }
    }

    #[test]
    fn every_command_has_examples() {
        for command in Arguments::command().get_subcommands().filter(|command| command.get_name() != "version") {
            let help = command.get_after_long_help().or_else(|| command.get_after_help()).map(ToString::to_string);
            assert!(help.is_some_and(|help| help.starts_with("Examples:")), "{}", command.get_name());
        }
    }
}
