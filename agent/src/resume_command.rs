//! The command that continues: this one, without its secrets and without `--restart`, and with the options that came from
//! variables and from the file of options, so that it works in another shell too. A journal keeps it for
//! `drive-agent transfers`.

use std::path::Path;
use std::sync::OnceLock;

use protocol::manifest::BegunBy;

use crate::cli::TransfersArguments;
use crate::secrets::without_query;

static GIVEN_ELSEWHERE: OnceLock<Vec<String>> = OnceLock::new();

/// Keeps the options that are not on the command line, once for the process.
pub(crate) fn keep_given_elsewhere(options: Vec<String>) {
    let _ = GIVEN_ELSEWHERE.set(options);
}

/// The command that continues.
pub(crate) fn resume_command() -> String {
    let mut arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    // What follows `--` would not be taken for an option.
    let end = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    arguments.splice(end..end, GIVEN_ELSEWHERE.get().into_iter().flatten().cloned());
    let mut is_proxy = false;
    let shown = arguments.into_iter().filter(|argument| argument != "--restart").map(|argument| {
        let is_after_option = std::mem::replace(&mut is_proxy, argument == PROXY_OPTION);
        if let Some(proxy) = argument.strip_prefix(PROXY_OPTION).and_then(|rest| rest.strip_prefix('=')) {
            return quote(&format!("{PROXY_OPTION}={}", without_password(proxy)));
        }
        if is_after_option {
            return quote(&without_password(&argument));
        }
        quote(&without_signature(&argument))
    });
    std::iter::once("drive-agent".to_owned()).chain(shown).collect::<Vec<_>>().join(" ")
}

/// The same from this folder, for the transfer of a journal.
pub(crate) fn resume_command_of(begun_by: &BegunBy) -> String {
    let BegunBy { folder, command } = begun_by;
    match std::env::current_dir().is_ok_and(|here| here == Path::new(folder)) {
        true => command.clone(),
        false => format!("cd {} && {command}", quote(folder)),
    }
}

/// The command that discards a transfer which `arguments` found: the state directory and the way to the store are as there.
pub(crate) fn discard_command(what: &str, arguments: &TransfersArguments) -> String {
    let network = &arguments.network;
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned();
    let trusted = network.trust_host.iter().map(|host| ("--trust-host", host.to_string()));
    let others = [
        ("--s3-endpoint", network.s3_endpoint.clone()),
        ("--gcs-endpoint", network.gcs_endpoint.clone()),
        (PROXY_OPTION, network.proxy.as_deref().map(without_password)),
        ("--ca", network.ca.as_deref().map(absolute)),
        ("--state-dir", arguments.state_dir.as_deref().map(absolute)),
    ];
    let others = others.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let options = trusted.chain(others).map(|(name, value)| format!(" {name} {}", quote(&value)));
    format!("drive-agent transfers discard {}{}", quote(what), options.collect::<String>())
}

/// An address as it may be shown: the signature has to be put there again.
pub(crate) fn without_signature(argument: &str) -> String {
    match without_query(argument) {
        shown if shown == argument => shown,
        shown => format!("{shown}{}SAS", if shown.contains('?') { '&' } else { '?' }),
    }
}

/// The option whose value may have a password in it.
const PROXY_OPTION: &str = "--proxy";

/// The address of a proxy as it may be shown: what has to be put there again stands in its place.
fn without_password(proxy: &str) -> String {
    let Some((before, host)) = proxy.rsplit_once('@') else { return proxy.to_owned() };
    let scheme = before.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
    format!("{scheme}NAME:PASSWORD@{host}")
}

/// Quotes an argument for a shell where it needs that.
pub(crate) fn quote(argument: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,+@%".contains(letter);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_for_a_shell() {
        assert_eq!(quote("/dev/sdb"), "/dev/sdb");
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
    }

    #[test]
    fn the_password_of_a_proxy_is_never_shown() {
        assert_eq!(without_password("http://us:SE@CRET@p:1"), "http://NAME:PASSWORD@p:1");
        assert_eq!(without_password("us:SECRET@p:1"), "NAME:PASSWORD@p:1");
        assert_eq!(without_password("http://p:1"), "http://p:1");
    }
}
