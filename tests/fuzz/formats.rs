//! Manifests, journals, mapfiles, receipts, results, units.

use std::fmt::Debug;
use std::io::Cursor;

use protocol::digest::Sha256Digest;
use protocol::fill::Fill;
use protocol::job::CopyRecord;
use protocol::manifest::{JournalReplay, Line, ManifestReader, Replay, ReplayError, bytes_max, decode, encode};
use protocol::receipt::Receipt;
use protocol::rescue::{ReadStatus, RescuePhase, mapfile};
use protocol::result::TransferResult;
use protocol::station::{CopyReport, StationReport};
use protocol::stop::StopReason;
use protocol::units::{ByteRange, ByteRate, ByteSize, RangeList, parse_duration};
use serde::Serialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;

use crate::Target;

pub const TARGETS: &[Target] = &[
    Target { name: "manifest-line", run: manifest_line },
    Target { name: "manifest", run: manifest },
    Target { name: "journal", run: journal },
    Target { name: "mapfile", run: a_mapfile },
    Target { name: "receipt", run: receipt },
    Target { name: "result", run: result },
    Target { name: "station-report", run: station_report },
    Target { name: "units", run: units },
];

/// What a station tells; what is taken can be added up.
fn station_report(bytes: &[u8]) {
    let Ok(report) = serde_json::from_slice::<StationReport>(bytes) else { return };
    if report.check().is_err() {
        return;
    }
    for copy in report.copies.values() {
        match copy {
            CopyReport::Running { progress, .. } => {
                let _sum = progress.bytes_sent + progress.bytes_reused + progress.bytes_zero + progress.bytes_in_flight;
            }
            CopyReport::Ended { result } => {
                let _sum = result.bytes_sent + result.bytes_reused + result.bytes_zero + result.bytes_unreadable;
                let cut = (**result).clone().with_lists_cut(3);
                serde_json::to_string(&cut).expect("what was read can be written");
            }
        }
    }
    let written = serde_json::to_vec(&report).expect("what was read can be written");
    // Seconds may differ in their last digit.
    serde_json::from_slice::<StationReport>(&written).expect("what was written can be read");
}

/// A line of JSON with the checksum that its writer would have given it: an attacker who writes a manifest can compute it too.
fn with_checksum(line: &[u8]) -> Vec<u8> {
    let Some(body) = line.strip_suffix(b"}") else { return line.to_vec() };
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, body);
    [body, format!(",\"crc32c\":\"{sum:08x}\"}}").as_bytes()].concat()
}

fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let lines: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(with_checksum).collect();
    lines.join(&b'\n')
}

fn manifest_line(bytes: &[u8]) {
    let _ = decode(bytes);
    let Ok(line) = decode(&with_checksum(bytes)) else { return };
    let mut written = Vec::new();
    encode(&line, &mut written).expect("what was read can be written");
    assert_eq!(written.pop(), Some(b'\n'));
    if !written.contains(&b'\n') {
        assert_eq!(decode(&written).expect("what was written can be read"), line);
    }
    // Damage is always noticed.
    if let Some(place) = written.len().checked_div(2) {
        written[place] ^= 1;
        assert!(decode(&written).is_err());
    }
}

fn manifest(bytes: &[u8]) {
    let bytes = with_checksums(bytes);
    let Ok(mut reader) = ManifestReader::new(Cursor::new(&bytes)) else { return };
    let mut written = Vec::new();
    encode(&Line::Header(Box::new(reader.header().clone())), &mut written).expect("a header that was read can be written");
    let (mut end, mut records) = (0, Vec::new());
    loop {
        match reader.next_chunk() {
            Ok(Some(record)) => {
                assert_eq!(record.range.offset, end, "records come in drive order");
                end = record.range.end();
                encode(&Line::Chunk(record.clone()), &mut written).expect("a record that was read can be written");
                records.push(record);
            }
            Ok(None) => break,
            Err(_) => return,
        }
    }
    assert_eq!(end, reader.header().total_bytes, "a manifest that is whole has every byte");
    let footer = reader.footer().expect("it was read to its end").clone();
    encode(&Line::End(footer), &mut written).expect("an end that was read can be written");
    assert!(written.len() as u64 <= bytes_max(reader.geometry()), "no manifest is longer than it may be");
    let mut again = ManifestReader::new(Cursor::new(&written)).expect("what was written can be read");
    for record in records {
        assert_eq!(again.next_chunk().expect("what was written can be read"), Some(record));
    }
    assert!(again.next_chunk().expect("what was written can be read").is_none());
}

/// What a journal says, how much of it is whole, and how its reading ended.
fn replayed(bytes: &[u8]) -> Option<(Vec<Replay>, u64, Result<(), ReplayError>)> {
    let mut replay = JournalReplay::new(Cursor::new(bytes)).ok()??;
    let mut records = Vec::new();
    loop {
        match replay.next_record() {
            Ok(Some(record)) => records.push(record),
            Ok(None) => return Some((records, replay.valid_bytes(), Ok(()))),
            Err(error) => return Some((records, replay.valid_bytes(), Err(error))),
        }
    }
}

fn journal(bytes: &[u8]) {
    let (cut, bytes) = bytes.split_at(bytes.len().min(2));
    let cut = cut.iter().fold(0, |cut, byte| cut << 8 | usize::from(*byte));
    let bytes = with_checksums(bytes);
    let Some((records, valid_bytes, ended)) = replayed(&bytes) else { return };
    assert!(valid_bytes <= bytes.len() as u64);
    if ended.is_err() {
        return;
    }
    // What is whole says the same alone, and a line can be written behind it.
    let whole = &bytes[..valid_bytes as usize];
    let (again, valid_again, ended) = replayed(whole).expect("it has a header");
    assert!(ended.is_ok() && valid_again == valid_bytes && again == records);
    let mut longer = whole.to_vec();
    encode(&Line::Left { target: "t".to_owned() }, &mut longer).unwrap();
    let (longer_records, _, ended) = replayed(&longer).expect("it has a header");
    assert!(ended.is_ok() && longer_records.len() == records.len() + 1);
    // A crash leaves any beginning of it, which says as much as is whole there.
    let cut = cut % (bytes.len() + 1);
    if let Some((less, _, ended)) = replayed(&bytes[..cut]) {
        assert!(ended.is_ok() && records.starts_with(&less), "cut after {cut} bytes");
    }
}

fn a_mapfile(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // The first line is the drive's size.
    let Some((size, text)) = text.split_once('\n') else { return };
    let Ok(size) = size.parse::<u64>() else { return };
    let Ok(map) = mapfile::read(text, size) else { return };
    let statuses = [ReadStatus::NonTried, ReadStatus::NonTrimmed, ReadStatus::NonScraped, ReadStatus::Bad, ReadStatus::Finished];
    assert_eq!(statuses.iter().map(|status| u128::from(map.bytes(*status))).sum::<u128>(), u128::from(size));
    for (phase, position) in [(RescuePhase::Copying(1), 0), (RescuePhase::Finished, size), (RescuePhase::Retrying(3), size / 2)] {
        let written = mapfile::write(&map, phase, position);
        assert_eq!(mapfile::read(&written, size).expect("what was written can be read"), map);
    }
}

/// Reads JSON, writes it, and reads that.
fn there_and_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let read: T = serde_json::from_slice(bytes).ok()?;
    let written = serde_json::to_vec(&read).expect("what was read can be written");
    assert_eq!(serde_json::from_slice::<T>(&written).expect("what was written can be read"), read);
    Some(read)
}

fn use_receipt(receipt: &Receipt) {
    let now = OffsetDateTime::UNIX_EPOCH;
    let bytes = receipt.accounted_bytes();
    assert!(receipt.landed_bytes() <= bytes);
    let _ = receipt.is_of_nothing();
    for other in [
        receipt.clone().with_lists_cut(3),
        receipt.clone().told_for(StopReason::JobCancelled, now),
        receipt.clone().with_lists_cut(3).told_for(StopReason::JobCancelled, now),
        receipt.clone().doubted(),
    ] {
        assert_eq!(other.accounted_bytes(), bytes, "no byte is lost");
        let written = serde_json::to_vec(&other).expect("it can be written");
        assert_eq!(serde_json::from_slice::<Receipt>(&written).expect("it can be read"), other);
    }
}

fn receipt(bytes: &[u8]) {
    if let Some(receipt) = there_and_back::<Receipt>(bytes) {
        use_receipt(&receipt);
    }
}

fn result(bytes: &[u8]) {
    if let Some(result) = there_and_back::<TransferResult>(bytes) {
        if let Some(receipt) = &result.receipt {
            use_receipt(receipt);
        }
        let list: RangeList = result.unreadable.iter().copied().collect();
        let ends = result.unreadable.iter().map(|range| range.end()).max();
        assert_eq!(list.end(), ends.unwrap_or(0));
    }
    there_and_back::<CopyRecord>(bytes);
    there_and_back::<Vec<ByteRange>>(bytes);
}

fn units(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(size) = text.parse::<ByteSize>() {
        assert!(size.0 > 0 && !size.to_string().is_empty());
        assert_eq!(format!("{}B", size.0).parse(), Ok(size));
    }
    if let Ok(rate) = text.parse::<ByteRate>() {
        assert!(rate.bytes_per_second > 0);
    }
    if let Ok(duration) = parse_duration(text) {
        // Deadlines are sums of several.
        assert!(std::time::Instant::now().checked_add(duration * 100).is_some(), "{duration:?} has no end");
    }
    if let Ok(fill) = text.parse::<Fill>() {
        assert_eq!(fill.to_string().parse(), Ok(fill));
    }
    if let Ok(digest) = text.parse::<Sha256Digest>() {
        assert_eq!(digest.to_string(), text);
    }
}
