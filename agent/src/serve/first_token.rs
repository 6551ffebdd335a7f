//! The operator's token of a new service.

use std::path::Path;

use service::scheduler::Clock;
use service::store::{Actor, Role, Store, new_secret};

use super::state_dir::write_line;
use crate::local_service::TOKEN_FILE;

/// On first start there is one operator, whose token is in a file.
pub(super) async fn make_first_token(store: &Store, state_dir: &Path, clock: &Clock) -> Result<(), String> {
    let path = state_dir.join(TOKEN_FILE);
    let failed = |error: &dyn std::fmt::Display| format!("the first operator's token cannot be made: {error}");
    let known = store.tokens().await.map_err(|error| failed(&error))?;
    if known.iter().any(|actor| actor.role == Role::Operator) {
        return Ok(());
    }
    let actor = Actor { name: "operator".to_owned(), role: Role::Operator };
    // The file first: a token that is in no file would leave no operator.
    let secret = new_secret();
    write_line(&path, &secret).map_err(|error| failed(&error))?;
    store.accept_token(&secret, &actor, "first start", clock()).await.map_err(|error| failed(&error))
}
