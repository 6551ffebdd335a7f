//! `drive-agent tokens`

use protocol::operator::{List, MadeToken, NewToken, OpenSession, Token, TokenRole};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::{TokensArguments, TokensCommand};
use crate::client::{ClientError, JobService};
use crate::commands::answered;
use crate::printer::{Printer, table};

/// Makes, lists or revokes tokens.
pub(crate) async fn run(arguments: TokensArguments, printer: &Printer) -> u8 {
    answered(tokens(&arguments, printer).await, printer)
}

async fn tokens(arguments: &TokensArguments, printer: &Printer) -> Result<(), ClientError> {
    let service = JobService::new(&arguments.connect)?;
    match &arguments.command {
        TokensCommand::Create { name, subscriptions, operator, station } => {
            let role = match (operator, station) {
                (true, _) => TokenRole::Operator,
                (_, true) => TokenRole::Station,
                _ => TokenRole::Customer,
            };
            let body = NewToken { name: name.clone(), role: Some(role), subscriptions: subscriptions.clone() };
            let made: MadeToken = service.operator_post(&["tokens"], Some(&body)).await?;
            printer.document(&made, || format!("{}\n", made.token));
        }
        TokensCommand::List => {
            let List { value: list } = service.operator_get::<List<Token>>(&["tokens"], &[]).await?;
            printer.document(&list, || {
                let row = |token: &Token| vec![token.name.clone(), token.role.name().to_owned(), token.subscriptions.join(", ")];
                let head = ["NAME", "ROLE", "SUBSCRIPTIONS"].map(str::to_owned).to_vec();
                table(std::iter::once(head).chain(list.iter().map(row)).collect())
            });
        }
        TokensCommand::Sessions => {
            let List { value: list } = service.operator_get::<List<OpenSession>>(&["sessions"], &[]).await?;
            printer.document(&list, || {
                let time = |at: OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
                let row = |one: &OpenSession| vec![one.id.clone(), one.name.clone(), time(one.opened_at), time(one.expires_at)];
                let head = ["SESSION", "WHO", "SINCE", "UNTIL"].map(str::to_owned).to_vec();
                table(std::iter::once(head).chain(list.iter().map(row)).collect())
            });
        }
        TokensCommand::EndSession { id } => {
            service.operator_delete(&["sessions", id]).await?;
            printer.document(&json!({ "id": id }), || format!("the session `{id}` was ended\n"));
        }
        TokensCommand::Revoke { name } => {
            service.operator_delete(&["tokens", name]).await?;
            printer.document(&json!({ "name": name }), || format!("the token `{name}` was revoked\n"));
        }
    }
    Ok(())
}
