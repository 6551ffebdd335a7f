//! The checksum that S3 states of a whole object. It is told only where that is asked for, which takes the right to decrypt where
//! objects are encrypted with a key of the customer's: so a look at an object does not ask.

use azure_core::http::Method;
use azure_core::http::headers::Headers;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::digest::Sha256Digest;

use super::bucket::Asked;
use super::error::S3Failure;
use super::object::S3Blob;
use crate::error::BlobError;
use crate::facts::BlobFacts;
use crate::http::answers::header;
use crate::stated::StatedChecksum;

/// What one object says of its checksums.
enum Told {
    /// Of its bytes.
    OfWhole(StatedChecksum),
    /// Over the SHA-256 of so many parts.
    OfParts(Sha256Digest, u64),
}

/// What the store states of the version that was looked at; `None` where that is nothing, or another version is there.
pub(super) async fn stated(blob: &S3Blob, facts: &BlobFacts) -> Result<Option<StatedChecksum>, BlobError> {
    let Some(headers) = headers_of(blob, facts, &[]).await? else { return Ok(None) };
    match told(&headers) {
        Some(Told::OfWhole(stated)) => Ok(Some(stated)),
        Some(Told::OfParts(digest, parts)) => {
            let part_bytes = even_part_bytes(blob, facts, parts).await?;
            Ok(part_bytes.map(|part_bytes| StatedChecksum::Sha256OfParts { part_bytes, digest }))
        }
        None => Ok(None),
    }
}

/// The size of its parts, in bytes, where all but the last have the same, as ours have and those of most programs: where they may
/// differ, what was read cannot be cut as they were.
async fn even_part_bytes(blob: &S3Blob, facts: &BlobFacts, parts: u64) -> Result<Option<u64>, BlobError> {
    let Some(first) = bytes_of_part(blob, facts, 1).await?.filter(|first| *first > 0) else { return Ok(None) };
    if facts.size_bytes.div_ceil(first) != parts {
        return Ok(None);
    }
    let last = bytes_of_part(blob, facts, parts).await?;
    Ok((last == Some(facts.size_bytes - (parts - 1) * first)).then_some(first))
}

/// The size of a part, in bytes; `None` where it is not told.
async fn bytes_of_part(blob: &S3Blob, facts: &BlobFacts, number: u64) -> Result<Option<u64>, BlobError> {
    let headers = headers_of(blob, facts, &[("partNumber", &number.to_string())]).await?;
    Ok(headers.and_then(|headers| header(&headers, "content-length")?.parse().ok()))
}

/// The headers of the version that was looked at, with its checksums; `None` where they are not told.
async fn headers_of(blob: &S3Blob, facts: &BlobFacts, query: &[(&str, &str)]) -> Result<Option<Headers>, BlobError> {
    let asked = Asked::new(Method::Head, blob.key(), query)
        .with("x-amz-checksum-mode", Some("ENABLED".to_owned()))
        .with("if-match", Some(facts.version.clone()));
    match blob.bucket.ask(asked).await {
        Ok(answer) => Ok(Some(answer.headers)),
        // Who may read may not be told, and servers that do not know the question refuse it: the bytes come all the same.
        Err(S3Failure::Answer { status: 400..=499 | 501, .. }) => Ok(None),
        Err(failure) => Err(blob.error("look at", failure)),
    }
}

/// The strongest of what is told.
fn told(headers: &Headers) -> Option<Told> {
    let value = |name| header(headers, name);
    let of_whole = |text: &str| STANDARD.decode(text).ok();
    let sha256 = || match value("x-amz-checksum-sha256")?.rsplit_once('-') {
        // Over those of its parts, whose number follows.
        Some((digest, parts)) => {
            Some(Told::OfParts(Sha256Digest(of_whole(digest)?.try_into().ok()?), parts.parse().ok().filter(|parts| *parts > 0)?))
        }
        None => {
            Some(Told::OfWhole(StatedChecksum::Sha256(Sha256Digest(of_whole(value("x-amz-checksum-sha256")?)?.try_into().ok()?))))
        }
    };
    // Of the whole, unless the number of parts follows.
    let crc64 = || {
        let bytes = of_whole(value("x-amz-checksum-crc64nvme")?)?.try_into().ok()?;
        Some(Told::OfWhole(StatedChecksum::Crc64Nvme(u64::from_be_bytes(bytes))))
    };
    let crc32c = || {
        let bytes = of_whole(value("x-amz-checksum-crc32c")?)?.try_into().ok()?;
        Some(Told::OfWhole(StatedChecksum::Crc32c(u32::from_be_bytes(bytes))))
    };
    sha256().or_else(crc64).or_else(crc32c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_of(pairs: &[(&'static str, &str)]) -> Option<Told> {
        let mut headers = Headers::new();
        for (name, value) in pairs {
            headers.insert(*name, (*value).to_owned());
        }
        told(&headers)
    }

    #[test]
    fn the_strongest_checksum_is_taken() {
        let digest = STANDARD.encode([7; 32]);
        let crc64 = ("x-amz-checksum-crc64nvme", "rosUhgp5mIg=");
        let whole = told_of(&[crc64, ("x-amz-checksum-sha256", &digest)]);
        assert!(matches!(whole, Some(Told::OfWhole(StatedChecksum::Sha256(Sha256Digest([7, ..]))))));
        let of_parts = told_of(&[("x-amz-checksum-sha256", &format!("{digest}-12"))]);
        assert!(matches!(of_parts, Some(Told::OfParts(Sha256Digest([7, ..]), 12))));
        assert!(matches!(told_of(&[crc64]), Some(Told::OfWhole(StatedChecksum::Crc64Nvme(0xae8b_1486_0a79_9888)))));
        assert!(matches!(
            told_of(&[("x-amz-checksum-crc32c", "4waSgw==")]),
            Some(Told::OfWhole(StatedChecksum::Crc32c(0xe306_9283)))
        ));
        for bad in ["4waSgw==-3", "", "4waS", "!"] {
            assert!(told_of(&[("x-amz-checksum-crc32c", bad), ("x-amz-checksum-sha256", bad)]).is_none(), "{bad}");
        }
    }
}
