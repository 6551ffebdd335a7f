//! A SCSI command that reads, and how it can end.

/// Sends commands to a drive, past the driver that reads and writes it.
pub(crate) trait PassThrough {
    /// Sends a command whose answer is `length` bytes long. Nothing can be written this way.
    fn read(&self, command: &[u8; 16], length: usize) -> Result<Vec<u8>, Refusal>;
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The bridge, or the drive behind it, does not know the command, or cannot do it.
    Refused,
    /// This process may not send it.
    Forbidden,
    /// No answer came in time.
    Silent,
}

/// How a command ended, as the kernel reports it (linux/scsi/sg.h, `sg_io_hdr`).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ending {
    /// The SCSI status (SAM-5, 5.3.1).
    pub(crate) status: u8,
    /// What the host adapter met.
    pub(crate) host_status: u16,
}

/// SAM-5, 5.3.1.
const CHECK_CONDITION: u8 = 0x02;

/// The host adapter's words for no answer: DID_NO_CONNECT, DID_BUS_BUSY, DID_TIME_OUT (linux/scsi/scsi_status.h).
const NO_ANSWER: [u16; 3] = [0x01, 0x02, 0x03];

/// Sense keys that are no failure: NO SENSE and RECOVERED ERROR (SPC-5, 4.4, sense keys).
const KEYS_OF_SUCCESS: [u8; 2] = [0x00, 0x01];

/// ATA PASS-THROUGH INFORMATION AVAILABLE, as ASC and ASCQ (SAT-4, 12.2, ATA Status Return descriptor).
const ATA_INFORMATION: (u8, u8) = (0x00, 0x1d);

/// The bits of the ATA status that mean failure: device fault and error (ACS-4, 6, STATUS field).
const ATA_FAILED: u8 = 0x21;

impl Ending {
    /// Whether the answer may be used.
    pub(crate) fn judge(self, sense: &[u8]) -> Result<(), Refusal> {
        if NO_ANSWER.contains(&self.host_status) {
            return Err(Refusal::Silent);
        }
        let is_good = match self.status {
            0 => true,
            // A bridge may add the drive's registers to an answer that came (SAT-4, 12.2, ATA Status Return descriptor).
            CHECK_CONDITION => Sense::parse(sense).is_some_and(|sense| sense.is_success()),
            _ => false,
        };
        if is_good && self.host_status == 0 { Ok(()) } else { Err(Refusal::Refused) }
    }
}

/// Sense data, as far as it is needed here.
struct Sense {
    key: u8,
    code: (u8, u8),
    /// The ATA status, where the ATA Status Return descriptor has one.
    ata_status: Option<u8>,
}

impl Sense {
    /// Understands both formats: fixed and descriptor (SPC-5, 4.4).
    fn parse(bytes: &[u8]) -> Option<Self> {
        match bytes.first()? & 0x7f {
            0x70 | 0x71 => Some(Sense { key: bytes.get(2)? & 0x0f, code: (*bytes.get(12)?, *bytes.get(13)?), ata_status: None }),
            0x72 | 0x73 => {
                let (key, code) = (bytes.get(1)? & 0x0f, (*bytes.get(2)?, *bytes.get(3)?));
                Some(Sense { key, code, ata_status: bytes.get(8..).and_then(ata_status) })
            }
            _ => None,
        }
    }

    fn is_success(&self) -> bool {
        let is_information = self.code == ATA_INFORMATION || self.code == (0, 0);
        KEYS_OF_SUCCESS.contains(&self.key) && is_information && self.ata_status.is_none_or(|status| status & ATA_FAILED == 0)
    }
}

/// The status in the ATA Status Return descriptor: type 09h, 14 bytes, the status in the last (SAT-4, 12.2).
fn ata_status(mut descriptors: &[u8]) -> Option<u8> {
    loop {
        let (kind, length) = (*descriptors.first()?, usize::from(*descriptors.get(1)?));
        if kind == 0x09 {
            return descriptors.get(13).copied();
        }
        descriptors = descriptors.get(2 + length..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u8, host_status: u16, sense: &[u8]) -> Result<(), Refusal> {
        Ending { status, host_status }.judge(sense)
    }

    /// Descriptor format with an ATA Status Return descriptor.
    fn with_ata_status(key: u8, status: u8) -> Vec<u8> {
        let mut sense = vec![0x72, key, 0x00, 0x1d, 0, 0, 0, 14, 0x09, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x40];
        sense.push(status);
        sense
    }

    #[test]
    fn sense_data_of_both_formats_is_understood() {
        assert_eq!(judged(0, 0, &[]), Ok(()));
        assert_eq!(judged(2, 0, &with_ata_status(1, 0x50)), Ok(()), "the registers are added to an answer");
        assert_eq!(judged(2, 0, &with_ata_status(1, 0x51)), Err(Refusal::Refused), "the drive aborted it");
        assert_eq!(judged(2, 0, &with_ata_status(0x0b, 0x50)), Err(Refusal::Refused), "aborted command");
        let mut other_first = vec![0x72, 1, 0x00, 0x1d, 0, 0, 0, 18, 0x02, 2, 0, 0];
        other_first.extend_from_slice(&with_ata_status(1, 0x51)[8..]);
        assert_eq!(judged(2, 0, &other_first), Err(Refusal::Refused), "another descriptor stands before it");
        let fixed = |key: u8, code: u8| [0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, code, 0x1d, 0, 0, 0, 0];
        assert_eq!(judged(2, 0, &fixed(1, 0)), Ok(()));
        // ILLEGAL REQUEST, INVALID COMMAND OPERATION CODE.
        assert_eq!(judged(2, 0, &[0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x20, 0]), Err(Refusal::Refused));
    }

    #[test]
    fn damaged_sense_data_is_a_refusal() {
        for sense in [&[][..], &[0x70], &[0x72, 1, 0], &[0x55; 32], &[0xff; 32], &[0; 32], &[0x72, 9, 0, 0x1d, 0, 0, 0, 255]] {
            assert_eq!(judged(2, 0, sense), Err(Refusal::Refused), "{sense:02x?}");
        }
        // A descriptor that claims to be longer than what came.
        assert_eq!(judged(2, 0, &[0x72, 1, 0, 0x1d, 0, 0, 0, 4, 0x02, 200]), Ok(()));
    }

    #[test]
    fn a_timeout_is_told_from_a_refusal() {
        assert_eq!(judged(0, 3, &[]), Err(Refusal::Silent));
        assert_eq!(judged(0, 7, &[]), Err(Refusal::Refused));
        assert_eq!(judged(8, 0, &[]), Err(Refusal::Refused), "busy");
    }
}
