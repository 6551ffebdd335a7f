//! When something is docked or taken away: the kernel's own messages wake us, and a look around says what
//! changed. A look now and then finds what came without a message (in a container there are none).

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use protocol::drives::{AttachedDrive, DockEvent};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

use super::attached::attached;
use super::roots::Roots;
use super::sysfs;

/// The kernel's own group of messages (libudev's "kernel" monitor).
const KERNEL_GROUP: u32 = 1;

/// A look around comes at least this often.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A burst of messages (a drive and its partitions) ends when it was quiet for this long.
const BURST_QUIET: Duration = Duration::from_millis(100);

/// Watches the docks.
pub struct Watch {
    roots: Roots,
    socket: Option<OwnedFd>,
    known: Vec<(AttachedDrive, u64)>,
}

impl Watch {
    /// Begins to watch; the first look reports what is there.
    ///
    /// # Errors
    /// When the kernel's list of drives cannot be read.
    pub fn start(roots: Roots) -> std::io::Result<(Self, Vec<AttachedDrive>)> {
        // The socket first: nothing may come between the look and the listening.
        let socket = listen().ok();
        let mut watch = Watch { roots, socket, known: Vec::new() };
        watch.known = watch.look()?;
        let present = watch.known.iter().map(|(drive, _)| drive.clone()).collect();
        Ok((watch, present))
    }

    /// Waits for a message, or for a second, and returns what changed since the last look.
    ///
    /// # Errors
    /// When the kernel's list of drives cannot be read.
    pub fn wait(&mut self) -> std::io::Result<Vec<(DockEvent, AttachedDrive)>> {
        wait_for_burst(self.socket.as_ref(), LOOK_INTERVAL);
        let now = self.look()?;
        let mut events = Vec::new();
        for (drive, sequence) in &self.known {
            if !now.iter().any(|(other, next)| other.path == drive.path && next == sequence) {
                events.push((DockEvent::Undocked, drive.clone()));
            }
        }
        for (drive, sequence) in &now {
            match self.known.iter().find(|(other, last)| other.path == drive.path && last == sequence) {
                None => events.push((DockEvent::Docked, drive.clone())),
                Some((before, _)) if before != drive => events.push((DockEvent::Changed, drive.clone())),
                Some(_) => {}
            }
        }
        self.known = now;
        Ok(events)
    }

    fn look(&self) -> std::io::Result<Vec<(AttachedDrive, u64)>> {
        let sequences: Vec<(String, u64)> =
            sysfs::drives(&self.roots)?.iter().map(|device| (device.kernel_name(), device.sequence())).collect();
        let sequence_of = |drive: &AttachedDrive| {
            sequences.iter().find(|(name, _)| drive.path.ends_with(&format!("/{name}"))).map_or(0, |(_, sequence)| *sequence)
        };
        Ok(attached(&self.roots)?
            .into_iter()
            .map(|drive| (sequence_of(&drive), drive))
            .map(|(number, drive)| (drive, number))
            .collect())
    }
}

/// Until a burst of messages has ended, or after `longest`.
pub(super) fn wait_for_burst(socket: Option<&OwnedFd>, longest: Duration) {
    let Some(socket) = socket else { return std::thread::sleep(longest) };
    let end = Instant::now() + longest;
    let mut quiet = longest;
    let mut message = [0; 8192];
    loop {
        let left = quiet.min(end.saturating_duration_since(Instant::now()));
        let timeout = Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() };
        let ready = poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&timeout));
        if !ready.is_ok_and(|count| count > 0) || recv(socket, &mut message, RecvFlags::DONTWAIT).is_err() {
            return;
        }
        if is_about_block_devices(&message) {
            quiet = BURST_QUIET;
        }
    }
}

/// A message is `ACTION@PATH` and `KEY=VALUE`s, each ended by a zero byte.
fn is_about_block_devices(message: &[u8]) -> bool {
    message.split(|byte| *byte == 0).any(|field| field == b"SUBSYSTEM=block")
}

pub(super) fn listen() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))?;
    bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
    Ok(socket)
}
