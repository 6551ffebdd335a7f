//! From a seed to a history.

use std::time::Duration;

use crate::step::{
    Action, DrivePlan, Interruption, Meanwhile, Options, Plan, Run, Step, StoreFault, StoreKind, Surroundings, Tamper, Target,
    When,
};
use crate::support::azure_fake::{Fault, On};
use tests::random::Random;

/// The name of most blobs, and its neighbours.
pub const NAMES: [&str; 4] = ["x", "x.partial", "x.manifest.jsonl", "x.partial.manifest.jsonl"];

/// The history of a seed. `has_loop_device` says whether there is one, `only` which store it is about.
pub fn plan(seed: u64, has_loop_device: bool, only: Option<StoreKind>) -> Plan {
    let mut random = Random::new(seed);
    let kinds = [
        (36, StoreKind::Directory),
        (22, StoreKind::BlockBlob),
        (14, StoreKind::PageBlob),
        (14, StoreKind::S3),
        (14, StoreKind::Gcs),
    ];
    let store = random.weighted(&kinds);
    let store = only.unwrap_or(store);
    let drives = drives(&mut random);
    let size_bytes = drives[0].pieces.len() * drives[0].piece_bytes + drives[0].tail_bytes;
    let chunk_kib = random.weighted(&[(50, 4), (25, 8), (15, 16), (10, 64)]);
    let mut generator = Generator { random, store, size_bytes: size_bytes as u64, chunk_kib, has_loop_device, runs: Vec::new() };
    let count = generator.random.weighted(&[(4, 3), (6, 4), (6, 5), (4, 6), (2, 8), (1, 10), (1, 12)]);
    let mut steps = vec![Step::Run(Box::new(generator.run()))];
    while steps.len() < count {
        steps.push(generator.step());
    }
    Plan { seed, store, drives, steps }
}

fn drives(random: &mut Random) -> [DrivePlan; 2] {
    let count = random.weighted(&[(30, 16), (30, 33), (20, 48), (15, 64), (5, 200)]);
    let tail_bytes = random.weighted(&[(50, 0), (20, 512), (15, 1000), (10, 1), (5, 4095)]);
    let mut drive = |count: usize, tail_bytes: usize| DrivePlan {
        seed: random.number(),
        pieces: pieces(random, count),
        piece_bytes: 4096,
        tail_bytes,
        unreadable: Vec::new(),
    };
    let mut one = drive(count, tail_bytes);
    let two = drive(count, tail_bytes);
    if tail_bytes.is_multiple_of(512) && random.percent(12) {
        let sectors = (count * 4096 / 512) as u64;
        let (first, second) = (random.below(sectors / 2), sectors / 2 + random.below(sectors / 2));
        one.unreadable = vec![(first * 512, 512), (second * 512, 512)];
    }
    // Drives of one model have one size: what is of another length is noticed easily.
    match random.percent(80) {
        true => [one, two],
        false => [one, DrivePlan { pieces: two.pieces[..two.pieces.len() / 2].to_owned(), ..two }],
    }
}

fn pieces(random: &mut Random, count: usize) -> String {
    let mut pieces = String::new();
    while pieces.len() < count {
        let letter = random.weighted(&[(60, 'r'), (15, 'z'), (15, 'h'), (10, 's')]);
        let run = 1 + random.index(6);
        pieces.extend(std::iter::repeat_n(letter, run.min(count - pieces.len())));
    }
    pieces
}

struct Generator {
    random: Random,
    store: StoreKind,
    size_bytes: u64,
    chunk_kib: u64,
    has_loop_device: bool,
    /// What was run before: most commands are repeated, here or by the other operator.
    runs: Vec<Run>,
}

impl Generator {
    fn step(&mut self) -> Step {
        match self.random.below(100) {
            0..68 => Step::Run(Box::new(self.run())),
            68..74 => {
                let one = self.command();
                let two = self.command();
                Step::Race(Box::new([one, two]))
            }
            _ => Step::Tamper(self.tamper()),
        }
    }

    /// A command with what interrupts it.
    fn run(&mut self) -> Run {
        let mut run = self.command();
        run.interruption = self.interruption(&run);
        if !matches!(run.interruption, Interruption::None | Interruption::Crash(..)) {
            run.options.stretched_to_milliseconds = Some(30 + self.random.below(50));
        }
        if matches!(run.interruption, Interruption::Abort(_)) {
            run.options.stretched_to_milliseconds = Some(600);
        }
        if self.store != StoreKind::Directory && self.random.percent(25) {
            run.faults = self.faults();
        }
        if self.random.percent(12) {
            run.surroundings = self.surroundings();
        }
        run.as_text = self.random.percent(8);
        run
    }

    /// A command without an interruption: often one that was run before.
    fn command(&mut self) -> Run {
        if !self.runs.is_empty() && self.random.percent(60) {
            let mut run = self.random.of(&self.runs);
            if self.random.percent(25) {
                run.operator = 1 - run.operator;
            }
            if self.random.percent(25) {
                run.options = self.options();
            }
            if let (true, Action::Import { drive, .. }) = (self.random.percent(15), &mut run.action) {
                *drive = 1 - *drive;
            }
            return run;
        }
        let run = Run {
            operator: self.random.index(2),
            action: self.action(),
            options: self.options(),
            interruption: Interruption::None,
            faults: Vec::new(),
            surroundings: Surroundings::Ordinary,
            as_text: false,
        };
        self.runs.push(run.clone());
        run
    }

    fn action(&mut self) -> Action {
        let (drive, name) = (self.random.index(2), self.name());
        let is_first = self.runs.is_empty();
        match self.random.below(100) {
            _ if is_first => Action::Import { drive, name },
            0..45 => Action::Import { drive, name },
            45..88 => Action::Export { name, target: self.target() },
            _ => Action::Verify { name, drive: self.random.percent(50).then_some(drive), with_blob: self.random.percent(70) },
        }
    }

    fn name(&mut self) -> &'static str {
        self.random.weighted(&[(85, NAMES[0]), (12, NAMES[1]), (2, NAMES[2]), (1, NAMES[3])])
    }

    fn target(&mut self) -> Target {
        if self.has_loop_device && self.random.percent(40) { Target::LoopDevice } else { Target::Image }
    }

    fn options(&mut self) -> Options {
        let random = &mut self.random;
        Options {
            overwrite: random.percent(35),
            restart: random.percent(8),
            read_back: random.percent(25),
            stream_sha256: random.percent(25),
            chunk_kib: random.weighted(&[(85, Some(self.chunk_kib)), (10, None), (5, Some(32))]),
            concurrency: random.weighted(&[(50, None), (25, Some(1)), (25, Some(3))]),
            memory_mib: random.weighted(&[(80, None), (10, Some(64)), (10, Some(32))]),
            manifest: random.percent(12),
            skips_unreadable: random.percent(30),
            stretched_to_milliseconds: None,
        }
    }

    fn interruption(&mut self, outer: &Run) -> Interruption {
        match self.random.below(100) {
            0..38 => Interruption::None,
            38..62 => {
                let (point, count) = self.point();
                Interruption::Crash(point, count)
            }
            62..70 => Interruption::Kill(self.when()),
            70..85 => Interruption::Interrupt(self.when()),
            85..87 => Interruption::Abort(self.when()),
            _ => {
                let when = self.when();
                let count = 1 + self.random.index(2);
                Interruption::Pause(when, (0..count).map(|_| self.meanwhile(outer)).collect())
            }
        }
    }

    fn meanwhile(&mut self, outer: &Run) -> Meanwhile {
        if self.random.percent(40) {
            let change = match outer.action {
                Action::Import { drive, .. } if self.random.percent(25) => Tamper::Drive { drive, offset: self.random.number() },
                _ => self.tamper(),
            };
            return Meanwhile::Tamper(change);
        }
        let mut run = if self.random.percent(40) { self.rival(outer) } else { self.command() };
        if self.random.percent(70) {
            run.operator = 1 - run.operator;
        }
        if self.random.percent(40) {
            run.interruption = Interruption::Interrupt(self.when());
            run.options.stretched_to_milliseconds = Some(30);
        }
        Meanwhile::Run(Box::new(run))
    }

    /// Another command with the target of one that is under way, and the right to replace it.
    fn rival(&mut self, outer: &Run) -> Run {
        let mut run = outer.clone();
        run.options.overwrite = true;
        if let (true, Action::Import { drive, .. }) = (self.random.percent(70), &mut run.action) {
            *drive = 1 - *drive;
        }
        run
    }

    fn point(&mut self) -> (&'static str, u64) {
        let point = self.random.of(file::crash::POINTS);
        let is_repeated = ["target-synced", "records-appended", "left-noted"].contains(&point);
        (point, if is_repeated { 1 + self.random.below(6) } else { 1 })
    }

    fn when(&mut self) -> When {
        if self.random.percent(30) {
            let (point, count) = self.point();
            return When::Point(point, count);
        }
        match (self.random.below(10), self.store) {
            (0..4, _) => When::Microseconds(self.random.below(60_000)),
            (4..6, StoreKind::BlockBlob | StoreKind::PageBlob | StoreKind::S3 | StoreKind::Gcs) => {
                When::Puts(1 + self.random.below(20))
            }
            _ => When::Lines(1 + self.random.below(24)),
        }
    }

    fn faults(&mut self) -> Vec<(On, StoreFault)> {
        let count = 1 + self.random.index(2);
        (0..count)
            .map(|_| {
                let on = match self.store {
                    StoreKind::PageBlob => self.random.weighted(&[
                        (35, On::PutPage),
                        (10, On::PutBlob),
                        (15, On::SetMetadata),
                        (10, On::PutBlockList),
                        (20, On::Get),
                        (10, On::Head),
                    ]),
                    StoreKind::S3 | StoreKind::Gcs => self.random.weighted(&[
                        (30, On::PutBlock),
                        (20, On::PutBlockList),
                        (10, On::GetBlockList),
                        (10, On::PutBlob),
                        (10, On::SetMetadata),
                        (5, On::SetProperties),
                        (5, On::Delete),
                        (5, On::ListBlobs),
                        (20, On::Get),
                        (10, On::Head),
                    ]),
                    _ => self.random.weighted(&[
                        (40, On::PutBlock),
                        (25, On::PutBlockList),
                        (10, On::GetBlockList),
                        (20, On::Get),
                        (10, On::Head),
                    ]),
                };
                let fault = self.random.weighted(&[
                    (20, Fault::Answer(500, "InternalError")),
                    (10, Fault::Answer(403, "AuthorizationFailure")),
                    (15, Fault::Throttle(0)),
                    (15, Fault::Reset),
                    (20, Fault::LostAnswer),
                    (10, Fault::DoneThenAnswer(500, "OperationTimedOut")),
                    (10, Fault::DoneThenAnswer(503, "ServerBusy")),
                    (10, Fault::DoneTwice),
                    (10, Fault::Delay(Duration::from_millis(40))),
                    (20, Fault::CorruptBody),
                    (10, Fault::ShortBody),
                    (3, Fault::SlowBody(Duration::from_millis(5))),
                    (10, Fault::WrongRange),
                    (5, Fault::WrongTotal),
                    (5, Fault::WholeBlob),
                ]);
                // Faults of ranges are for ranges that are read: a store that writes elsewhere cannot be noticed.
                let is_of_reads = matches!(fault, Fault::WrongRange | Fault::WrongTotal | Fault::WholeBlob | Fault::ShortBody);
                let on = if is_of_reads { On::Get } else { on };
                (on, if self.random.percent(20) { StoreFault::Always(fault) } else { StoreFault::Next(fault) })
            })
            .collect()
    }

    fn surroundings(&mut self) -> Surroundings {
        let some_bytes = self.random.below(self.size_bytes);
        self.random.of(&[
            Surroundings::StoreFull(some_bytes),
            Surroundings::StoreFull(some_bytes),
            Surroundings::StateFull(0),
            Surroundings::StateFull(some_bytes / 8),
            Surroundings::StoreReadOnly,
            Surroundings::StateReadOnly,
            Surroundings::FileSizeLimit(some_bytes),
        ])
    }

    fn tamper(&mut self) -> Tamper {
        let (name, target, operator) = (self.name(), self.target(), self.random.index(2));
        let random = &mut self.random;
        let index = random.number();
        // The first sector is where other machines write first; the last bytes of a file are where a crash tears it.
        let offset = random.weighted(&[(70, index), (20, 440), (10, 0)]);
        let drive = random.index(2);
        let longer_bytes = random.of(&[0, 1, 512, 5000, -512]);
        match random.below(100) {
            0..14 => Tamper::Drive { drive, offset },
            14..22 => Tamper::Blob { name, offset },
            22..26 => Tamper::RemoveBlob { name },
            26..30 => Tamper::MoveBlob { name },
            30..33 => Tamper::Manifest { name, offset },
            33..37 => Tamper::RemoveManifest { name },
            37..42 => Tamper::Notes { name: random.of(&NAMES) },
            42..45 => Tamper::Link { name: random.of(&NAMES) },
            45..53 => Tamper::Partial { index, offset },
            53..56 => Tamper::CutPartial { index, length: offset },
            56..61 => Tamper::RemovePartial { index },
            61..70 => Tamper::Target { target, offset },
            70..77 => Tamper::PlaceImage { longer_bytes, is_zero: random.percent(20) },
            77..79 => Tamper::RemoveImage,
            79..82 => Tamper::Journal { operator, index, offset },
            82..86 => Tamper::CutJournal { operator, index, length: offset },
            86..91 => Tamper::RemoveJournal { operator, index },
            91..95 => Tamper::SwapStates,
            95..97 => Tamper::ForgetBlocks { name },
            _ => Tamper::ForeignBlock { name, is_long: random.percent(50) },
        }
    }
}
