//! Who is told when a job comes to a state: a webhook, or people by mail.
//!
//! Each message is an effect of the change that it tells of, written with it and sent at least once: one whose answer was lost
//! comes again under the same id.
//!
//! | file | responsibility |
//! |---|---|
//! | [`settings`] | what the configuration says, and what is wrong with it |
//! | `message` | what is told of a job |
//! | `webhook` | sending it to a program, signed |
//! | `mail` | sending it to people |

mod mail;
mod message;
pub mod settings;
mod webhook;

use std::collections::HashMap;
use std::time::Duration;

use protocol::job::Notice;

use self::mail::Mailer;
use self::message::Message;
use self::settings::{NotifySettings, Recipients, SmtpSettings};
use self::webhook::Webhook;
use crate::store::{NoticeRule, StoredJob};

/// How long one attempt may take altogether: a server that says a little now and then passes every limit of a single answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);

/// Sends what is told of jobs.
pub struct Notifier {
    targets: HashMap<String, Target>,
    mailer: Option<Mailer>,
    /// What links begin with, where the service has a name that others know.
    public_url: Option<String>,
}

enum Target {
    Webhook(Box<Webhook>),
    Mail(Recipients),
}

impl Notifier {
    /// What the settings describe.
    ///
    /// # Errors
    /// With one sentence that names the setting.
    pub fn new(settings: &[NotifySettings], smtp: Option<&SmtpSettings>, public_url: Option<&str>) -> Result<Self, String> {
        let mailer = smtp.map(Mailer::new).transpose()?;
        let mut targets = HashMap::new();
        for one in settings {
            let target = match one.recipients()? {
                Some(_) if mailer.is_none() => {
                    return Err(format!("`notify` `{}` sends mail: say by which server with `[smtp]`", one.name));
                }
                Some(recipients) => Target::Mail(recipients),
                None => Target::Webhook(Box::new(Webhook::new(one)?)),
            };
            if targets.insert(one.name.clone(), target).is_some() {
                return Err(format!("there are two of `notify` `{}`", one.name));
            }
        }
        let public_url = public_url.map(|url| url.trim_end_matches('/').to_owned());
        Ok(Notifier { targets, mailer, public_url })
    }

    /// Whether the mail server takes this service's messages, where there is one.
    ///
    /// # Errors
    /// With one sentence, where it does not.
    pub async fn check_mail(&self) -> Result<(), String> {
        match &self.mailer {
            Some(mailer) => mailer.check().await,
            None => Ok(()),
        }
    }

    /// Sends a notice of a job. One for somebody whom the configuration does not name any more is dropped.
    pub(crate) async fn send(&self, job: &StoredJob, notice: &Notice, effect_id: i64) -> Result<(), String> {
        let Some(target) = self.targets.get(&notice.to) else {
            tracing::warn!(
                to = notice.to,
                job = job.uid,
                "a notice is dropped: the configuration does not name its receiver any more"
            );
            return Ok(());
        };
        let message = Message::new(job, notice, effect_id, self.public_url.as_deref());
        let sending = async {
            match (target, &self.mailer) {
                (Target::Webhook(webhook), _) => webhook.send(&message).await,
                (Target::Mail(recipients), Some(mailer)) => mailer.send(&recipients.of(job), &message).await,
                (Target::Mail(_), None) => Ok(()),
            }
        };
        let sent = tokio::time::timeout(ATTEMPT_TIMEOUT, sending).await;
        let result = sent.unwrap_or_else(|_| Err(format!("it did not take the message within {} s", ATTEMPT_TIMEOUT.as_secs())));
        result.map_err(|error| format!("`notify` `{}`: {error}", notice.to))
    }
}

/// Which notices are written with which changes.
pub fn rules(settings: &[NotifySettings]) -> Vec<NoticeRule> {
    settings.iter().map(NotifySettings::rule).collect()
}
