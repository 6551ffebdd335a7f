//! The configuration of a station, lists of blobs, values of options, events of a service.

use drive_agent::fuzzing;

use crate::Target;
use crate::secret::require_hidden;

pub const TARGETS: &[Target] = &[
    Target { name: "station-file", run: station_file },
    Target { name: "blob-list", run: blob_list },
    Target { name: "values", run: values },
    Target { name: "events", run: events },
];

fn station_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match fuzzing::station(text) {
        Ok(unknown) => unknown.iter().for_each(|key| assert!(!key.is_empty())),
        Err(error) => {
            require_hidden(text, &error);
            assert!(!error.is_empty());
        }
    }
}

fn blob_list(bytes: &[u8]) {
    if let Ok(list) = fuzzing::blob_list(bytes) {
        let all = list.blob_path.iter().chain(&list.blob_path_prefix);
        assert!(all.clone().all(|path| !path.trim().is_empty()));
        assert!(all.map(String::len).sum::<usize>() <= 4 * bytes.len(), "a short list stands for a long one");
    }
}

fn values(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let taken = fuzzing::values(text).into_iter().filter(|is_taken| *is_taken).count();
        assert!(taken == 0 || !text.is_empty());
    }
}

fn events(bytes: &[u8]) {
    let (whole, left) = fuzzing::events([bytes]);
    let (in_pieces, left_in_pieces) = fuzzing::events(bytes.chunks(3));
    assert_eq!((&whole, left), (&in_pieces, left_in_pieces), "how a stream is cut means nothing");
    assert!(left <= bytes.len() && whole.iter().all(|(_, data)| !data.is_empty()));
}
