//! `drive-agent tokens`

use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::{TokensArguments, TokensCommand};
use crate::client::{ClientError, JobService};
use crate::commands::answered;
use crate::printer::{Printer, table};

/// Makes, lists or takes back tokens.
pub(crate) async fn run(arguments: TokensArguments, printer: &Printer) -> u8 {
    answered(tokens(&arguments, printer).await, printer)
}

async fn tokens(arguments: &TokensArguments, printer: &Printer) -> Result<(), ClientError> {
    let service = JobService::new(&arguments.connect)?;
    match &arguments.command {
        TokensCommand::Create { name, subscriptions, .. } => {
            let body = json!({ "name": name, "subscriptions": subscriptions });
            let made = service.operator(Method::POST, &["tokens"], Some(&body), &[]).await?;
            printer.document(&made, || format!("{}\n", made["token"].as_str().unwrap_or_default()));
        }
        TokensCommand::List => {
            let list = service.operator(Method::GET, &["tokens"], None, &[]).await?;
            printer.document(&list["value"], || {
                let row = |token: &Value| {
                    let own = token["subscriptions"].as_array().into_iter().flatten().filter_map(Value::as_str);
                    let text = |name: &str| token[name].as_str().unwrap_or_default().to_owned();
                    vec![text("name"), text("role"), own.collect::<Vec<_>>().join(", ")]
                };
                let head = ["NAME", "ROLE", "SUBSCRIPTIONS"].map(str::to_owned).to_vec();
                let rows = list["value"].as_array().into_iter().flatten().map(row);
                table(std::iter::once(head).chain(rows).collect())
            });
        }
        TokensCommand::Revoke { name } => {
            service.operator(Method::DELETE, &["tokens", name], None, &[]).await?;
            printer.document(&json!({ "name": name }), || format!("the token `{name}` was taken back\n"));
        }
    }
    Ok(())
}
