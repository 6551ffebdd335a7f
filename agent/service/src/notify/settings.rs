//! Settings of notices, and what is wrong with them.

use std::path::PathBuf;

use lettre::Address;
use protocol::host::is_loopback;
use protocol::job::JobState;
use serde::Deserialize;
use url::Url;

use crate::store::{NoticeRule, StoredJob};

/// Who is told of which jobs: `[[notify]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NotifySettings {
    /// What the log calls it.
    pub name: String,
    /// The states that are told; every one behind `Creating`, where it is empty.
    pub states: Vec<String>,
    /// The subscriptions whose jobs are told; all, where it is empty.
    pub subscriptions: Vec<String>,
    /// The address that messages are posted to.
    pub webhook: Option<String>,
    /// A file with the secret that signs them.
    pub secret_file: Option<PathBuf>,
    /// Addresses that get mail.
    pub email: Vec<String>,
    /// Whether the address of the job's return address gets mail.
    pub email_customer: bool,
}

/// How mail is sent: `[smtp]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SmtpSettings {
    /// The name of the server.
    pub server: String,
    /// Its port; 465 for `tls`, 587 for `starttls`, 25 for `none`, where it is absent.
    pub port: Option<u16>,
    /// How what is said to it is kept secret.
    #[serde(default)]
    pub encryption: Encryption,
    /// The certificates that it is known by, in PEM, beside those of the system.
    pub ca: Option<PathBuf>,
    /// Who this service is to it.
    pub user: Option<String>,
    /// A file with the password.
    pub password_file: Option<PathBuf>,
    /// The address that messages come from.
    pub from: String,
}

/// How a connection to a mail server is kept secret.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    /// From the first byte.
    #[default]
    Tls,
    /// From a command on; a server that does not take it gets no message.
    StartTls,
    /// Not at all: a server on this host.
    None,
}

/// Who gets a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recipients {
    addresses: Vec<Address>,
    with_customer: bool,
}

impl Recipients {
    /// Their addresses for a job. A customer without an address, or with one that is none, gets nothing.
    pub(super) fn of(&self, job: &StoredJob) -> Vec<Address> {
        let customer = job.details.return_address.as_ref().and_then(|address| address.email.as_deref()?.trim().parse().ok());
        self.addresses.iter().cloned().chain(customer.filter(|_| self.with_customer)).collect()
    }
}

impl NotifySettings {
    /// Who gets mail; `None` where a webhook is told.
    ///
    /// # Errors
    /// With one sentence that names the setting.
    pub(super) fn recipients(&self) -> Result<Option<Recipients>, String> {
        let name = &self.name;
        if name.trim().is_empty() || !name.chars().all(protocol::text::is_displayed) {
            return Err(format!("`{name}` cannot be the name of a `notify`"));
        }
        self.states()?;
        let mails = !self.email.is_empty() || self.email_customer;
        match (&self.webhook, mails) {
            (None, false) => Err(format!("`notify` `{name}` tells nobody: give it `webhook`, `email` or `email_customer`")),
            (Some(_), true) => Err(format!("`notify` `{name}` has `webhook` and mail: write two of them")),
            (Some(_), false) => Ok(None),
            (None, true) if self.secret_file.is_some() => {
                Err(format!("`notify` `{name}` has `secret_file`, which signs webhooks: mail is not signed"))
            }
            (None, true) => {
                let address = |text: &String| {
                    text.parse().map_err(|error| format!("`{text}` of `notify` `{name}` is not a mail address: {error}"))
                };
                let addresses = self.email.iter().map(address).collect::<Result<_, String>>()?;
                Ok(Some(Recipients { addresses, with_customer: self.email_customer }))
            }
        }
    }

    fn states(&self) -> Result<Vec<JobState>, String> {
        if self.states.is_empty() {
            return Ok(JobState::ALL.into_iter().filter(|state| *state != JobState::Creating).collect());
        }
        let state =
            |text: &String| text.parse().map_err(|_| format!("`{text}` of `notify` `{}` is not a state of a job", self.name));
        self.states.iter().map(state).collect()
    }

    /// Which changes it is told of. The settings were checked.
    pub(super) fn rule(&self) -> NoticeRule {
        NoticeRule { to: self.name.clone(), states: self.states().unwrap_or_default(), subscriptions: self.subscriptions.clone() }
    }
}

/// An address to which what is sent cannot be read or changed on the way.
pub(super) fn private_url(text: &str, setting: &str) -> Result<Url, String> {
    // Without the address: it may be a secret.
    let url = Url::parse(text).map_err(|error| format!("{setting} is not a URL: {error}"))?;
    let is_private = match url.scheme() {
        "https" => url.host().is_some(),
        "http" => url.host_str().is_some_and(is_loopback),
        _ => false,
    };
    match is_private {
        true => Ok(url),
        false => Err(format!("{setting} can be read by others on the way: use https://")),
    }
}

impl SmtpSettings {
    /// Refuses a server to which messages and passwords would go in the clear over a network.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.encryption == Encryption::None && !is_loopback(&self.server) {
            return Err(format!(
                "`smtp.server` is `{}`, and mail to it can be read on the way: say `encryption = \"tls\"`",
                self.server
            ));
        }
        match (&self.user, &self.password_file) {
            (Some(_), None) => Err("`smtp.user` has no password: name its file in `smtp.password_file`".to_owned()),
            (None, Some(_)) => Err("`smtp.password_file` is there without `smtp.user`".to_owned()),
            _ => Ok(()),
        }
    }
}
