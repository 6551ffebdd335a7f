//! What a history is made of, as plain data: a step means the same when the steps before it are left out.

use crate::support::azure_fake::{Fault, On};

/// A whole history.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub store: StoreKind,
    pub drives: [DrivePlan; 2],
    pub steps: Vec<Step>,
}

impl Plan {
    /// Whether a loop device is written in it.
    pub fn uses_loop_device(&self) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Run(run) => run.uses_loop_device(),
            Step::Race(runs) => runs.iter().any(Run::uses_loop_device),
            Step::Tamper(change) => matches!(change, Tamper::Target { target: Target::LoopDevice, .. }),
        })
    }
}

impl Run {
    fn uses_loop_device(&self) -> bool {
        let meanwhile = match &self.interruption {
            Interruption::Pause(_, meanwhile) => meanwhile.as_slice(),
            _ => &[],
        };
        let is_onto_it = matches!(self.action, Action::Export { target: Target::LoopDevice, .. });
        is_onto_it
            || meanwhile.iter().any(|event| match event {
                Meanwhile::Run(run) => run.uses_loop_device(),
                Meanwhile::Tamper(change) => matches!(change, Tamper::Target { target: Target::LoopDevice, .. }),
            })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreKind {
    Directory,
    BlockBlob,
    PageBlob,
    S3,
    Gcs,
}

impl StoreKind {
    const WORDS: [(StoreKind, &str); 5] = [
        (StoreKind::Directory, "directory"),
        (StoreKind::BlockBlob, "block"),
        (StoreKind::PageBlob, "page"),
        (StoreKind::S3, "s3"),
        (StoreKind::Gcs, "gcs"),
    ];

    pub fn of_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, known)| *known == word).map(|(store, _)| *store)
    }

    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(store, _)| *store == self).map_or("", |(_, word)| word)
    }
}

/// The content of a drive: a letter for each piece (`random`, `z`ero, `h`ole, `s`ame as others), and an odd tail.
#[derive(Debug, Clone)]
pub struct DrivePlan {
    pub seed: u64,
    pub pieces: String,
    pub piece_bytes: usize,
    pub tail_bytes: usize,
    /// What cannot be read, as offset and length in bytes.
    pub unreadable: Vec<(u64, u64)>,
}

#[derive(Debug, Clone)]
pub enum Step {
    Run(Box<Run>),
    /// Two processes at once.
    Race(Box<[Run; 2]>),
    /// Something that is not the program does something.
    Tamper(Tamper),
}

/// One command.
#[derive(Debug, Clone)]
pub struct Run {
    /// Whose state directory: 0 or 1.
    pub operator: usize,
    pub action: Action,
    pub options: Options,
    pub interruption: Interruption,
    pub faults: Vec<(On, StoreFault)>,
    pub surroundings: Surroundings,
    pub as_text: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Import { drive: usize, name: &'static str },
    Export { name: &'static str, target: Target },
    Verify { name: &'static str, drive: Option<usize>, with_blob: bool },
}

impl Action {
    /// The blob of a transfer.
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Action::Import { name, .. } | Action::Export { name, .. } => Some(name),
            Action::Verify { .. } => None,
        }
    }

    /// The drive that it reads.
    pub fn drive(&self) -> Option<usize> {
        match self {
            Action::Import { drive, .. } => Some(*drive),
            Action::Verify { drive, .. } => *drive,
            Action::Export { .. } => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Image,
    LoopDevice,
}

#[derive(Debug, Clone, Default)]
pub struct Options {
    pub overwrite: bool,
    pub restart: bool,
    pub read_back: bool,
    pub stream_sha256: bool,
    pub chunk_kib: Option<u64>,
    pub concurrency: Option<u64>,
    pub memory_mib: Option<u64>,
    pub manifest: bool,
    pub skips_unreadable: bool,
    /// Stretches the run to about so many milliseconds.
    pub stretched_to_milliseconds: Option<u64>,
}

#[derive(Debug, Clone)]
pub enum Interruption {
    None,
    /// At the nth passing of a crash point.
    Crash(&'static str, u64),
    Kill(When),
    Interrupt(When),
    /// Interrupted, and once more.
    Abort(When),
    /// Stopped, and continued after these things happened.
    Pause(When, Vec<Meanwhile>),
}

impl Interruption {
    /// When it comes, where that is not a crash.
    pub fn when(&self) -> Option<When> {
        match self {
            Interruption::None | Interruption::Crash(..) => None,
            Interruption::Kill(when) | Interruption::Interrupt(when) | Interruption::Abort(when) => Some(*when),
            Interruption::Pause(when, _) => Some(*when),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub enum When {
    /// So long after the start.
    Microseconds(u64),
    /// When the journal has this many lines more than before.
    Lines(u64),
    /// When the fake has been sent this many blocks or pages more.
    Puts(u64),
    /// At exactly the nth passing of a crash point: the process stops itself there.
    Point(&'static str, u64),
}

#[derive(Debug, Clone)]
pub enum Meanwhile {
    Run(Box<Run>),
    Tamper(Tamper),
}

/// A fault of the fake, for the next request of its kind, or for all of this run.
#[derive(Debug, Clone)]
pub enum StoreFault {
    /// After so many requests that pass, if any.
    Next(Fault),
    Always(Fault),
}

/// What a run meets in its folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surroundings {
    Ordinary,
    /// So much is free where the store and the targets are.
    StoreFull(u64),
    /// So much is free where the state directories are.
    StateFull(u64),
    StoreReadOnly,
    StateReadOnly,
    /// `ulimit -f`, in bytes.
    FileSizeLimit(u64),
}

/// A change that no run of the program made. Offsets are taken modulo the length of what is changed.
#[derive(Debug, Clone, Copy)]
pub enum Tamper {
    Drive {
        drive: usize,
        offset: u64,
    },
    Blob {
        name: &'static str,
        offset: u64,
    },
    RemoveBlob {
        name: &'static str,
    },
    /// The blob gets another name, and its manifest stays.
    MoveBlob {
        name: &'static str,
    },
    Manifest {
        name: &'static str,
        offset: u64,
    },
    RemoveManifest {
        name: &'static str,
    },
    /// A file of the user gets a name of ours.
    Notes {
        name: &'static str,
    },
    /// A symbolic link to a file of the user gets a name of ours.
    Link {
        name: &'static str,
    },
    Partial {
        index: u64,
        offset: u64,
    },
    CutPartial {
        index: u64,
        length: u64,
    },
    RemovePartial {
        index: u64,
    },
    Target {
        target: Target,
        offset: u64,
    },
    /// An image with a user's data, so many bytes longer or shorter than the drive; 0 filled where it `is_zero`.
    PlaceImage {
        longer_bytes: i64,
        is_zero: bool,
    },
    RemoveImage,
    Journal {
        operator: usize,
        index: u64,
        offset: u64,
    },
    CutJournal {
        operator: usize,
        index: u64,
        length: u64,
    },
    RemoveJournal {
        operator: usize,
        index: u64,
    },
    SwapStates,
    ForgetBlocks {
        name: &'static str,
    },
    ForeignBlock {
        name: &'static str,
        is_long: bool,
    },
}
