//! Holes: ranges that a file system or a store says are zeros, which need not be read.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use blob::{Blob, LocalBlob, WrittenRanges};
use drive::Drive;
use protocol::units::ByteRange;

use crate::call::stop::Stop;
use crate::flow::attempts::Attempts;

/// The last run of data that was found, so that a source is asked once for each run, and not for each chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DataRun(ByteRange);

impl DataRun {
    /// Nothing was found yet.
    pub(crate) fn unknown() -> Self {
        DataRun(ByteRange::new(0, 0))
    }

    /// Whether a range lies behind all that was found: the source must be asked what comes next.
    pub(crate) fn ends_before(self, range: ByteRange) -> bool {
        self.0.end() <= range.offset
    }

    /// Notes the run that was found, or that there is none any more.
    pub(crate) fn note(&mut self, found: Option<ByteRange>) {
        self.0 = found.unwrap_or(ByteRange::new(u64::MAX, 0));
    }

    /// Whether a range that it does not end before lies before it.
    pub(crate) fn begins_after(self, range: ByteRange) -> bool {
        range.end() <= self.0.offset
    }
}

/// What may have holes, on this machine.
pub(crate) enum Source {
    Drive(Arc<dyn Drive>),
    /// A blob, and its version.
    Blob(Arc<dyn LocalBlob>, String),
}

/// How a source is asked.
enum Asked {
    /// By calls that block, and have this time to answer.
    Locally(Arc<Source>, Duration),
    /// At its store.
    AtStore(Box<WrittenPages>),
}

/// The list of what was written to a blob, as far as it was fetched.
struct WrittenPages {
    blob: Arc<dyn Blob>,
    version: String,
    attempts: Attempts,
    /// Those that were not passed by yet.
    ranges: VecDeque<ByteRange>,
    /// Where the last range ends that was listed, in bytes.
    listed_to: u64,
    next: Next,
}

/// Where the rest of a list is.
enum Next {
    Beginning,
    From(String),
    Nowhere,
}

impl WrittenPages {
    /// The first run of data at or after an offset; `None` of the outer where the store does not say.
    async fn next_data(&mut self, offset: u64) -> Option<Option<ByteRange>> {
        loop {
            while let Some(range) = self.ranges.front() {
                if range.end() > offset {
                    return Some(Some(*range));
                }
                self.ranges.pop_front();
            }
            let from = match &self.next {
                Next::Beginning => None,
                Next::From(marker) => Some(marker.clone()),
                Next::Nowhere => return Some(None),
            };
            let listing =
                self.attempts.run("list what is written of", 0, || self.blob.written_ranges(&self.version, from.as_deref()));
            let WrittenRanges { ranges, next } = listing.await.ok()?.0;
            // A list that goes back would hide what lies before.
            if ranges.first().is_some_and(|first| first.offset < self.listed_to) {
                return None;
            }
            self.listed_to = ranges.last().map_or(self.listed_to, |last| last.end());
            self.ranges = ranges.into();
            self.next = next.map_or(Next::Nowhere, Next::From);
        }
    }

    /// From the first to the last byte of a range that was written. What is not listed yet counts as written.
    fn data_in(&self, range: ByteRange) -> ByteRange {
        let mut listed = self.ranges.iter().take_while(|written| written.offset < range.end());
        let Some(first) = listed.next() else { return range };
        let last = listed.last().unwrap_or(first);
        let is_listed = matches!(self.next, Next::Nowhere) || self.listed_to >= range.end();
        let end = if is_listed { last.end().min(range.end()) } else { range.end() };
        let start = first.offset.max(range.offset);
        ByteRange::new(start, end.saturating_sub(start))
    }
}

/// The holes of a source, for a task that goes through it in order and must not block.
pub(crate) struct Holes {
    asked: Asked,
    stop: Stop,
    known: DataRun,
}

impl Holes {
    /// The holes of `source`, which has `timeout` to answer.
    pub(crate) fn new(source: Source, timeout: Duration, stop: Stop) -> Self {
        Holes { asked: Asked::Locally(Arc::new(source), timeout), stop, known: DataRun::unknown() }
    }

    /// The holes of a blob whose store knows what was written to it.
    pub(crate) fn at_store(blob: Arc<dyn Blob>, version: String, attempts: Attempts, stop: Stop) -> Self {
        let pages = WrittenPages { blob, version, attempts, ranges: VecDeque::new(), listed_to: 0, next: Next::Beginning };
        Holes { asked: Asked::AtStore(Box::new(pages)), stop, known: DataRun::unknown() }
    }

    /// The part of a range outside of which all is zeros; `None` where the range is a hole. A source that does not answer
    /// has no holes: its reader learns what is wrong there.
    pub(crate) async fn data_in(&mut self, range: ByteRange) -> Option<ByteRange> {
        if self.known.ends_before(range) {
            let everything = Some(ByteRange::new(range.offset, u64::MAX - range.offset));
            let found = self.next_data(range.offset).await.unwrap_or(everything);
            self.known.note(found);
        }
        match &self.asked {
            _ if self.known.begins_after(range) => None,
            Asked::AtStore(pages) => Some(pages.data_in(range)),
            // Here a read costs less than a question.
            Asked::Locally(..) => Some(range),
        }
    }

    /// What the source answers; `None` where it does not, or a stop was asked for first.
    async fn next_data(&mut self, offset: u64) -> Option<Option<ByteRange>> {
        match &mut self.asked {
            Asked::AtStore(pages) => self.stop.or_stopping(pages.next_data(offset)).await?,
            Asked::Locally(source, timeout) => {
                let source = source.clone();
                let asking = tokio::task::spawn_blocking(move || match &*source {
                    Source::Drive(drive) => drive.next_data(offset).ok(),
                    Source::Blob(blob, version) => blob.next_data(offset, version).ok(),
                });
                let answer = self.stop.or_stopping(tokio::time::timeout(*timeout, asking)).await?;
                answer.ok()?.ok()?
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::stop::StopReason;

    const CHUNK: u64 = 1 << 20;

    fn chunk(index: u64) -> ByteRange {
        ByteRange::new(index * CHUNK, CHUNK)
    }

    /// A blob with one run of data, in chunk 3 alone; what was asked of it.
    #[derive(Default)]
    struct Sparse(std::sync::Mutex<Vec<u64>>);

    impl LocalBlob for Sparse {
        fn read_at(&self, _buffer: &mut [u8], _offset: u64, _version: &str) -> Result<(), blob::BlobError> {
            unreachable!("a hole need not be read")
        }

        fn next_data(&self, offset: u64, version: &str) -> Result<Option<ByteRange>, blob::BlobError> {
            self.0.lock().unwrap().push(offset);
            match version {
                "gone" => Err(blob::BlobError::new(blob::BlobErrorKind::Changed, "read", "x".to_owned(), "it was changed")),
                _ => Ok((offset < 4 * CHUNK).then(|| ByteRange::new(3 * CHUNK + 7, 9))),
            }
        }
    }

    async fn found(version: &str, stop: Stop) -> (Vec<u64>, Vec<u64>) {
        let blob = Arc::new(Sparse::default());
        let mut holes = Holes::new(Source::Blob(blob.clone(), version.to_owned()), Duration::from_secs(60), stop);
        let mut found = Vec::new();
        for index in 0..8 {
            if holes.data_in(chunk(index)).await.is_none() {
                found.push(index);
            }
        }
        let asked = blob.0.lock().unwrap().clone();
        (found, asked)
    }

    #[tokio::test]
    async fn a_source_is_asked_once_for_each_run() {
        assert_eq!(found("", Stop::new()).await, (vec![0, 1, 2, 4, 5, 6, 7], vec![0, 4 * CHUNK]));
    }

    #[tokio::test]
    async fn a_source_that_cannot_answer_has_no_holes() {
        assert_eq!(found("gone", Stop::new()).await, (vec![], vec![0]));
        let stop = Stop::new();
        stop.request_stop(StopReason::Interrupted);
        assert_eq!(found("", stop).await.0, Vec::<u64>::new());
    }
}
