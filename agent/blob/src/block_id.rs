//! A block is named by its content.
//!
//! The id is a fixed prefix and the SHA-256 of the block; Azure sees it in base64. So the store's own
//! list of blocks says what it holds, a repeated chunk needs one block, and no journal is needed to
//! find out. All ids have one length, as Put Block demands within a blob.

use protocol::digest::Sha256Digest;

/// Name of the scheme, as the manifest's header has it.
pub const SCHEME: &str = "da1+sha256";

/// Four bytes make an id of 36 bytes, 48 characters in base64 without padding; Azure allows 64 bytes.
const PREFIX: &[u8; 4] = b"da1:";

/// Length of every id, in bytes.
pub const BLOCK_ID_BYTES: usize = PREFIX.len() + 32;

/// The id of the block with this content.
pub fn block_id(digest: &Sha256Digest) -> Vec<u8> {
    [PREFIX.as_slice(), &digest.0].concat()
}

/// The content that an id names, or `None` for an id of another program.
pub fn content_of(id: &[u8]) -> Option<Sha256Digest> {
    id.strip_prefix(PREFIX)?.try_into().ok().map(Sha256Digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_content() {
        let digest = Sha256Digest::of(b"block");
        let id = block_id(&digest);
        assert_eq!(id.len(), BLOCK_ID_BYTES);
        assert_eq!(content_of(&id), Some(digest));
        assert_eq!(content_of(&id[..35]), None);
        assert_eq!(content_of(b"0000000000000000000000000000000000000"), None);
    }
}
