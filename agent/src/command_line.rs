//! The command line together with what stands elsewhere: variables, and the file of options.
//!
//! Taken first is the command line, then the variable, then the file, then the default.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::builder::BoolishValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, ColorChoice, Command, CommandFactory, FromArgMatches};

use crate::cli::{Arguments, Common};

/// Commands whose options are variables too.
const TRANSFER_COMMANDS: [&str; 4] = ["import", "export", "verify", "transfers"];

/// An option that means the same wherever it is.
const STATE_DIR: &str = "state-dir";

/// What names the ends of a verification; what a variable of its own adds to (`--trust-host`); and what would make the
/// command that resumes start over.
const WITHOUT_VARIABLE: [&str; 4] = ["drive", "blob", "trust-host", "restart"];

/// Options that may hold for all transfers. The others are about one of them, such as what it may replace.
const LASTING: [&str; 19] = [
    "ca",
    "chunk-size",
    "color",
    "concurrency",
    "drain-timeout",
    "log-file",
    "memory",
    "on-unreadable",
    "progress",
    "proxy",
    "quiet",
    "rate",
    "read-timeout",
    "request-timeout",
    "retry-budget",
    STATE_DIR,
    "stream-sha256",
    "trust-host",
    "verify",
];

/// What the output looks like does not belong into the command that resumes.
const NOT_REPEATED: [&str; 7] = ["output", "progress", "quiet", "color", "log-file", "verbose", "restart"];

/// Names another file of options; empty for none.
const FILE_VARIABLE: &str = "DRIVE_AGENT_OPTIONS_FILE";

const FILE_BYTES_MAX: u64 = 64 << 10;

/// What was asked for.
pub(crate) struct CommandLine {
    pub(crate) arguments: Arguments,
    /// Options of a transfer that are not on the command line, as they would be written there.
    pub(crate) given_elsewhere: Vec<String>,
}

/// Why it could not be understood.
pub(crate) enum UsageError {
    /// What the parser says, which may be the help, and which variables it is about.
    Parser(clap::Error, Vec<String>),
    /// The file of options.
    File { common: Box<Common>, message: String },
}

impl CommandLine {
    /// Understands the process's arguments, its variables and the file of options.
    ///
    /// # Errors
    /// When one of them cannot be understood, and for help and version.
    pub(crate) fn read() -> Result<Self, UsageError> {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        let plain = Arguments::command().color(color_of(&arguments));
        let with_variables = take_variables(plain.clone());
        let refused = |said: clap::Error| {
            let variables = variables_in(&plain, &said.render().to_string());
            UsageError::Parser(said, variables)
        };
        let first = with_variables.clone().try_get_matches_from(&arguments).map_err(refused)?;
        let parsed = Arguments::from_arg_matches(&first).map_err(refused)?;
        let Some(path) = options_file() else { return Ok(Self::of(parsed, &first, &with_variables, &[])) };
        let of_file = |message: String| UsageError::File { common: Box::new(parsed.common), message };
        let options = match read_options(&path, &plain) {
            Ok(options) => options,
            Err(message) => return Err(of_file(message)),
        };
        let whole = take_options(with_variables, &options);
        let matches = whole.clone().try_get_matches_from(&arguments).map_err(refused)?;
        let parsed = Arguments::from_arg_matches(&matches).map_err(refused)?;
        Ok(Self::of(parsed, &matches, &whole, &options))
    }

    fn of(arguments: Arguments, matches: &ArgMatches, command: &Command, options: &[FileOption]) -> Self {
        let given_elsewhere = match matches.subcommand() {
            Some((name @ ("import" | "export" | "verify"), matches)) => {
                command.find_subcommand(name).map(|command| given_elsewhere(command, matches, options)).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        CommandLine { arguments, given_elsewhere }
    }
}

/// The colour of help, which is written before anything is understood.
fn color_of(arguments: &[OsString]) -> ColorChoice {
    let words: Vec<&str> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    let is_asked = |word: &str| {
        words.contains(&format!("--color={word}").as_str()) || words.windows(2).any(|pair| pair == ["--color", word])
    };
    match (is_asked("never"), is_asked("always")) {
        (true, _) => ColorChoice::Never,
        (_, true) => ColorChoice::Always,
        _ => ColorChoice::Auto,
    }
}

/// The variable of an option.
fn variable_of(long: &str) -> String {
    format!("DRIVE_AGENT_{}", long.to_uppercase().replace('-', "_"))
}

/// An empty variable is one that is not set.
fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// Changes every option that `chosen` says, at the top and of each command.
fn change_options(command: Command, chosen: impl Fn(&str, &str) -> bool, change: impl Fn(&str, Arg) -> Arg) -> Command {
    let change_in = |command: Command, name: &str| {
        let options = command.get_arguments().filter_map(|arg| Some((arg.get_id().to_string(), arg.get_long()?.to_owned())));
        let options: Vec<(String, String)> = options.filter(|(_, long)| chosen(name, long)).collect();
        options.into_iter().fold(command, |command, (id, long)| command.mut_arg(id, |arg| change(&long, arg)))
    };
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let command = change_in(command, "");
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name.clone(), |command| change_in(command, &name)))
}

/// Whether the option of the command (empty: of all commands) can be given elsewhere.
fn is_elsewhere(command: &str, long: &str) -> bool {
    match command {
        "" => true,
        command if TRANSFER_COMMANDS.contains(&command) => !WITHOUT_VARIABLE.contains(&long),
        _ => long == STATE_DIR,
    }
}

fn take_variables(command: Command) -> Command {
    let chosen = |command: &str, long: &str| is_elsewhere(command, long) && is_set(&variable_of(long));
    change_options(command, chosen, |long, arg| {
        let arg = arg.env(variable_of(long)).hide_env(true);
        match arg.get_action() {
            ArgAction::SetTrue => arg.value_parser(BoolishValueParser::new()),
            _ => arg,
        }
    })
}

/// The variables that are set of the options that a text names.
fn variables_in(command: &Command, text: &str) -> Vec<String> {
    let all = std::iter::once(("", command)).chain(command.get_subcommands().map(|command| (command.get_name(), command)));
    let longs = all.flat_map(|(name, command)| {
        command.get_arguments().filter_map(move |arg| arg.get_long().filter(|long| is_elsewhere(name, long)))
    });
    let is_named = |long: &&str| {
        text.split(|letter: char| !(letter.is_alphanumeric() || letter == '-')).any(|word| word == format!("--{long}"))
    };
    let mut variables: Vec<String> = longs.filter(is_named).map(variable_of).filter(|variable| is_set(variable)).collect();
    variables.sort();
    variables.dedup();
    variables
}

/// An option that the file gives, and its values.
struct FileOption {
    long: String,
    values: Vec<String>,
}

/// The file of options, where there is one.
fn options_file() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(FILE_VARIABLE) {
        return Some(PathBuf::from(named)).filter(|path| !path.as_os_str().is_empty());
    }
    let from = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = from("XDG_CONFIG_HOME").or_else(|| Some(from("HOME")?.join(".config")))?;
    // Its absence is the usual case; anything else is said when it is read.
    Some(base.join("drive-agent/options.toml")).filter(|path| std::fs::symlink_metadata(path).is_ok())
}

fn read_options(path: &Path, command: &Command) -> Result<Vec<FileOption>, String> {
    let named = |problem: String| {
        let next = "mend it, or set DRIVE_AGENT_OPTIONS_FILE to another file, or to nothing for none";
        format!("the file of options `{}` cannot be used: {problem}; {next}", path.display())
    };
    let text = read_text(path).map_err(|error| named(error.to_string()))?;
    let parsed = toml::from_str(&text).map_err(|error: toml::de::Error| {
        let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
        named(format!("line {}: {}", line.unwrap_or(1), error.message()))
    });
    let table: toml::Table = parsed?;
    table.iter().map(|(long, value)| file_option(command, long, value).map_err(named)).collect()
}

/// A device or a pipe in its place must not hold the program up.
fn read_text(path: &Path) -> std::io::Result<String> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it is not a file of at most {FILE_BYTES_MAX} bytes")));
    }
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn file_option(command: &Command, long: &str, value: &toml::Value) -> Result<FileOption, String> {
    if !LASTING.contains(&long) {
        return Err(format!("`{long}` cannot stand there: what can is {}", LASTING.join(", ")));
    }
    let all = std::iter::once(command).chain(command.get_subcommands());
    let found = all.flat_map(Command::get_arguments).find(|arg| arg.get_long() == Some(long));
    let arg = found.ok_or_else(|| format!("no command has `{long}`"))?;
    let values = match (arg.get_action(), value) {
        (ArgAction::SetTrue, toml::Value::Boolean(is_on)) => vec![is_on.to_string()],
        (ArgAction::SetTrue, _) => return Err(format!("`{long}` is true or false")),
        (ArgAction::Append, toml::Value::Array(values)) => {
            values.iter().map(|value| text_of(long, value)).collect::<Result<_, _>>()?
        }
        (_, value) => vec![text_of(long, value)?],
    };
    if !matches!(arg.get_action(), ArgAction::SetTrue) {
        let words = values.iter().map(|value| format!("--{long}={value}"));
        let alone = Command::new("options").no_binary_name(true).arg(arg.clone());
        alone.try_get_matches_from(words).map_err(|said| first_line(&said))?;
    }
    Ok(FileOption { long: long.to_owned(), values })
}

fn text_of(long: &str, value: &toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        _ => Err(format!("the value of `{long}` is neither a text nor a number")),
    }
}

fn first_line(said: &clap::Error) -> String {
    let text = said.render().to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// Makes defaults of what the file says: the command line and the variables go over it.
fn take_options(command: Command, options: &[FileOption]) -> Command {
    let of = |long: &str| options.iter().find(|option| option.long == long);
    let chosen = |command: &str, long: &str| {
        let is_for = command.is_empty() || TRANSFER_COMMANDS.contains(&command) || long == STATE_DIR;
        is_for && of(long).is_some()
    };
    change_options(command, chosen, |long, arg| {
        let values = of(long).map(|option| option.values.clone()).unwrap_or_default();
        arg.default_values(values)
    })
}

/// Options of a transfer that came from elsewhere, as they are written on a command line.
fn given_elsewhere(command: &Command, matches: &ArgMatches, options: &[FileOption]) -> Vec<String> {
    let mut words = Vec::new();
    for arg in command.get_arguments() {
        let Some(long) = arg.get_long().filter(|long| !NOT_REPEATED.contains(long)) else { continue };
        let is_elsewhere = match matches.value_source(arg.get_id().as_str()) {
            Some(ValueSource::EnvVariable) => true,
            Some(ValueSource::DefaultValue) => options.iter().any(|option| option.long == long),
            _ => false,
        };
        if !is_elsewhere {
            continue;
        }
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            words.extend(matches.get_flag(arg.get_id().as_str()).then(|| format!("--{long}")));
        } else {
            let values = matches.get_raw(arg.get_id().as_str()).into_iter().flatten();
            words.extend(values.map(|value| format!("--{long}={}", value.to_string_lossy())));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lasting_option_is_one() {
        let command = Arguments::command();
        for long in LASTING {
            let transfers = command.get_subcommands().filter(|command| TRANSFER_COMMANDS.contains(&command.get_name()));
            let mut all = std::iter::once(&command).chain(transfers).flat_map(Command::get_arguments);
            assert!(all.any(|arg| arg.get_long() == Some(long)), "{long}");
        }
    }

    #[test]
    fn nothing_about_one_transfer_stands_in_the_file() {
        for long in ["overwrite", "restart", "confirm", "yes", "manifest", "dry-run", "into-existing", "output"] {
            let refused = file_option(&Arguments::command(), long, &toml::Value::Boolean(true)).err();
            assert!(refused.is_some_and(|text| text.contains("cannot stand there")), "{long}");
        }
    }

    #[test]
    fn a_wrong_value_is_refused_as_on_the_command_line() {
        let command = Arguments::command();
        for (long, value, expected) in [
            ("chunk-size", toml::Value::from("eight"), "--chunk-size"),
            ("concurrency", toml::Value::from(0), "--concurrency"),
            ("quiet", toml::Value::from("yes"), "true or false"),
            ("verify", toml::Value::from("twice"), "--verify"),
            ("rate", toml::Value::Boolean(true), "neither a text nor a number"),
        ] {
            let refused = file_option(&command, long, &value).err().unwrap_or_default();
            assert!(refused.contains(expected), "{long}: {refused}");
        }
        let taken = file_option(&command, "trust-host", &toml::Value::from(vec!["a.example", "b.example"]));
        assert_eq!(taken.map(|option| option.values).ok(), Some(vec!["a.example".to_owned(), "b.example".to_owned()]));
    }
}
