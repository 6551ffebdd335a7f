//! Addresses, credentials, answers of blob storage.

use blob::azure::Environment;
use blob::fuzzing;
use blob::{AccountAddress, BlobAddress};
use protocol::units::ByteRange;

use crate::Target;
use crate::secret::require_hidden;

pub const TARGETS: &[Target] = &[
    Target { name: "blob-address", run: blob_address },
    Target { name: "account-address", run: account_address },
    Target { name: "credentials", run: credentials },
    Target { name: "azure-list", run: azure_list },
    Target { name: "azure-blocks", run: azure_blocks },
    Target { name: "azure-error", run: azure_error },
    Target { name: "content-range", run: content_range },
];

fn blob_address(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match BlobAddress::parse(text) {
        Err(error) => require_hidden(text, &format!("{error} {error:?}")),
        Ok(address) => {
            require_hidden(text, &format!("{address:?}"));
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
