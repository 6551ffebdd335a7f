//! Addresses, credentials, answers of blob storage.

use blob::address::{GcsAddress, S3Address};
use blob::fuzzing;
use blob::http::{Owner, TrustedHost, may_be_sent};
use blob::{AccountAddress, BlobAddress, BlobError, Environment, StagingAddress};
use protocol::units::ByteRange;
use url::Url;

use crate::Target;
use crate::secret::require_hidden;

pub const TARGETS: &[Target] = &[
    Target { name: "blob-address", run: blob_address },
    Target { name: "account-address", run: account_address },
    Target { name: "credentials", run: credentials },
    Target { name: "store-host", run: store_host },
    Target { name: "azure-list", run: azure_list },
    Target { name: "azure-blocks", run: azure_blocks },
    Target { name: "azure-error", run: azure_error },
    Target { name: "staging-address", run: staging_address },
    Target { name: "object-list", run: object_list },
    Target { name: "s3-parts", run: s3_parts },
    Target { name: "s3-uploads", run: s3_uploads },
    Target { name: "s3-result", run: s3_result },
    Target { name: "s3-error", run: s3_error },
    Target { name: "gcs-error", run: gcs_error },
    Target { name: "gcs-hash", run: gcs_hash },
    Target { name: "content-range", run: content_range },
];

fn blob_address(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match BlobAddress::parse(text) {
        Err(error) => require_hidden(text, &format!("{error} {error:?}")),
        Ok(address) => {
            require_hidden(text, &format!("{address:?}"));
            if matches!(address, BlobAddress::S3(_) | BlobAddress::Gcs(_)) {
                let shown = format!("{address:?}");
                assert_eq!(BlobAddress::parse(&shown).as_ref(), Ok(&address), "{shown}");
            }
            if let BlobAddress::Azure(azure) = &address {
                let shown = azure.url();
                let again = BlobAddress::parse(shown.as_str()).expect("what is shown can be written again");
                let BlobAddress::Azure(again) = again else { panic!("{again:?}") };
                assert_eq!((&again.container, &again.name), (&azure.container, &azure.name), "{shown}");
                assert_eq!(again.endpoint, azure.endpoint, "{shown}");
            }
        }
    }
}

fn account_address(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match AccountAddress::parse(text) {
        Err(error) => require_hidden(text, &format!("{error} {error:?}")),
        Ok(address) => require_hidden(text, &format!("{address:?}")),
    }
}

fn credentials(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let environment = match Environment::from_text(text) {
        Ok(environment) => environment,
        Err(line) => {
            assert!((1..=text.lines().count()).contains(&line));
            return;
        }
    };
    let address = BlobAddress::parse("az://container/name").unwrap();
    match environment.resolve(address) {
        Err(error) => require_hidden(text, &format!("{error} {error:?}")),
        Ok(BlobAddress::Azure(azure)) => {
            require_hidden(text, &format!("{azure:?}"));
            match fuzzing::proof(&environment, &azure) {
                Err(error) => require_hidden(text, &format!("{error} {error:?}")),
                Ok(kind) => assert!(["sas", "key", "entra"].contains(&kind)),
            }
        }
        Ok(other) => panic!("{other:?}"),
    }
}

/// An endpoint, and in the second line a host that is trusted.
fn store_host(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (endpoint, host) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(endpoint) = Url::parse(endpoint) else { return };
    let trusted: Vec<TrustedHost> = host.parse().into_iter().collect();
    let again: Vec<TrustedHost> =
        trusted.iter().map(|host| format!("{host:?}").parse().expect("it is shown as it is written")).collect();
    assert_eq!(again, trusted);
    let host = endpoint.host_str().unwrap_or_default();
    let is_private =
        |endpoint: &Url| endpoint.scheme() == "https" || endpoint.scheme() == "http" && protocol::host::is_loopback(host);
    for owner in [Owner::Account("acme"), Owner::Endpoint(&endpoint), Owner::Emulator, Owner::Storage, Owner::Address] {
        let is_sent = may_be_sent(owner, &endpoint, &trusted).is_ok();
        assert!(!is_sent || is_private(&endpoint), "{owner:?} in the clear: {endpoint}");
        assert!(!is_sent || owner != Owner::Storage || endpoint.scheme() == "https", "{endpoint}");
    }
    if may_be_sent(Owner::Account("acme"), &endpoint, &[]).is_ok() {
        let known = [".windows.net", ".chinacloudapi.cn", ".usgovcloudapi.net", ".cloudapi.de", ".storage.azure.net"];
        assert!(host.starts_with("acme") && known.iter().any(|suffix| host.ends_with(suffix)), "{endpoint}");
    }
}

fn azure_list(bytes: &[u8]) {
    for blob in fuzzing::blobs_of_page(bytes).unwrap_or_default() {
        assert_eq!(blob.container, "container");
    }
}

fn azure_blocks(bytes: &[u8]) {
    // Blocks of one name are one block.
    assert!(fuzzing::chunks_of_list(bytes).unwrap_or_default().len() <= bytes.len());
}

fn azure_error(bytes: &[u8]) {
    if let Some(text) = fuzzing::server_text(bytes) {
        assert!(!text.is_empty() && text.chars().count() <= 200 && !text.chars().any(char::is_control), "{text:?}");
        assert!(!text.contains("sig="), "{text:?}");
    }
}

fn staging_address(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match StagingAddress::parse(text) {
        Err(error) => require_hidden(text, &format!("{error} {error:?}")),
        Ok(place) => {
            let shown = place.to_string();
            require_hidden(text, &shown);
            assert_eq!(StagingAddress::parse(&shown).as_ref(), Ok(&place), "{shown}");
            let (StagingAddress::S3(S3Address { key: folder, .. }) | StagingAddress::Gcs(GcsAddress { name: folder, .. })) =
                &place;
            assert!(folder.is_empty() || folder.ends_with('/'), "{folder}");
        }
    }
}

/// Of S3, and of Google Cloud Storage, whose XML is the same.
fn object_list(bytes: &[u8]) {
    let Some((objects, next)) = fuzzing::objects_of_page(bytes) else { return };
    assert!(objects.len() <= bytes.len() && objects.iter().all(|(key, _)| !key.is_empty()));
    assert!(next.is_none_or(|next| !next.is_empty()));
}

fn s3_parts(bytes: &[u8]) {
    assert!(fuzzing::s3::parts_of_page(bytes).unwrap_or_default().len() <= bytes.len());
}

fn s3_uploads(bytes: &[u8]) {
    let Some((uploads, next)) = fuzzing::s3::uploads_of_page(bytes) else { return };
    assert!(uploads.len() <= bytes.len() && uploads.iter().all(|(key, id)| !key.is_empty() && !id.is_empty()));
    assert!(next.is_none_or(|(key, _)| !key.is_empty()));
}

/// Of a copy or a commit: a success all the same where its body is an error.
fn s3_result(bytes: &[u8]) {
    match fuzzing::s3::etag_of_result(bytes) {
        Ok(etag) => assert!(etag.is_none_or(|etag| !etag.starts_with('"') && !etag.ends_with('"'))),
        Err(error) => require_shown(&error),
    }
}

fn s3_error(bytes: &[u8]) {
    let (status, body) = status_of(bytes);
    require_shown(&fuzzing::s3::error_of(status, body));
}

fn gcs_error(bytes: &[u8]) {
    let (status, body) = status_of(bytes);
    require_shown(&fuzzing::gcs::error_of(status, body));
}

/// What a header says is what would be written.
fn gcs_hash(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(written) = fuzzing::gcs::checksum_of(text) {
        assert_eq!(fuzzing::gcs::checksum_of(&written).as_ref(), Some(&written));
    }
}

/// The first byte stands for the status of an answer.
fn status_of(bytes: &[u8]) -> (u16, &[u8]) {
    const STATUSES: [u16; 10] = [200, 301, 400, 401, 403, 404, 409, 412, 500, 503];
    let (first, body) = bytes.split_first().map_or((0, bytes), |(first, body)| (*first, body));
    (STATUSES[usize::from(first) % STATUSES.len()], body)
}

/// What is shown of a failure is a sentence or two, without control characters and without what may be a secret.
fn require_shown(error: &BlobError) {
    let shown = error.to_string();
    assert!(shown.chars().count() <= 1000 && !shown.chars().any(char::is_control), "{shown:?}");
    assert!(!shown.to_lowercase().contains("sig=") && !shown.contains("Bearer"), "{shown:?}");
}

fn content_range(bytes: &[u8]) {
    let Some((numbers, told)) = bytes.split_at_checked(4) else { return };
    let Ok(told) = std::str::from_utf8(told) else { return };
    let asked = ByteRange::new(u64::from(numbers[0]), u64::from(numbers[1]) + 1);
    let length = (numbers[2] & 1 == 0).then(|| u64::from(numbers[3]));
    if fuzzing::is_asked_range(Some(told), asked, length) {
        let (range, total) = told.trim().trim_start_matches("bytes ").split_once('/').unwrap();
        let (first, last) = range.split_once('-').unwrap();
        let number = |text: &str| text.parse::<u64>().unwrap();
        assert_eq!((number(first), number(last) + 1), (asked.offset, asked.end().min(number(total))));
        assert!(length.is_none_or(|length| length == number(total)));
    }
}
