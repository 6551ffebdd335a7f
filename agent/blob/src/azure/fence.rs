//! The sequence number of a page blob, as a fence: pages are written only into a blob with the number that the run itself
//! gave it, so that a request of a transfer that was replaced, of an earlier run, or of a run that was taken over, changes
//! nothing.
//!
//! The upper bits come from the transfer's id. The lower ones count: making the blob is one, each resume is one more, and so
//! is the commit, after which no page request of the transfer can change what was committed.

use protocol::digest::Sha256Digest;

/// Bits that count.
const COUNT_BITS: u32 = 16;

/// The largest number that is used. Azure takes up to 2^63 - 1; an emulator in JavaScript counts exactly only up to 2^53.
const NUMBER_MAX: i64 = (1 << 52) - 1;

/// Where the count of one transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fence {
    base: i64,
}

impl Fence {
    pub(super) fn of(transfer_id: &str) -> Self {
        let digest = Sha256Digest::of(transfer_id.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest.0[..8]);
        Fence { base: i64::from_be_bytes(first) & (NUMBER_MAX >> COUNT_BITS << COUNT_BITS) }
    }

    /// The number of a blob that is made now.
    pub(super) fn first(self) -> i64 {
        self.base + 1
    }

    /// Whether this transfer gave the blob its number. A count that has run over is not known any more: the transfer
    /// starts over then.
    pub(super) fn is_ours(self, number: Option<i64>) -> bool {
        number.is_some_and(|number| number > self.base && number >> COUNT_BITS == self.base >> COUNT_BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_belong_to_one_transfer() {
        let (one, other) = (Fence::of("1"), Fence::of("2"));
        assert!(
            (1..=NUMBER_MAX).contains(&one.first()) && one.is_ours(Some(one.first())) && one.is_ours(Some(one.first() + 65_534))
        );
        for number in [None, Some(0), Some(1), Some(one.base), Some(one.base + 65_536), Some(other.first()), Some(-1)] {
            assert!(!one.is_ours(number), "{number:?}");
        }
    }
}
