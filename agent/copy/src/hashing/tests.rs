//! The digests against the published ones, and against `sha2`.

use proptest::prelude::*;
use protocol::digest::Sha256Digest;

use super::{LANES, SideBySide};

/// All digests, with messages that join as soon as there is room.
fn digests(messages: &[&[u8]]) -> Vec<Sha256Digest> {
    let mut waiting = messages.iter().copied().zip(0..);
    let mut side_by_side = SideBySide::default();
    let mut digests = vec![None; messages.len()];
    loop {
        while side_by_side.has_room()
            && let Some((message, index)) = waiting.next()
        {
            side_by_side.add(Indexed { message, index });
        }
        if side_by_side.is_empty() {
            return digests.into_iter().map(Option::unwrap).collect();
        }
        side_by_side.step(|message: Indexed<'_>, digest| digests[message.index] = Some(digest));
    }
}

struct Indexed<'message> {
    message: &'message [u8],
    index: usize,
}

impl AsRef<[u8]> for Indexed<'_> {
    fn as_ref(&self) -> &[u8] {
        self.message
    }
}

fn one_by_one(messages: &[&[u8]]) -> Vec<Sha256Digest> {
    messages.iter().map(|message| Sha256Digest::of(message)).collect()
}

/// A length of any kind, with those where the padding changes shape made likely.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0..1000_usize,
        4 => prop::sample::select(vec![0, 1, 54, 55, 56, 57, 62, 63, 64, 65, 118, 119, 120, 121, 127, 128, 129]),
        1 => 99_000..103_000_usize,
    ]
}

/// Bytes that differ from message to message, cheap enough for long ones.
fn message(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[4]
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_sha2(parts in prop::collection::vec((length(), any::<u64>(), 0..16_usize), 1..=9)) {
        // The offset moves the message off any alignment.
        let buffers: Vec<(Vec<u8>, usize)> = parts
            .iter()
            .map(|&(length, seed, offset)| (message(length + offset, seed), offset))
            .collect();
        let messages: Vec<&[u8]> = buffers.iter().map(|(bytes, offset)| &bytes[*offset..]).collect();
        prop_assert_eq!(digests(&messages), one_by_one(&messages));
    }
}

#[test]
fn agrees_with_sha2_at_every_short_length_in_every_company() {
    let bytes = message(400, 7);
    for length in 0..=300 {
        for count in 0..=9 {
            let messages: Vec<&[u8]> = (0..count).map(|index| &bytes[index..][..(length + index * 37) % 301]).collect();
            assert_eq!(digests(&messages), one_by_one(&messages), "{count} from {length}");
        }
    }
}

#[test]
fn agrees_with_the_published_digests() {
    let million = vec![b'a'; 1_000_000];
    let messages: [&[u8]; 5] = [
        b"abc",
        b"",
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
        &million,
    ];
    let found: Vec<String> = digests(&messages).iter().map(Sha256Digest::to_string).collect();
    assert_eq!(
        found,
        [
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
        ]
    );
}

#[test]
fn a_message_may_join_others_on_their_way() {
    let bytes = message(3 << 20, 9);
    let mut side_by_side = SideBySide::default();
    let mut found = Vec::new();
    for length in [bytes.len(), 1 << 20, 100, bytes.len() - 1] {
        side_by_side.add(&bytes[..length]);
        side_by_side.step(|message, digest| found.push((message.len(), digest)));
    }
    assert!(side_by_side.has_room() || found.is_empty());
    while !side_by_side.is_empty() {
        side_by_side.step(|message, digest| found.push((message.len(), digest)));
    }
    assert_eq!(found.len(), LANES);
    assert!(found.iter().all(|(length, digest)| *digest == Sha256Digest::of(&bytes[..*length])));
}

#[test]
fn without_the_instructions_it_is_the_same() {
    let bytes = message(1000, 3);
    let mut side_by_side = SideBySide::without_extension();
    side_by_side.add(&bytes[..10]);
    side_by_side.add(&bytes[..]);
    let mut found = Vec::new();
    while !side_by_side.is_empty() {
        side_by_side.step(|message, digest| found.push((message.len(), digest)));
    }
    assert_eq!(found, [(10, Sha256Digest::of(&bytes[..10])), (1000, Sha256Digest::of(&bytes))]);
}
