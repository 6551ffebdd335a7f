//! The trait that every drive fulfils.

use protocol::identity::DriveIdentity;
use protocol::units::ByteRange;

use crate::aligned::AlignedBuffer;
use crate::error::DriveError;
use crate::opened_as::OpenedAs;

/// What a target is known to hold where nothing was written yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetContent {
    /// Zeros, for certain: it was made by this program.
    KnownZero,
    /// Whatever its last owner left.
    Unknown,
}

/// A block source or target of fixed size. All operations block, and may be called from many
/// threads at once.
pub trait Drive: Send + Sync {
    /// Who the drive is. Facts that cost reading (content sample, partition table) are added by
    /// [`identify`](crate::identify::identify).
    fn identity(&self) -> &DriveIdentity;

    /// Which file or device was opened, whatever its path leads to by now; `None` where nothing is there yet.
    fn opened_as(&self) -> Option<OpenedAs> {
        None
    }

    /// Size in bytes.
    fn size_bytes(&self) -> u64 {
        self.identity().size
    }

    /// Logical sector size in bytes. Offsets and lengths are multiples of it, the tail of an odd
    /// image excepted.
    fn sector_size_bytes(&self) -> u64 {
        self.identity().sector_size
    }

    /// The largest piece that the drive likes to be asked for at once, in bytes.
    fn preferred_read_bytes(&self) -> usize {
        1 << 20
    }

    /// How many threads read or write it best at once. One for a drive that may have heads to move.
    fn preferred_readers(&self) -> usize {
        1
    }

    /// Fills `buffer` with the bytes at `offset`, whole.
    ///
    /// # Errors
    /// [`DriveError::Unreadable`] names a range at least one byte of which is bad; a drive that
    /// ended early is [`DriveError::Shrunk`]. After an error the buffer's content means nothing.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), DriveError>;

    /// The first run of bytes at or after `offset` that may be something else than zeros; `None`
    /// where zeros are all that follows. A drive that knows no holes answers with all that is left.
    fn next_data(&self, offset: u64) -> Result<Option<ByteRange>, DriveError> {
        let size = self.size_bytes();
        Ok((offset < size).then(|| ByteRange::new(offset, size - offset)))
    }

    /// Takes the drive for a transfer, before anything is written: an image that does not exist is made under a name that
    /// tells the transfer, or the one that the same transfer left is opened.
    fn begin(&self, _transfer_id: &str) -> Result<(), DriveError> {
        Ok(())
    }

    /// What names the drive's content as it is now, durably, where it knows: to be asked when nothing is being written.
    /// Where it is the same later, nothing was written meanwhile.
    fn state(&self) -> Result<Option<String>, DriveError> {
        Ok(None)
    }

    /// Whether there is anything but zeros on an image that exists. Devices are confirmed by their serial number, and do not
    /// answer this.
    fn holds_data(&self) -> Result<bool, DriveError> {
        Ok(false)
    }

    /// What the drive holds where nothing was written through this handle.
    fn target_content(&self) -> TargetContent {
        TargetContent::Unknown
    }

    /// Writes `bytes` at `offset`, whole. Not durable before [`sync`](Self::sync).
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DriveError>;

    /// Makes a range read as zeros, by whatever way is guaranteed to. Not durable before
    /// [`sync`](Self::sync).
    fn zero_range(&self, range: ByteRange) -> Result<(), DriveError>;

    /// Returns when everything written is durable, or says that it is not.
    fn sync(&self) -> Result<(), DriveError>;

    /// Ends writing: everything is durable, and the drive has the name it was asked to have.
    fn finish(&self) -> Result<(), DriveError> {
        self.sync()
    }

    /// Whether something else than this program changed the drive since it was opened. Only files
    /// can tell.
    fn was_modified(&self) -> Result<bool, DriveError> {
        Ok(false)
    }
}

/// Fills `buffer` by as many calls of `read` as it takes: the kernel may give less than was asked for. The
/// inner error is where the drive ended.
pub(crate) fn read_whole(
    buffer: &mut [u8],
    offset: u64,
    mut read: impl FnMut(&mut [u8], u64) -> Result<usize, DriveError>,
) -> Result<Result<(), u64>, DriveError> {
    let mut done = 0;
    while done < buffer.len() {
        let position = offset + done as u64;
        match read(&mut buffer[done..], position)? {
            0 => return Ok(Err(position)),
            count => done += count,
        }
    }
    Ok(Ok(()))
}

/// Makes a range zero the plain way: by writing zeros.
pub(crate) fn write_zeros(drive: &dyn Drive, range: ByteRange) -> Result<(), DriveError> {
    const PIECE_BYTES: u64 = 1 << 20;
    if range.length == 0 {
        return Ok(());
    }
    let zeros = AlignedBuffer::new(PIECE_BYTES as usize)?;
    let mut offset = range.offset;
    while offset < range.end() {
        let length = PIECE_BYTES.min(range.end() - offset);
        drive.write_at(&zeros[..length as usize], offset)?;
        offset += length;
    }
    Ok(())
}
