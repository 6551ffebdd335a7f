//! What fuzz targets try of Azure's answers, and of credentials.

use std::collections::HashMap;
use std::sync::Arc;

use azure_core::http::Transport;
use azure_storage_blob::models::BlockList;
use protocol::digest::Sha256Digest;
use protocol::units::ByteRange;

use super::block;
use super::credentials::Proof;
use super::sign_in::TokenTransports;
use crate::address::AzureAddress;
use crate::credential_error::CredentialError;
use crate::environment::Environment;
use crate::http::{range, server_text};

/// What is repeated of the body of an error.
pub fn server_text(body: &[u8]) -> Option<String> {
    server_text::server_text(body)
}

/// The chunks of ours in a list of blocks, with their sizes; `None` where it is not a list.
pub fn chunks_of_list(xml: &[u8]) -> Option<HashMap<Sha256Digest, u64>> {
    let list: BlockList = azure_core::xml::from_xml(xml).ok()?;
    let mut all = block::own_chunks(list.uncommitted_blocks);
    all.extend(block::own_chunks(list.committed_blocks));
    Some(all)
}

/// Whether `Content-Range` says what was asked for.
pub fn is_asked_range(content_range: Option<&str>, asked: ByteRange, length_bytes: Option<u64>) -> bool {
    range::is_asked_range(content_range, None, asked, length_bytes).is_ok()
}

/// The kind of the credentials that would be used.
///
/// # Errors
/// When there are none.
pub fn proof(environment: &Environment, address: &AzureAddress) -> Result<&'static str, CredentialError> {
    let transport = Transport::new(Arc::new(reqwest::Client::new()));
    let transports = TokenTransports { across: transport.clone(), of_machine: transport };
    Ok(match environment.proof_for(address, &transports)? {
        Proof::Sas(_) => "sas",
        Proof::SharedKey { .. } => "key",
        Proof::Entra(_) => "entra",
    })
}
