//! The service is killed at random moments, again and again, while a hundred short jobs go through it.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::Workbench;
use crate::support::images::{KIB, partial_of, random_bytes};
use crate::support::service::{Service, import, job, shipping};

const JOBS: usize = 100;
const BYTES: usize = 640 * KIB;

/// Random enough; printed, so that a failure can be looked into.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
        eprintln!("seed {seed}");
        Dice(u64::from(seed) | 1)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % most
    }
}

/// What was answered about a job: it may never be taken back.
#[derive(Debug, Default, Clone)]
struct Known {
    put: bool,
    shipped: bool,
    cancelled: bool,
}

/// Asks, and kills the service while it answers where the dice want that.
fn ask(service: &mut Service, dice: &mut Dice, method: &str, name: &str, body: Value) -> Option<u16> {
    if dice.below(8) > 0 {
        return Some(service.call(method, &job(name), body).status);
    }
    let pause = Duration::from_micros(dice.below(6000));
    let id = i32::try_from(service.id()).unwrap();
    let killer = std::thread::spawn(move || {
        // Any moment of the answer is a good one for a kill.
        std::thread::sleep(pause);
        let pid = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    });
    let token = service.token.clone();
    let answer = service.try_call(&token, method, &job(name), body, &[]);
    killer.join().unwrap();
    service.kill();
    service.go();
    answer.ok().map(|answer| answer.status)
}

#[test]
fn a_hundred_jobs_survive_being_killed() {
    let bench = Workbench::new();
    let mut dice = Dice::new();
    let mut config = "[budget]\nrate = \"40MB/s\"\nmemory = \"2GiB\"\n[transfer]\nchunk_size = \"64KiB\"\n".to_owned();
    config += "[[account]]\nname = \"local\"\nstore = \"store\"\n";
    config = config.replace("\"store\"", &format!("\"{}\"", bench.file("store").display()));
    for index in 0..JOBS {
        let path = bench.image(&format!("D{index}.img"), &random_bytes(BYTES, index as u64));
        config += &format!("[[bay]]\nname = \"bay-{index}\"\ndrive = \"{}\"\n", path.display());
    }
    let mut service = Service::start(&bench, &format!("requests_per_second = 10000\n{config}"));
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    for index in 0..JOBS {
        let (name, drive) = (format!("job-{index}"), format!("D{index}"));
        // What was not answered is asked again, as any client does.
        while !known.entry(name.clone()).or_default().put {
            let status = ask(&mut service, &mut dice, "PUT", &name, import(&[&drive]));
            known.get_mut(&name).unwrap().put = matches!(status, Some(200 | 201));
        }
        while !known[&name].shipped {
            let status = ask(&mut service, &mut dice, "PATCH", &name, json!({ "properties": shipping() }));
            // It may have been shipped by the request that was not answered, and be further by now.
            known.get_mut(&name).unwrap().shipped = matches!(status, Some(200 | 409));
        }
        if dice.below(4) == 0 {
            let status = ask(&mut service, &mut dice, "PATCH", &name, json!({ "properties": { "cancelRequested": true } }));
            known.get_mut(&name).unwrap().cancelled = status == Some(200);
        }
    }
    for _ in 0..15 {
        // Any moment, as above.
        std::thread::sleep(Duration::from_millis(dice.below(300)));
        service.kill();
        service.go();
    }
    for (index, (name, known)) in
        known.iter().map(|(name, known)| (name.trim_start_matches("job-").parse::<usize>().unwrap(), (name, known)))
    {
        let bytes = random_bytes(BYTES, index as u64);
        let done = service.wait_for_state(name, "Packaging");
        let was_cancelled = done["properties"]["cancelRequested"] == true;
        assert!(was_cancelled || !known.cancelled, "{name}: a cancel that was answered is lost");
        let drive = &done["properties"]["driveList"][0];
        let blob = bench.file("store").join(format!("imports/{name}/D{index}.img"));
        if drive["state"] == "Completed" {
            assert!(std::fs::read(&blob).unwrap() == bytes, "{name}: the blob is not the drive");
            continue;
        }
        assert!(was_cancelled, "{name} ended without a reason: {done}");
        // Cancelled: what its receipt calls landed is there.
        let receipts = service.receipts(name);
        let receipt = &receipts["drives"][0]["result"]["receipt"];
        for class in ["landed_before_request", "landed_after_request"] {
            for range in receipt[class]["ranges"].as_array().into_iter().flatten() {
                let (offset, length) = (range["offset"].as_u64().unwrap(), range["length"].as_u64().unwrap() as usize);
                let mut held = vec![0; length];
                let path = if blob.exists() { blob.clone() } else { partial_of(&blob) };
                std::fs::File::open(path).unwrap().read_exact_at(&mut held, offset).unwrap();
                assert!(
                    held == bytes[offset as usize..offset as usize + length],
                    "{name}: a chunk is recorded that the store lacks"
                );
            }
        }
    }
}
