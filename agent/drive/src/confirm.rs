//! Whether an operator's word confirms that a drive may be written: it has to say which drive is meant.

use std::path::Path;

use protocol::identity::DriveIdentity;
use protocol::station::WeakIdentity;
use protocol::units::ByteSize;

use crate::contract::Drive;
use crate::naming::Naming;

/// How an operator confirms that a device may be overwritten.
pub enum Confirmation<'ask> {
    /// By the word given beforehand.
    Word(&'ask str),
    /// By typing the word when asked; the argument is what is asked, with the word in it.
    Ask(&'ask dyn Fn(&str) -> Option<String>),
    /// By the caller, who knows which drive it has to be, and looks at the one that was opened; the error says why it
    /// is another.
    Check(&'ask dyn Fn(&dyn Drive) -> Result<(), String>),
    /// Not at all: devices are refused.
    None,
}

/// A drive that is to be written.
pub(crate) struct Target<'drive> {
    /// Where it is.
    pub(crate) path: &'drive Path,
    pub(crate) identity: &'drive DriveIdentity,
    pub(crate) naming: &'drive Naming,
    /// What is typed where its serial number does not say which drive it is: the name of its port, the kernel's, or that of
    /// its profile. There always is one, so a drive with a weak serial number can be written, too.
    pub(crate) place: String,
    /// What is on it, as far as that is known: an image, partitions, a file system.
    pub(crate) holds: Option<String>,
}

impl Target<'_> {
    /// What confirms it.
    fn word(&self) -> &str {
        self.strong_serial().unwrap_or(&self.place)
    }

    fn strong_serial(&self) -> Option<&str> {
        self.naming.serial.as_deref().filter(|_| self.naming.weak.is_empty())
    }

    /// Where, which, and how far its serial number can be relied on.
    fn described(&self) -> String {
        let model = self.identity.model.as_deref();
        let serial = match (&self.naming.serial, self.reasons()) {
            (None, _) => "without a serial number".to_owned(),
            (Some(serial), None) => format!("serial {serial}"),
            (Some(serial), Some(reasons)) => format!("serial {serial}; {reasons}"),
        };
        let size = ByteSize(self.identity.size).to_string();
        let parts = [model, self.holds.as_deref(), Some(&size), Some(&serial)].into_iter().flatten();
        format!("`{}` ({})", self.path.display(), parts.collect::<Vec<_>>().join(", "))
    }

    fn reasons(&self) -> Option<String> {
        let reasons: Vec<&str> = self.naming.weak.iter().map(|weak: &WeakIdentity| weak.reason()).collect();
        (!reasons.is_empty()).then(|| reasons.join(", and "))
    }

    /// Refuses what was not confirmed, with the word that does.
    pub(crate) fn require(&self, confirmation: &Confirmation<'_>) -> Result<(), String> {
        let word = self.word();
        let given = match confirmation {
            // The caller looks at it when it is open.
            Confirmation::Check(_) => return Ok(()),
            Confirmation::Word(given) => Some((*given).to_owned()),
            Confirmation::Ask(ask) => {
                ask(&format!("Everything on {} will be overwritten. Type {word} to continue: ", self.described()))
            }
            Confirmation::None => None,
        };
        let Some(given) = given else {
            let described = self.described();
            return Err(format!("writing to {described} was not confirmed: repeat the command with `--confirm {word}`"));
        };
        self.judge(given.trim())
    }

    /// Whether what was typed names this drive.
    pub(crate) fn judge(&self, given: &str) -> Result<(), String> {
        let word = self.word();
        // The whole path of the port's name is as good.
        let name = if self.strong_serial().is_none() && given.starts_with("/dev/") { given.rsplit('/').next() } else { None };
        if given == word || name == Some(word) {
            return Ok(());
        }
        match self.reasons() {
            Some(reasons) if self.naming.serial.as_deref() == Some(given) => Err(format!(
                "`{given}` does not say which drive `{}` is: {reasons}; nothing was written: see that it is the right one, and \
                 repeat the command with `--confirm {word}`",
                self.path.display()
            )),
            _ => Err(format!("`{given}` is not the drive {}: nothing was written", self.described())),
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::identity::DriveKind;

    use super::*;

    fn naming(serial: Option<&str>, weak: &[WeakIdentity]) -> Naming {
        Naming { serial: serial.map(str::to_owned), weak: weak.to_vec(), ..Naming::default() }
    }

    fn identity() -> DriveIdentity {
        DriveIdentity {
            path: "/dev/sdb".to_owned(),
            kind: DriveKind::Device,
            serial: None,
            model: Some("M".to_owned()),
            size: 1 << 40,
            sector_size: 512,
            partition_table_id: None,
            content_sample: None,
            modified_unix_nanoseconds: None,
        }
    }

    fn judged(naming: &Naming, given: &str) -> Result<(), String> {
        let (path, place) = (Path::new("/dev/sdb"), "pci-0-usb-0:3".to_owned());
        let target = Target { path, identity: &identity(), naming, place, holds: None };
        target.require(&Confirmation::Word(given))
    }

    #[test]
    fn a_strong_serial_number_confirms_and_a_weak_one_does_not() {
        let strong = naming(Some("ZA1234X"), &[]);
        assert_eq!(judged(&strong, " ZA1234X\n"), Ok(()));
        assert!(judged(&strong, "pci-0-usb-0:3").unwrap_err().contains("is not the drive `/dev/sdb` (M, 1 TiB, serial ZA1234X)"));
        for weakness in
            [WeakIdentity::Placeholder, WeakIdentity::BridgeConstant, WeakIdentity::UsbDescriptorOnly, WeakIdentity::Duplicated]
        {
            let weak = naming(Some("152D00539000"), &[weakness]);
            let error = judged(&weak, "152D00539000").unwrap_err();
            assert!(error.contains(weakness.reason()) && error.contains("`--confirm pci-0-usb-0:3`"), "{error}");
            assert_eq!(judged(&weak, "pci-0-usb-0:3"), Ok(()), "the word that the message names works");
            assert_eq!(judged(&weak, "/dev/disk/by-path/pci-0-usb-0:3"), Ok(()));
            assert!(judged(&weak, "pci-0-usb-0:4").is_err() && judged(&weak, "").is_err());
        }
    }

    #[test]
    fn a_drive_without_a_serial_number_is_confirmed_by_its_place() {
        for weak in [&[][..], &[WeakIdentity::Missing]] {
            let without = naming(None, weak);
            assert_eq!(judged(&without, "pci-0-usb-0:3"), Ok(()));
            assert!(judged(&without, "another").unwrap_err().contains("without a serial number"));
        }
    }

    #[test]
    fn the_word_is_asked_for_or_named() {
        let weak = naming(Some("0000"), &[WeakIdentity::Placeholder]);
        let target =
            Target { path: Path::new("/dev/sdb"), identity: &identity(), naming: &weak, place: "sdb".to_owned(), holds: None };
        assert!(target.require(&Confirmation::None).unwrap_err().ends_with("repeat the command with `--confirm sdb`"));
        let typed = |question: &str| question.contains("Type sdb to continue").then(|| "sdb".to_owned());
        assert_eq!(target.require(&Confirmation::Ask(&typed)), Ok(()));
        assert!(target.require(&Confirmation::Ask(&|_| None)).is_err());
    }
}
