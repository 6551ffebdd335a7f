//! `drive-agent completions SHELL` and `drive-agent man`: made from the definition of the command line, so that they are never
//! behind it.

use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use protocol::outcome::{EXIT_USAGE, Outcome};

use crate::cli::{Arguments, CompletionsArguments, ManArguments};
use crate::printer::Printer;

/// Prints completions.
pub(crate) fn completions(arguments: &CompletionsArguments, printer: &Printer) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "drive-agent", &mut script);
    printer.raw(&String::from_utf8_lossy(&script));
    Outcome::Complete.exit_code()
}

/// Prints the page of one command, or writes those of all.
pub(crate) fn man(arguments: &ManArguments, printer: &Printer) -> u8 {
    let program = with_names(Arguments::command());
    let Some(directory) = &arguments.dir else { return print_page(&program, &arguments.command, printer) };
    let written = std::fs::create_dir_all(directory).and_then(|()| write_pages(&program, directory));
    match written {
        Ok(count) => {
            printer.inform(&format!("{count} pages are in `{}`", directory.display()));
            Outcome::Complete.exit_code()
        }
        Err(error) => {
            let place = directory.display();
            printer.error(&format!("the pages cannot be written to `{place}`: {error}; name a directory that can be written"));
            Outcome::Failed.exit_code()
        }
    }
}

fn print_page(program: &Command, words: &[String], printer: &Printer) -> u8 {
    let mut command = program;
    for word in words {
        let Some(found) = command.find_subcommand(word) else {
            let name = command.get_bin_name().unwrap_or("drive-agent");
            printer.error(&format!("`{name}` has no command `{word}`: see `{name} --help`"));
            return EXIT_USAGE;
        };
        command = found;
    }
    let page = page(command);
    match page {
        Ok(page) => printer.raw(&String::from_utf8_lossy(&page)),
        Err(error) => printer.error(&format!("the page cannot be made: {error}")),
    }
    Outcome::Complete.exit_code()
}

/// Gives every command its whole name, as `drive-agent jobs create`.
fn with_names(program: Command) -> Command {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    program
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let name = command.get_bin_name().unwrap_or("drive-agent").replace(' ', "-");
    let mut page = Vec::new();
    // The page has what `--help` has, and not only what `-h` has.
    let whole = command.clone().name(name).mut_args(|arg| arg.hide_short_help(false));
    Man::new(whole).section("1").manual("drive-agent").render(&mut page)?;
    Ok(page)
}

fn write_pages(command: &Command, directory: &Path) -> io::Result<usize> {
    let name = command.get_bin_name().unwrap_or("drive-agent").replace(' ', "-");
    let page = page(command)?;
    std::fs::write(directory.join(format!("{name}.1")), page)?;
    let mut count = 1;
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        count += write_pages(command, directory)?;
    }
    Ok(count)
}
