//! Fixed-size slots in a file without a name, those used last in memory: a caller that goes through millions of them in order, and
//! a few others close behind, costs neither memory nor a call for each.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Slots that are read and written together.
const SLOTS_PER_BLOCK: u64 = 2048;

/// Blocks in memory at most. A transfer is at work in a window of [`BODILESS_CHUNKS_MAX`](crate::limits::BODILESS_CHUNKS_MAX)
/// chunks for each of its hand-overs; the blocks cover it.
const BLOCKS_MAX: usize = 16;

/// So many slots of `N` bytes, zeros at first. Its file is gone with the process, so nothing is ever synced.
pub(crate) struct Slots<const N: usize> {
    file: File,
    count: u64,
    /// The block with number `n` can be at `n % BLOCKS_MAX` only.
    blocks: Mutex<[Option<Block<N>>; BLOCKS_MAX]>,
}

struct Block<const N: usize> {
    number: u64,
    slots: Vec<[u8; N]>,
    is_changed: bool,
}

impl<const N: usize> Slots<N> {
    /// `count` slots; their file is in `folder`.
    pub(crate) fn new(folder: &Path, count: u64) -> io::Result<Self> {
        let file = tempfile::tempfile_in(folder)?;
        file.set_len(count * N as u64)?;
        Ok(Slots { file, count, blocks: Mutex::default() })
    }

    /// The slot with this index.
    ///
    /// # Errors
    /// What the file system says, and where there is no such slot.
    pub(crate) fn get(&self, index: u64) -> io::Result<[u8; N]> {
        self.with(index, |slot, _| *slot)
    }

    /// Replaces a slot.
    ///
    /// # Errors
    /// As for [`get`](Self::get). That of an earlier change may come late.
    pub(crate) fn set(&self, index: u64, new: [u8; N]) -> io::Result<()> {
        self.with(index, |slot, is_changed| {
            *slot = new;
            *is_changed = true;
        })
    }

    /// Does something with a slot, and with the note whether its block was changed.
    fn with<T>(&self, index: u64, work: impl FnOnce(&mut [u8; N], &mut bool) -> T) -> io::Result<T> {
        if index >= self.count {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (number, place) = (index / SLOTS_PER_BLOCK, (index % SLOTS_PER_BLOCK) as usize);
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = &mut blocks[(number % BLOCKS_MAX as u64) as usize];
        if let Some(block) = kept.as_ref().filter(|block| block.number != number && block.is_changed) {
            self.file.write_all_at(block.slots.as_flattened(), Self::offset(block.number))?;
        }
        let block = match kept.take_if(|block| block.number == number) {
            Some(block) => block,
            None => self.load(number)?,
        };
        let block = kept.insert(block);
        Ok(work(&mut block.slots[place], &mut block.is_changed))
    }

    fn load(&self, number: u64) -> io::Result<Block<N>> {
        let length = SLOTS_PER_BLOCK.min(self.count - number * SLOTS_PER_BLOCK);
        let mut slots = vec![[0; N]; length as usize];
        self.file.read_exact_at(slots.as_flattened_mut(), Self::offset(number))?;
        Ok(Block { number, slots, is_changed: false })
    }

    fn offset(number: u64) -> u64 {
        number * SLOTS_PER_BLOCK * N as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// More than fit into memory, the last block not whole.
    const COUNT: u64 = SLOTS_PER_BLOCK * (BLOCKS_MAX as u64 + 3) + 7;

    proptest! {
        #[test]
        fn slots_are_as_in_an_array(changes in prop::collection::vec((0..COUNT, any::<[u8; 3]>()), 1..300)) {
            let folder = tempfile::tempdir().unwrap();
            let slots = Slots::new(folder.path(), COUNT).unwrap();
            let mut expected = vec![[0; 3]; COUNT as usize];
            for (index, value) in changes {
                slots.set(index, value).unwrap();
                expected[index as usize] = value;
                prop_assert_eq!(slots.get(index / 2).unwrap(), expected[index as usize / 2]);
            }
            for (index, value) in expected.into_iter().enumerate() {
                prop_assert_eq!(slots.get(index as u64).unwrap(), value);
            }
        }
    }

    #[test]
    fn there_are_no_slots_behind_the_last() {
        let folder = tempfile::tempdir().unwrap();
        for count in [0, 7, SLOTS_PER_BLOCK] {
            let slots = Slots::<3>::new(folder.path(), count).unwrap();
            for index in [count, count + SLOTS_PER_BLOCK, u64::MAX] {
                assert!(slots.get(index).is_err());
                assert!(slots.set(index, [1; 3]).is_err());
            }
        }
    }
}
