//! Whether a drive's name says whose it is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why the name of a drive does not say by itself whose it is: an operator decides then.
///
/// A USB bridge or a dock may answer with a serial number of its own, the same for every drive in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WeakIdentity {
    /// It reports no serial number.
    Missing,
    /// Its serial number is a placeholder, such as zeros.
    Placeholder,
    /// Its serial number is a known constant of a bridge or dock.
    BridgeConstant,
    /// Only the USB descriptor of its bridge has a serial number, and not the drive itself.
    UsbDescriptorOnly,
    /// Another bay shows a drive of the same name.
    Duplicated,
}

impl WeakIdentity {
    /// The name as JSON has it.
    pub const fn name(self) -> &'static str {
        match self {
            WeakIdentity::Missing => "missing",
            WeakIdentity::Placeholder => "placeholder",
            WeakIdentity::BridgeConstant => "bridge-constant",
            WeakIdentity::UsbDescriptorOnly => "usb-descriptor-only",
            WeakIdentity::Duplicated => "duplicated",
        }
    }

    /// What is shown beside a drive's name: the bridge's serial number where that is another one, and why the name cannot
    /// be relied on. `None` where there is nothing to show.
    pub fn note(bridge_serial: Option<&str>, weak: &[WeakIdentity]) -> Option<String> {
        let bridge = bridge_serial.map(|serial| format!("behind a bridge that calls itself {serial}"));
        let reasons: Vec<&str> = weak.iter().map(|weak| weak.reason()).collect();
        let weak = (!reasons.is_empty()).then(|| format!("weak identity: {}", reasons.join(", and ")));
        let parts: Vec<String> = bridge.into_iter().chain(weak).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// Why the name cannot be relied on, as the rest of a sentence about the drive.
    pub const fn reason(self) -> &'static str {
        match self {
            WeakIdentity::Missing => "it tells no serial number",
            WeakIdentity::Placeholder => "its serial number is a placeholder",
            WeakIdentity::BridgeConstant => "its serial number is one that a bridge or dock tells for every drive",
            WeakIdentity::UsbDescriptorOnly => "its serial number is that of its USB bridge, and may not be the drive's own",
            WeakIdentity::Duplicated => "another bay shows a drive of the same serial number",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_beside_a_name() {
        assert_eq!(WeakIdentity::note(None, &[]), None);
        assert_eq!(WeakIdentity::note(Some("152D"), &[]).unwrap(), "behind a bridge that calls itself 152D");
        let weak = [WeakIdentity::Placeholder, WeakIdentity::UsbDescriptorOnly];
        assert_eq!(
            WeakIdentity::note(None, &weak).unwrap(),
            "weak identity: its serial number is a placeholder, and its serial number is that of its USB bridge, and may not be \
             the drive's own"
        );
        assert!(WeakIdentity::note(Some("152D"), &weak).unwrap().starts_with("behind a bridge that calls itself 152D; weak"));
    }
}
