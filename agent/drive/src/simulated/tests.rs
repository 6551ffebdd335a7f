use std::path::Path;

use proptest::prelude::*;
use protocol::limits::MIB;
use protocol::station::WeakIdentity;
use protocol::units::ByteRange;

use super::*;
use crate::contract::Drive;
use crate::error::DriveError;

const BASE: &str = "size = \"1MiB\"\nserial = \"S\"\nseed = 5\nzero_share = 0.3\nrun_size = \"64KiB\"\n";

fn drive(text: &str) -> SimulatedDrive {
    let profile = Profile::parse(text, Path::new("")).unwrap_or_else(|mistake| panic!("{}", mistake.expected));
    SimulatedDrive::new(Path::new("test.toml"), profile, Pace::Unlimited, Purpose::Copy, None).unwrap()
}

fn read(drive: &SimulatedDrive, offset: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0xff; length];
    drive.read_at(&mut bytes, offset).unwrap();
    bytes
}

#[test]
fn content_is_the_same_however_it_is_read() {
    for kind in ["random", "text", "repeated", "zeros"] {
        let drive = drive(&format!("{BASE}content = \"{kind}\"\nblock_size = \"4KiB\"\n"));
        let whole = read(&drive, 0, 1 << 20);
        for (offset, length) in [(0, 512), (1, 7), (3, 100), (65_530, 20), (131_071, 70_000), ((1 << 20) - 1, 1)] {
            assert_eq!(
                read(&drive, offset, length),
                whole[offset as usize..offset as usize + length],
                "{kind} {offset} {length}"
            );
        }
        assert_eq!(crate::zero::is_zero(&whole), kind == "zeros");
    }
}

#[test]
fn the_share_of_zeros_is_kept() {
    let drive = drive("size = \"1GiB\"\nserial = \"S\"\nseed = 9\nzero_share = 0.25\nrun_size = \"1MiB\"");
    let zero_runs = (0..1024).filter(|run| drive.content.run_is_zero(*run)).count();
    assert!((250..=262).contains(&zero_runs), "{zero_runs}");
}

#[test]
fn images_lie_over_the_content() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("part.img"), [7; 1000]).unwrap();
    let text = format!("{BASE}[[overlay]]\noffset = \"4KiB\"\nimage = \"part.img\"\n");
    let profile = Profile::parse(&text, folder.path()).unwrap_or_else(|mistake| panic!("{}", mistake.expected));
    let laid = SimulatedDrive::new(Path::new("test.toml"), profile, Pace::Unlimited, Purpose::Copy, None).unwrap();
    let (plain, whole) = (read(&drive(BASE), 0, 8192), read(&laid, 0, 8192));
    assert_eq!(whole[..4096], plain[..4096]);
    assert_eq!(whole[4096..5096], [7; 1000]);
    assert_eq!(whole[5096..], plain[5096..]);
    assert_eq!(read(&laid, 5000, 200), whole[5000..5200]);
}

#[test]
fn mistakes_are_named_with_their_line() {
    let mistake = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("drive.toml");
        std::fs::write(&path, text).unwrap();
        Profile::load(&path).unwrap_err().to_string()
    };
    let good = "size = \"1MiB\"\nserial = \"S\"\n";
    let fault = |rest: &str| format!("{good}[[fault]]\n{rest}");
    for (text, line, words) in [
        (format!("{good}speed = 3"), 3, "unknown field `speed`, expected"),
        ("size = -1\nserial = \"S\"".to_owned(), 1, "a size is not negative"),
        ("size = \"1XB\"\nserial = \"S\"".to_owned(), 1, "no known unit"),
        ("serial = \"S\"\nsize = 1000".to_owned(), 2, "a whole number of sectors of 512 bytes"),
        (format!("{good}sector_size = 520"), 3, "a sector size is 512 or 4096"),
        (format!("{good}zero_share = 1.5"), 3, "a number from 0 to 1"),
        (format!("{good}content = \"music\""), 3, "unknown variant `music`, expected"),
        (fault("kind = \"unreadable\"\noffset = 512\nlength = \"1MiB\"\n"), 3, "a fault lies on the drive"),
        (fault("kind = \"unreadable\"\noffset = 5\nlength = 512\n"), 3, "whole sectors"),
        (fault("kind = \"unreadable\"\noffset = 0\n"), 3, "needs `length`"),
        (fault("kind = \"removed\"\noffset = 0\n"), 3, "has no `offset`; it takes `after_bytes`, `after`"),
        (
            fault(
                "kind = \"stuck\"\noffset = 0\nlength = 1024\n\n[[fault]]\nkind = \"slow\"\noffset = 512\nlength = 512\ndelay = \"1s\"\n",
            ),
            8,
            "faults do not overlap",
        ),
        (format!("{good}[timing]\ninterface_rate = \"600MB/s\"\n"), 3, "either `[timing.disk]` or `[timing.flash]`"),
        ("size = 1\nsize = 2".to_owned(), 2, "duplicate key"),
    ] {
        let said = mistake(&text);
        assert!(said.contains(&format!("drive.toml:{line}`")) && said.contains(words), "{text}\n{said}");
    }
    assert!(mistake("serial = \"S\"").contains("`size` is missing"));
    assert!(mistake("size = 1024").contains("`serial` is missing"));
}

#[test]
fn faults_do_what_they_say() {
    let drive = drive(&format!(
        "{BASE}[[fault]]\nkind = \"unreadable\"\noffset = 4096\nlength = 512\n[[fault]]\nkind = \"healing\"\noffset = 8192\nlength = 512\nafter_reads = 2\n\
         [[fault]]\nkind = \"rotten\"\noffset = 100\nlength = 1\n[[fault]]\nkind = \"short-read\"\noffset = 16384\nlength = 512\n"
    ));
    let whole = read(&self::drive(BASE), 0, 1 << 20);
    let mut sector = vec![0; 512];
    for _ in 0..3 {
        assert!(matches!(drive.read_at(&mut sector, 4096), Err(DriveError::Unreadable { .. })));
    }
    assert!(drive.read_at(&mut sector, 8192).is_err() && drive.read_at(&mut sector, 8192).is_err());
    assert_eq!(read(&drive, 8192, 512), whole[8192..8704], "it has healed");
    assert_eq!(read(&drive, 0, 101)[100], whole[100] ^ 0x10);
    assert_eq!(read(&drive, 16_384, 4096), whole[16_384..20_480], "a short read is continued");
}

#[test]
fn a_removed_drive_is_gone() {
    let drive = drive(&format!("{BASE}[[fault]]\nkind = \"removed\"\nafter_bytes = 1024\n"));
    read(&drive, 0, 1024);
    assert!(matches!(drive.read_at(&mut [0; 512], 0), Err(DriveError::Removed { .. })));
    let timed = self::drive(&format!(
        "{BASE}[[fault]]\nkind = \"removed\"\nafter = \"2s\"\n[[fault]]\nkind = \"slow\"\noffset = 0\nlength = 512\ndelay = \"3s\"\n"
    ));
    read(&timed, 0, 512);
    assert!(matches!(timed.read_at(&mut [0; 512], 0), Err(DriveError::Removed { .. })), "its own time counts");
}

#[test]
fn a_cache_that_lies_reads_well_and_forgets() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{BASE}backing = \"kept.bin\"\n[[fault]]\nkind = \"lying-cache\"\nloses = 4096\n");
    let open = || {
        let profile = Profile::parse(&text, folder.path()).unwrap_or_else(|mistake| panic!("{}", mistake.expected));
        SimulatedDrive::new(Path::new("test.toml"), profile, Pace::Unlimited, Purpose::Copy, None).unwrap()
    };
    let before = read(&open(), 0, 12_288);
    let lying = open();
    lying.write_at(&[1; 8192], 0).unwrap();
    lying.write_at(&[2; 4096], 8192).unwrap();
    lying.sync().unwrap();
    assert_eq!(read(&lying, 0, 12_288), [[1; 4096], [1; 4096], [2; 4096]].concat());
    drop(lying);
    assert_eq!(read(&open(), 0, 12_288), [&[1; 8192][..], &before[8192..]].concat(), "the last write was lost");
}

#[test]
fn a_drive_that_claims_too_much_writes_over_its_beginning() {
    let drive = drive("size = 4096\nserial = \"S\"\nbacking = \"memory\"\n[[fault]]\nkind = \"wrong-capacity\"\nsize = 8192\n");
    assert_eq!(drive.size_bytes(), 8192);
    drive.write_at(&[1; 4096], 0).unwrap();
    drive.write_at(&[2; 4096], 4096).unwrap();
    assert_eq!(read(&drive, 0, 4096), [2; 4096]);
}

#[test]
fn a_serial_that_changes_does_so_at_each_opening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drive.toml");
    let text =
        "size = 4096\nserial = \"A\"\n[[fault]]\nkind = \"changing-serial\"\nserials = [\"A\", \"B\"]\ncounter = \"openings\"\n";
    std::fs::write(&path, text).unwrap();
    let serial = || {
        SimulatedDrive::open(&path, Pace::Unlimited, Purpose::Copy, |_| unreachable!())
            .unwrap()
            .identity()
            .serial
            .clone()
            .unwrap()
    };
    assert_eq!([serial(), serial(), serial()], ["A", "B", "A"]);
}

#[test]
fn a_bridge_hides_the_serial_number_unless_it_passes_it() {
    let text = "size = 4096\nserial = \"OWN-1\"\n[bridge]\nserial = \"152D00539000\"\n";
    let hidden = drive(text);
    assert_eq!(hidden.identity().serial.as_deref(), Some("152D00539000"), "journals have the name that is shown");
    assert!(hidden.naming().weak.contains(&WeakIdentity::UsbDescriptorOnly));
    let passed = drive(&format!("{text}passes_serial = true\n"));
    assert_eq!(passed.identity().serial.as_deref(), Some("OWN-1"));
    assert_eq!((passed.naming().bridge_serial.as_deref(), &passed.naming().weak[..]), (Some("152D00539000"), &[][..]));
    let mistake = Profile::parse(&format!("{text}colour = 1\n"), Path::new("")).unwrap_err();
    assert!(mistake.expected.contains("colour"), "{}", mistake.expected);
}

const DISK: &str = "size = \"8TB\"\nserial = \"S\"\n[timing]\ninterface_rate = \"600MB/s\"\ncommand_overhead = \"0.1ms\"\nqueue_depth = 32\n\
    [timing.disk]\nrpm = 7200\nouter_rate = \"250MB/s\"\ninner_rate = \"120MB/s\"\nseek_track_to_track = \"0.7ms\"\nseek_average = \"8.5ms\"\n\
    seek_full = \"16ms\"\ncache = \"256MiB\"\n";

/// Means of the model, against the sums of its own figures.
#[test]
fn the_timing_model_keeps_its_figures() {
    let profile = Profile::parse(DISK, Path::new("")).unwrap_or_else(|mistake| panic!("{}", mistake.expected));
    let mut model = timing::Model::new(profile.timing.unwrap(), 8_000_000_000_000);
    let mut now = 0.0;
    for number in 0..1000 {
        now = model.read(now, ByteRange::new(number * MIB, MIB));
    }
    let rate = 1000.0 * MIB as f64 / now / 1e6;
    assert!((rate / 250.0 - 1.0).abs() < 0.03, "{rate} MB/s at the beginning");
    let start = now;
    for number in 0..2000 {
        now = model.read(now, ByteRange::new(content::mix(number) % 1_953_125_000 * 4096, 4096));
    }
    let mean = (now - start) / 2000.0 * 1e3;
    let expected = 8.5 + 60_000.0 / 7200.0 / 2.0 + 0.1;
    assert!((mean / expected - 1.0).abs() < 0.05, "{mean} ms, and {expected} were expected");
}

#[test]
fn a_shingled_drive_slows_down_when_its_cache_is_full() {
    let text = format!("{DISK}[timing.disk.shingled]\nmedia_cache = \"1GiB\"\nwrite_rate = \"30MB/s\"\n");
    let profile = Profile::parse(&text, Path::new("")).unwrap_or_else(|mistake| panic!("{}", mistake.expected));
    let mut model = timing::Model::new(profile.timing.unwrap(), 8_000_000_000_000);
    let mut write = |now: &mut f64, from: u64, count: u64| {
        let start = *now;
        (from..from + count).for_each(|number| *now = model.write(*now, ByteRange::new(number * MIB, MIB)));
        *now = model.sync(*now);
        count as f64 * MIB as f64 / (*now - start) / 1e6
    };
    let mut now = 0.0;
    assert!(write(&mut now, 0, 900) > 200.0);
    assert!(write(&mut now, 900, 1000) < 40.0);
    now += 60.0;
    assert!(write(&mut now, 1900, 500) > 200.0, "idle time empties it");
}

#[test]
fn time_is_waited_for_at_its_pace() {
    let profile = || Profile::parse(&format!("{DISK}backing_is_not_here = 1"), Path::new(""));
    assert!(profile().is_err());
    let profile = Profile::parse(DISK, Path::new("")).unwrap_or_else(|mistake| panic!("{}", mistake.expected));
    let drive = SimulatedDrive::new(Path::new("test.toml"), profile, Pace::Scaled(10.0), Purpose::Copy, None).unwrap();
    let started = std::time::Instant::now();
    read(&drive, 0, 25_000_000);
    // A tenth of a second of the drive's time, and only ever more of ours.
    assert!(started.elapsed() >= std::time::Duration::from_millis(9), "{:?}", started.elapsed());
}

#[test]
fn a_profile_of_impossible_slowness_or_places_is_survived() {
    let hour = "876000h";
    let mut text = format!("size = 4096\nserial = \"A\"\n[timing]\ninterface_rate = \"1\"\ncommand_overhead = \"{hour}\"\n");
    text += "[timing.disk]\nrpm = 1\nouter_rate = \"1TB\"\nmiddle_rate = \"1\"\ninner_rate = \"1\"\ncache = 0\n";
    text += &format!("seek_track_to_track = \"0s\"\nseek_average = \"0s\"\nseek_full = \"{hour}\"\n");
    for place in [0, 512] {
        text += &format!("[[fault]]\nkind = \"slow\"\noffset = {place}\nlength = 512\ndelay = \"{hour}\"\n");
    }
    let drive = SimulatedDrive::of_text(&text).unwrap_or_else(|mistake| panic!("{}", mistake.expected)).unwrap();
    for _ in 0..3 {
        read(&drive, 0, 1024);
    }
    // An image behind the end of all numbers, on a drive that another one gives its size.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("piece"), "12").unwrap();
    let overlay = "[[overlay]]\noffset = \"18446744073709551615\"\nimage = \"piece\"\n";
    let text = format!("drive = \"base\"\n{overlay}{overlay}");
    assert!(Profile::parse(&text, folder.path()).unwrap_err().expected.contains("lies on the drive"));
}

proptest! {
    /// Whatever is written and zeroed, a drive reads as an array would; in a file, also after it was
    /// opened again.
    #[test]
    fn writes_are_what_an_array_would_be(
        in_file in any::<bool>(),
        changes in proptest::collection::vec((0_usize..60_000, 1_usize..9000, any::<u8>(), any::<bool>()), 1..20),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let backing = if in_file { "kept.bin" } else { "memory" };
        let text = format!("size = \"64KiB\"\nserial = \"S\"\nbacking = \"{backing}\"\n");
        let open = || {
            let profile = Profile::parse(&text, folder.path()).unwrap_or_else(|mistake| panic!("{}", mistake.expected));
            SimulatedDrive::new(Path::new("test.toml"), profile, Pace::Unlimited, Purpose::Copy, None).unwrap()
        };
        let drive = open();
        let mut array = read(&drive, 0, 65_536);
        for (offset, length, byte, zeroes) in changes {
            let end = (offset + length).min(65_536);
            if zeroes {
                drive.zero_range(ByteRange::new(offset as u64, (end - offset) as u64)).unwrap();
                array[offset..end].fill(0);
            } else {
                drive.write_at(&vec![byte; end - offset], offset as u64).unwrap();
                array[offset..end].fill(byte);
            }
        }
        prop_assert_eq!(&read(&drive, 0, 65_536), &array);
        prop_assert_eq!(&read(&drive, 4000, 5000), &array[4000..9000]);
        drive.sync().unwrap();
        if in_file {
            prop_assert_eq!(&read(&open(), 0, 65_536), &array);
        }
    }
}
