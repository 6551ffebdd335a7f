//! Properties of the format: round trip, any truncation, any flipped byte.

use proptest::prelude::*;
use proptest::sample::Index;
use time::OffsetDateTime;

use super::*;
use crate::digest::{RootHasher, Sha256Digest};
use crate::identity::{DriveIdentity, DriveKind};
use crate::result::{Direction, Evidence};
use crate::units::{ByteRange, ChunkGeometry};

fn header(total_bytes: u64, chunk_size_bytes: u64) -> Header {
    Header {
        format: FORMAT.into(),
        version: VERSION,
        transfer_id: "t-1".into(),
        direction: Direction::Import,
        drive: DriveIdentity {
            path: "/dev/sdb \"ü\"".into(),
            kind: DriveKind::Device,
            serial: Some("S".into()),
            model: None,
            size: total_bytes,
            sector_size: 512,
            partition_table_id: None,
            content_sample: None,
            modified_unix_nanoseconds: None,
        },
        blob: "file:///store/a%20b".into(),
        blob_version: None,
        replaces: None,
        drive_folder: None,
        made_as: MadeAs::default(),
        begun_by: None,
        source_is_sampled: false,
        total_bytes,
        chunk_size_bytes,
        digest: DigestAlgorithm::Sha256,
        unreadable_fill: crate::fill::Fill::default(),
        block_id_scheme: None,
        created_at: OffsetDateTime::UNIX_EPOCH,
    }
}

fn records(geometry: ChunkGeometry, seed: u64) -> Vec<ChunkRecord> {
    geometry
        .chunks()
        .map(|(index, range)| {
            let bits = (index.0 + 1).wrapping_mul(seed | 1);
            let zero = bits.is_multiple_of(3);
            ChunkRecord {
                range,
                content: if zero { ChunkContent::Zero } else { ChunkContent::Data(Sha256Digest::of(&bits.to_le_bytes())) },
                state: if zero { ChunkState::Zero } else { ChunkState::Sent },
                attempts: (bits % 4) as u32,
                unreadable: if bits.is_multiple_of(5) { vec![ByteRange::new(range.offset, 1)] } else { vec![] },
                from_image: if bits.is_multiple_of(7) { vec![range] } else { vec![] },
            }
        })
        .collect()
}

fn footer(geometry: ChunkGeometry, records: &[ChunkRecord]) -> Footer {
    let mut root = RootHasher::default();
    records.iter().for_each(|record| root.add(&record.content.digest(record.range.length)));
    Footer {
        chunks: records.len() as u64,
        bytes_total: geometry.total_bytes(),
        bytes_zero: records.iter().filter(|record| record.content == ChunkContent::Zero).map(|record| record.range.length).sum(),
        bytes_unreadable: records.iter().flat_map(|record| &record.unreadable).map(|range| range.length).sum(),
        root_sha256: root.finish(),
        stream_sha256: None,
        evidence: Evidence::Transport,
        completed_at: OffsetDateTime::UNIX_EPOCH,
    }
}

fn write(lines: impl IntoIterator<Item = Line>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        encode(&line, &mut bytes).unwrap();
    }
    bytes
}

fn sample(total_bytes: u64, seed: u64) -> (ChunkGeometry, Vec<ChunkRecord>, Vec<u8>, Vec<u8>) {
    let geometry = ChunkGeometry::new(total_bytes, 512).unwrap();
    let records = records(geometry, seed);
    let journal =
        write(std::iter::once(Line::Header(Box::new(header(total_bytes, 512)))).chain(records.iter().cloned().map(Line::Chunk)));
    let mut manifest = journal.clone();
    encode(&Line::End(footer(geometry, &records)), &mut manifest).unwrap();
    (geometry, records, journal, manifest)
}

fn read_manifest(bytes: &[u8]) -> Result<Vec<ChunkRecord>, ManifestError> {
    let mut reader = ManifestReader::new(bytes)?;
    let mut records = Vec::new();
    while let Some(record) = reader.next_chunk()? {
        records.push(record);
    }
    Ok(records)
}

fn replay_journal(bytes: &[u8]) -> Result<Option<(Vec<ChunkRecord>, u64)>, ReplayError> {
    let Some(mut replay) = JournalReplay::new(bytes)? else {
        return Ok(None);
    };
    let mut records = Vec::new();
    while let Some(Replay::Landed(_, record)) = replay.next_record()? {
        records.push(record);
    }
    Ok(Some((records, replay.valid_bytes())))
}

proptest! {
    #[test]
    fn what_is_written_is_read(total_bytes in 0u64..20_000, seed: u64) {
        let (_, records, journal, manifest) = sample(total_bytes, seed);
        prop_assert_eq!(&read_manifest(&manifest).unwrap(), &records);
        prop_assert_eq!(replay_journal(&journal).unwrap().unwrap(), (records, journal.len() as u64));
    }

    #[test]
    fn a_truncated_journal_loses_only_its_torn_line(total_bytes in 0u64..20_000, seed: u64, cut: Index) {
        let (_, records, journal, _) = sample(total_bytes, seed);
        let cut = cut.index(journal.len());
        let whole_lines = journal[..cut].iter().filter(|byte| **byte == b'\n').count();
        match replay_journal(&journal[..cut]).unwrap() {
            None => prop_assert_eq!(whole_lines, 0),
            Some((found, valid_bytes)) => {
                prop_assert_eq!(&found, &records[..whole_lines - 1]);
                let valid = usize::try_from(valid_bytes).unwrap();
                prop_assert!(journal[..valid].ends_with(b"\n") && valid <= cut);
            }
        }
    }

    #[test]
    fn a_truncated_manifest_is_refused(total_bytes in 0u64..20_000, seed: u64, cut: Index) {
        let (_, _, _, manifest) = sample(total_bytes, seed);
        let cut = cut.index(manifest.len() - 1);
        prop_assert!(read_manifest(&manifest[..cut]).is_err());
    }

    #[test]
    fn a_flipped_bit_of_a_manifest_is_noticed(total_bytes in 0u64..5_000, seed: u64, place: Index, bit in 0u8..8) {
        let (_, _, _, mut manifest) = sample(total_bytes, seed);
        let place = place.index(manifest.len());
        manifest[place] ^= 1 << bit;
        prop_assert!(read_manifest(&manifest).is_err());
    }

    #[test]
    fn a_flipped_bit_of_a_journal_never_invents_a_record(total_bytes in 0u64..5_000, seed: u64, place: Index, bit in 0u8..8) {
        let (_, records, mut journal, _) = sample(total_bytes, seed);
        let place = place.index(journal.len());
        journal[place] ^= 1 << bit;
        let last_line_start = journal[..journal.len() - 1].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        match replay_journal(&journal) {
            Err(_) | Ok(None) => {}
            // Only damage to the last line may pass as a torn line, and then that record is not trusted.
            Ok(Some((found, _))) => {
                prop_assert!(place + 1 >= last_line_start);
                prop_assert!(found.len() < records.len() && found == records[..found.len()]);
            }
        }
    }

    #[test]
    fn garbage_is_refused_and_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(read_manifest(&bytes).is_err());
        let _ = replay_journal(&bytes);
        let _ = decode(&bytes);
    }
}

#[test]
fn edited_manifests_are_refused() {
    let (geometry, records, _, _) = sample(4096, 7);
    let head = || Line::Header(Box::new(header(4096, 512)));
    let all = |records: &[ChunkRecord], footer: Footer| {
        write(std::iter::once(head()).chain(records.iter().cloned().map(Line::Chunk)).chain([Line::End(footer)]))
    };
    let mut swapped = records.clone();
    swapped.swap(1, 2);
    assert!(matches!(read_manifest(&all(&swapped, footer(geometry, &records))), Err(ManifestError::OutOfOrder { number: 3 })));
    let mut edited = records.clone();
    edited[1].content = ChunkContent::Data(Sha256Digest::of(b"edited"));
    let wrong_root = Footer { bytes_zero: footer(geometry, &edited).bytes_zero, ..footer(geometry, &records) };
    assert!(matches!(read_manifest(&all(&edited, wrong_root)), Err(ManifestError::WrongEnd("digests"))));
    let short = footer(geometry, &records[..3]);
    assert!(matches!(read_manifest(&all(&records[..3], short)), Err(ManifestError::WrongEnd("chunk counts"))));
    let mut trailing = all(&records, footer(geometry, &records));
    trailing.extend_from_slice(b"x\n");
    assert!(matches!(read_manifest(&trailing), Err(ManifestError::Trailing)));
}

#[test]
fn a_journal_of_another_program_is_refused() {
    assert!(matches!(
        JournalReplay::new(&b"# Mapfile. Created by GNU ddrescue\n0x0 ?\n"[..]),
        Err(ReplayError::Header(ManifestError::NotAManifest))
    ));
    assert!(matches!(JournalReplay::new(&b""[..]), Ok(None)));
}

#[test]
fn a_damaged_line_in_the_middle_of_a_journal_is_an_error() {
    let (_, _, mut journal, _) = sample(4096, 7);
    let middle = journal.len() / 2;
    journal[middle] ^= 1;
    assert!(matches!(replay_journal(&journal), Err(ReplayError::Damaged { .. } | ReplayError::Foreign { .. })));
}

/// The record of a chunk whose every other sector is unreadable, as far as `count` goes.
fn record_with(count: u64, seed: u64) -> ChunkRecord {
    let range = ByteRange::new(0, 4000 << 20);
    let unreadable =
        (0..count).map(|index| ByteRange::new(index * 1024 + seed % 512, 1 + (seed >> (index % 50)) % 511)).collect();
    let content = ChunkContent::Data(Sha256Digest::of(&seed.to_be_bytes()));
    ChunkRecord { range, content, state: ChunkState::Sent, attempts: 1, unreadable, from_image: Vec::new() }
}

fn head_of(range: ByteRange) -> Line {
    Line::Header(Box::new(header(range.length, range.length)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn a_chunk_may_have_any_number_of_unreadable_ranges(count in 0_u64..200_000, seed: u64, cut: Index) {
        let record = record_with(count, seed);
        let geometry = ChunkGeometry::new(record.range.length, record.range.length).unwrap();
        let head = write([head_of(record.range)]);
        let mut journal = head.clone();
        encode(&Line::Chunk(record.clone()), &mut journal).unwrap();
        prop_assert!(journal.split(|byte| *byte == b'\n').all(|line| line.is_empty() || decode(line).is_ok()));
        let records = vec![record];
        prop_assert_eq!(replay_journal(&journal).unwrap().unwrap(), (records.clone(), journal.len() as u64));
        let torn = &journal[..head.len() + cut.index(journal.len() - head.len())];
        prop_assert_eq!(replay_journal(torn).unwrap().unwrap(), (vec![], head.len() as u64), "torn anywhere, it has not landed");
        let mut manifest = journal;
        encode(&Line::End(footer(geometry, &records)), &mut manifest).unwrap();
        prop_assert_eq!(read_manifest(&manifest).unwrap(), records);
    }
}

#[test]
fn what_could_not_be_read_again_is_not_written() {
    let mut buffer = b"before".to_vec();
    let too_many = Line::Chunk(record_with(crate::limits::UNREADABLE_RANGES_MAX as u64 + 1, 1));
    assert!(encode(&too_many, &mut buffer).unwrap_err().to_string().contains("more than 4096000 unreadable ranges"));
    let long_header = Header { blob: "x".repeat(5 << 20), ..header(512, 512) };
    assert!(encode(&Line::Header(Box::new(long_header)), &mut buffer).unwrap_err().to_string().contains("longer than"));
    assert_eq!(buffer, b"before");
}

#[test]
fn lines_of_unreadable_ranges_that_do_not_fit_are_refused() {
    let records = [record_with(100_000, 3)];
    let geometry = ChunkGeometry::new(records[0].range.length, records[0].range.length).unwrap();
    let manifest = write([head_of(records[0].range), Line::Chunk(records[0].clone()), Line::End(footer(geometry, &records))]);
    let lines: Vec<&[u8]> = manifest.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), 6, "header, three lines of ranges, the chunk, the end");
    let read = |order: &[usize]| read_manifest(&order.iter().map(|line| lines[*line]).collect::<Vec<_>>().concat());
    assert_eq!(read(&[0, 1, 2, 3, 4, 5]).unwrap(), records);
    for order in
        [&[0, 2, 3, 4, 5][..], &[0, 1, 3, 4, 5], &[0, 1, 2, 4, 5], &[0, 1, 2, 3, 5], &[0, 2, 1, 3, 4, 5], &[0, 1, 1, 2, 3, 4, 5]]
    {
        let is_refused = read(order).is_err();
        // Without its first line the rest looks whole, and the end counts other bytes.
        assert!(is_refused, "{order:?}");
    }
    let endless = |following| Line::Unreadable(UnreadablePart { chunk_offset: 0, following, ranges: vec![ByteRange::new(0, 1)] });
    for following in [0, u64::MAX, crate::limits::UNREADABLE_RANGES_MAX as u64] {
        let hostile = write([head_of(records[0].range), endless(following)]);
        assert!(matches!(read_manifest(&hostile), Err(ManifestError::Line { number: 2, .. })), "{following}");
        assert!(matches!(replay_journal(&hostile), Err(ReplayError::Damaged { number: 2, .. })), "{following}");
    }
}
