//! Which objects are composed of which: a pure function of the pieces in their order. At most 32 become one, and so on, until
//! what is left becomes the object itself. Pieces that repeat, as zeros do, become the same object, which is made once.

use super::crc32c::Crc32c;
use super::staging::PieceName;

/// Most objects that are composed at once ("Compose an object").
pub(super) const FAN_OUT_MAX: usize = 32;

/// A piece of an object, at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) name: PieceName,
    pub(super) bytes: u64,
    pub(super) checksum: Crc32c,
}

impl Piece {
    /// What these become; a single one stays as it is.
    pub(super) fn of(pieces: &[Piece]) -> Self {
        match pieces {
            [only] => *only,
            _ => Piece {
                name: PieceName::of_composed(pieces.iter().map(|piece| piece.name)),
                bytes: total_bytes(pieces),
                checksum: checksum_of(pieces),
            },
        }
    }
}

/// The length of what these become.
pub(super) fn total_bytes(pieces: &[Piece]) -> u64 {
    pieces.iter().map(|piece| piece.bytes).sum()
}

/// The checksum of what these become.
pub(super) fn checksum_of(pieces: &[Piece]) -> Crc32c {
    pieces.iter().fold(Crc32c::EMPTY, |before, piece| before.followed_by(piece.checksum, piece.bytes))
}

#[cfg(test)]
mod tests {
    use protocol::digest::Sha256Digest;

    use super::*;

    fn piece(bytes: &[u8]) -> Piece {
        Piece { name: PieceName::Sent(Sha256Digest::of(bytes)), bytes: bytes.len() as u64, checksum: Crc32c::of(bytes) }
    }

    #[test]
    fn what_becomes_of_pieces_has_their_bytes_and_their_checksum() {
        let (one, two) = (piece(b"one"), piece(b"and two"));
        let both = Piece::of(&[one, two, one]);
        assert_eq!((both.bytes, both.checksum), (13, Crc32c::of(b"oneand twoone")));
        assert_eq!(both, Piece::of(&[one, two, one]));
        assert_ne!(both.name, Piece::of(&[one, one, two]).name);
        assert_eq!(Piece::of(&[two]), two, "a single one is not composed");
        assert_eq!((total_bytes(&[]), checksum_of(&[])), (0, Crc32c::of(b"")));
    }
}
