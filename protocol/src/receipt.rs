//! What a transfer that did not complete did and did not do, by byte range.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::limits::DRIVE_MAX_BYTES;
use crate::stop::StopReason;
use crate::units::{ByteRange, RangeList};
use utoipa::ToSchema;

/// Which of the four classes a byte of the drive is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ByteClass {
    /// The target held it when the stop was asked for.
    LandedBeforeRequest,
    /// It was in flight then, and landed while draining.
    LandedAfterRequest,
    /// It was sent, and whether it landed is unknown.
    OutcomeUnknown,
    /// It was never sent, or could not be read.
    NeverSent,
}

/// All bytes of one class.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "ClassText")]
pub struct ClassRanges {
    /// How many bytes.
    pub bytes: u64,
    /// Where they are, ascending.
    #[schema(value_type = Vec<crate::units::ByteRange>)]
    pub ranges: RangeList,
    /// How many ranges there are at most, where the list is cut and has the first of them alone; absent where it has all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranges_total: Option<u64>,
}

/// A class as it is written, which may claim what no drive has.
#[derive(Deserialize)]
struct ClassText {
    bytes: u64,
    ranges: RangeList,
    #[serde(default)]
    ranges_total: Option<u64>,
}

impl TryFrom<ClassText> for ClassRanges {
    type Error = &'static str;

    fn try_from(text: ClassText) -> Result<Self, Self::Error> {
        let ClassText { bytes, ranges, ranges_total } = text;
        // Sums of classes stay far below 2^64.
        match bytes <= DRIVE_MAX_BYTES && ranges_total.is_none_or(|total| total <= bytes) {
            true => Ok(ClassRanges { bytes, ranges, ranges_total }),
            false => Err("a class of a receipt has no more bytes than a drive can have, and a byte at least for each range"),
        }
    }
}

impl ClassRanges {
    fn push(&mut self, range: ByteRange) {
        self.bytes += range.length;
        self.ranges.push(range);
    }

    /// How many ranges there are; at most so many, where the list is cut.
    pub fn count(&self) -> u64 {
        self.ranges_total.unwrap_or(self.ranges.as_slice().len() as u64)
    }

    /// Keeps the first `ranges_max` ranges, and how many there were.
    fn cut(&mut self, ranges_max: usize) {
        if self.ranges.as_slice().len() > ranges_max {
            self.ranges_total = Some(self.count());
            self.ranges.truncate(ranges_max);
        }
    }

    /// The bytes of several classes as those of one.
    fn joined(classes: &[&ClassRanges]) -> Self {
        let is_cut = |class: &&&ClassRanges| class.ranges_total.is_some();
        // A list that is cut is known as far as its last range; behind that the joined list would have gaps.
        let known_to = classes.iter().filter(is_cut).map(|class| class.ranges.end()).min();
        let end = known_to.unwrap_or(u64::MAX);
        let all = classes.iter().flat_map(|class| class.ranges.as_slice()).filter(|range| range.offset < end);
        ClassRanges {
            bytes: classes.iter().map(|class| class.bytes).sum(),
            ranges: all.map(|range| ByteRange::new(range.offset, range.length.min(end - range.offset))).collect(),
            ranges_total: known_to.map(|_| classes.iter().map(|class| class.count()).sum()),
        }
    }
}

/// What is left at the target, and how long it lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Residue {
    /// What it is, for people.
    pub description: String,
    /// The file that it is, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its size in bytes.
    pub bytes: u64,
    /// How long it stays when it is left alone; absent where it stays for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lives_days: Option<u32>,
}

/// The receipt: each byte of the drive is in exactly one class.
///
/// Zero and reused bytes count as landed; unreadable ones as never sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// When the stop was asked for, or the fault was seen.
    #[serde(with = "time::serde::rfc3339")]
    pub requested_at: OffsetDateTime,
    /// When the last chunk in flight was accounted for.
    #[serde(with = "time::serde::rfc3339")]
    pub drained_at: OffsetDateTime,
    /// The gravest reason.
    pub reason: StopReason,
    /// Held by the target when the stop was asked for.
    pub landed_before_request: ClassRanges,
    /// Landed while draining.
    pub landed_after_request: ClassRanges,
    /// Sent, and whether it landed is unknown.
    pub outcome_unknown: ClassRanges,
    /// Never sent, or unreadable.
    pub never_sent: ClassRanges,
    /// What is left at the target; absent where there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residue: Option<Residue>,
    /// The command that continues.
    pub resume: String,
}

impl Receipt {
    /// A receipt in which no byte is accounted for yet.
    pub fn new(reason: StopReason, requested_at: OffsetDateTime, drained_at: OffsetDateTime, resume: String) -> Self {
        Receipt {
            requested_at,
            drained_at,
            reason,
            landed_before_request: ClassRanges::default(),
            landed_after_request: ClassRanges::default(),
            outcome_unknown: ClassRanges::default(),
            never_sent: ClassRanges::default(),
            residue: None,
            resume,
        }
    }

    /// The receipt of a stop that came before anything had moved: every byte was never sent.
    pub fn of_nothing(total_bytes: u64, reason: StopReason, requested_at: OffsetDateTime, resume: String) -> Self {
        let mut receipt = Receipt::new(reason, requested_at, requested_at, resume);
        if total_bytes > 0 {
            receipt.add(ByteClass::NeverSent, ByteRange::new(0, total_bytes));
        }
        receipt
    }

    /// The receipt where nothing is known of what moved: every byte may have landed.
    pub fn of_unknown(total_bytes: u64, reason: StopReason, requested_at: OffsetDateTime) -> Self {
        let mut receipt = Receipt::new(reason, requested_at, requested_at, String::new());
        if total_bytes > 0 {
            receipt.add(ByteClass::OutcomeUnknown, ByteRange::new(0, total_bytes));
        }
        receipt
    }

    /// Whether nothing landed, and nothing may have.
    pub fn is_of_nothing(&self) -> bool {
        self.accounted_bytes() == self.never_sent.bytes
    }

    /// Puts the next range, in drive order, into its class.
    pub fn add(&mut self, class: ByteClass, range: ByteRange) {
        match class {
            ByteClass::LandedBeforeRequest => self.landed_before_request.push(range),
            ByteClass::LandedAfterRequest => self.landed_after_request.push(range),
            ByteClass::OutcomeUnknown => self.outcome_unknown.push(range),
            ByteClass::NeverSent => self.never_sent.push(range),
        }
    }

    /// The same bytes, for a request that came when nothing moved any more: everything landed before it.
    pub fn told_for(self, reason: StopReason, requested_at: OffsetDateTime) -> Self {
        let landed = ClassRanges::joined(&[&self.landed_before_request, &self.landed_after_request]);
        Receipt {
            reason,
            requested_at,
            drained_at: requested_at,
            landed_before_request: landed,
            landed_after_request: ClassRanges::default(),
            ..self
        }
    }

    /// The same where the target does not hold what landed, or was not asked: what it holds is unknown.
    pub fn doubted(self) -> Self {
        let all = [&self.landed_before_request, &self.landed_after_request, &self.outcome_unknown];
        let unknown = ClassRanges::joined(&all);
        Receipt {
            landed_before_request: ClassRanges::default(),
            landed_after_request: ClassRanges::default(),
            outcome_unknown: unknown,
            ..self
        }
    }

    /// The same where the record that it comes from may be behind: what that does not know of may have landed since.
    pub fn of_older_record(self) -> Self {
        let unknown = ClassRanges::joined(&[&self.outcome_unknown, &self.never_sent]);
        Receipt { outcome_unknown: unknown, never_sent: ClassRanges::default(), ..self }
    }

    /// The four classes.
    pub fn classes(&self) -> [&ClassRanges; 4] {
        [&self.landed_before_request, &self.landed_after_request, &self.outcome_unknown, &self.never_sent]
    }

    /// The same with at most `ranges_max` ranges of each class. Bytes are those of all of them.
    pub fn with_lists_cut(mut self, ranges_max: usize) -> Self {
        let before_and_after = [&mut self.landed_before_request, &mut self.landed_after_request];
        for class in before_and_after.into_iter().chain([&mut self.outcome_unknown, &mut self.never_sent]) {
            class.cut(ranges_max);
        }
        self
    }

    /// What landed, in bytes.
    pub fn landed_bytes(&self) -> u64 {
        self.landed_before_request.bytes + self.landed_after_request.bytes
    }

    /// The sum of the four classes, in bytes.
    pub fn accounted_bytes(&self) -> u64 {
        self.classes().iter().map(|class| class.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_before_the_first_byte_is_accounted_for() {
        let now = OffsetDateTime::UNIX_EPOCH;
        for total in [0, 1, 24 << 20] {
            let receipt = Receipt::of_nothing(total, StopReason::JobCancelled, now, String::new());
            assert_eq!((receipt.never_sent.bytes, receipt.accounted_bytes()), (total, total));
            assert_eq!(receipt.never_sent.ranges.total_bytes(), total);
            assert!(receipt.is_of_nothing() && receipt.clone().doubted().is_of_nothing());
        }
        let mut receipt = Receipt::of_nothing(8, StopReason::JobCancelled, now, String::new());
        receipt.add(ByteClass::OutcomeUnknown, ByteRange::new(8, 8));
        assert!(!receipt.is_of_nothing());
    }

    #[test]
    fn lists_that_are_cut_say_so_and_keep_their_bytes() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let mut receipt = Receipt::new(StopReason::JobCancelled, now, now, String::new());
        let classes = [ByteClass::LandedBeforeRequest, ByteClass::LandedAfterRequest, ByteClass::NeverSent];
        for (offset, class) in (0..3000).step_by(10).zip(classes.into_iter().cycle()) {
            receipt.add(class, ByteRange::new(offset, 10));
        }
        assert_eq!(receipt.clone().with_lists_cut(100), receipt, "nothing is cut that fits");
        let cut = receipt.clone().with_lists_cut(7);
        let before = &cut.landed_before_request;
        assert_eq!((before.bytes, before.ranges.as_slice().len(), before.ranges_total), (1000, 7, Some(100)));
        assert_eq!(cut.accounted_bytes(), 3000);
        assert_eq!(cut.clone().with_lists_cut(5).never_sent.ranges_total, Some(100));
        // What is known of both, as far as it is known of both: six whole pairs, and the first of the seventh.
        let cut_for_cancel = cut.clone().told_for(StopReason::JobCancelled, now).landed_before_request;
        assert_eq!((cut_for_cancel.bytes, cut_for_cancel.ranges_total, cut_for_cancel.ranges.end()), (2000, Some(200), 190));
        assert_eq!(cut_for_cancel.ranges.as_slice().len(), 7);
        let all = receipt.told_for(StopReason::JobCancelled, now).landed_before_request.ranges;
        assert_eq!(cut_for_cancel.ranges.as_slice()[..6], all.as_slice()[..6]);
        let doubted = cut.doubted();
        assert_eq!((doubted.outcome_unknown.bytes, doubted.accounted_bytes()), (2000, 3000));
    }

    #[test]
    fn a_receipt_claims_no_more_than_a_drive_has() {
        let class = |text: &str| serde_json::from_str::<ClassRanges>(text).is_ok();
        assert!(class("{\"bytes\":7,\"ranges\":[]}") && class("{\"bytes\":7,\"ranges\":[],\"ranges_total\":7}"));
        assert!(!class("{\"bytes\":18446744073709551615,\"ranges\":[]}"));
        assert!(!class("{\"bytes\":7,\"ranges\":[],\"ranges_total\":8}"));
    }
}
