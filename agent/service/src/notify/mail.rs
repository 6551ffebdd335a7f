//! Messages to people: mail, through a server that the configuration names.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lettre::message::{Mailbox, header};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use super::message::Message;
use super::settings::{Encryption, SmtpSettings};

/// How long the server may take for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A mail server, and who this service is to it.
pub(super) struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    /// The server, for errors.
    server: String,
    /// Of messages that are not sent to all yet: those who need no further attempt.
    done: Mutex<HashMap<String, Vec<Address>>>,
}

impl Mailer {
    /// The server that the settings describe. It is not asked anything yet.
    pub(super) fn new(settings: &SmtpSettings) -> Result<Self, String> {
        settings.check()?;
        let SmtpSettings { server, port, encryption, ca, user, password_file, from } = settings;
        let tls = || {
            let mut parameters = TlsParameters::builder(server.clone());
            for certificate in ca.iter().map(|path| certificate(path)).collect::<Result<Vec<_>, _>>()? {
                parameters = parameters.add_root_certificate(certificate);
            }
            parameters.build().map_err(|error| format!("`smtp`: {error}"))
        };
        let (tls, usual_port) = match encryption {
            Encryption::Tls => (Tls::Wrapper(tls()?), 465),
            Encryption::StartTls => (Tls::Required(tls()?), 587),
            Encryption::None => (Tls::None, 25),
        };
        let port = port.unwrap_or(usual_port);
        let mut transport =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server).port(port).tls(tls).timeout(Some(ANSWER_TIMEOUT));
        if let (Some(user), Some(path)) = (user, password_file) {
            transport =
                transport.credentials(Credentials::new(user.clone(), read(path, "smtp.password_file")?.trim().to_owned()));
        }
        let from = from.parse().map_err(|error| format!("`smtp.from` is not a mail address: {error}"))?;
        Ok(Mailer { transport: transport.build(), from, server: format!("{server}:{port}"), done: Mutex::default() })
    }

    /// Whether the server answers.
    pub(super) async fn check(&self) -> Result<(), String> {
        match self.transport.test_connection().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("`{}` does not answer as a mail server", self.server)),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Sends a message to each of these addresses; none of them sees the others. One that the server refuses for good gets nothing,
    /// and those that have the message do not get it again with the next attempt, unless the service was started anew meanwhile.
    pub(super) async fn send(&self, to: &[Address], message: &Message) -> Result<(), String> {
        let mut failed = Ok(());
        for address in to {
            if self.done(&message.id).contains(address) {
                continue;
            }
            match self.transport.send(self.mail(address, message)?).await {
                Ok(_) => {}
                Err(error) if error.is_permanent() => {
                    let error = self.failed(&error);
                    tracing::warn!(message = message.id, error, "a mail about a job is refused for good by its server");
                }
                Err(error) => {
                    failed = Err(self.failed(&error));
                    continue;
                }
            }
            self.done.lock().unwrap_or_else(PoisonError::into_inner).entry(message.id.clone()).or_default().push(address.clone());
        }
        if failed.is_ok() {
            self.done.lock().unwrap_or_else(PoisonError::into_inner).remove(&message.id);
        }
        failed
    }

    /// The addresses that need no further attempt.
    fn done(&self, id: &str) -> Vec<Address> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned().unwrap_or_default()
    }

    fn mail(&self, to: &Address, message: &Message) -> Result<lettre::Message, String> {
        let host = self.from.email.domain();
        lettre::Message::builder()
            .message_id(Some(format!("<{}@{host}>", message.id)))
            .from(self.from.clone())
            .to(Mailbox::new(None, to.clone()))
            .header(header::ContentType::TEXT_PLAIN)
            .subject(message.subject())
            .body(message.text())
            .map_err(|error| error.to_string())
    }

    fn failed(&self, error: &lettre::transport::smtp::Error) -> String {
        let mut text = format!("the mail server `{}`: {error}", self.server);
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    }
}

fn certificate(path: &Path) -> Result<Certificate, String> {
    let pem = read(path, "smtp.ca")?;
    Certificate::from_pem(pem.as_bytes()).map_err(|error| format!("`smtp.ca`: `{}` has no certificate: {error}", path.display()))
}

fn read(path: &Path, setting: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("`{setting}`: `{}` cannot be read: {error}", path.display()))
}
