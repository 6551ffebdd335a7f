//! Hostile clients of a job service: more connections than it has, each up to no good.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

/// More connections than the service has.
pub const HOSTILE: usize = 600;

/// What each hostile client does with its connection.
#[derive(Clone, Copy, Debug)]
pub enum Hostile {
    /// Sends nothing.
    Silent,
    /// Sends a head without an end.
    SlowHead,
    /// Sends the head of a body that never comes.
    SlowBody,
    /// Asks again and again, and reads no answer.
    NeverReads,
    /// Guesses tokens.
    Guesses,
    /// Guesses cookies of sessions.
    GuessesCookies,
    /// The same as who never reads, with a customer's token.
    CustomerWhoNeverReads,
}

impl Hostile {
    pub const ALL: [Hostile; 7] = [
        Hostile::Silent,
        Hostile::SlowHead,
        Hostile::SlowBody,
        Hostile::NeverReads,
        Hostile::Guesses,
        Hostile::GuessesCookies,
        Hostile::CustomerWhoNeverReads,
    ];

    /// What it sends: where it has a token, about the job at this path.
    pub fn bytes(self, token: &str, job: &str) -> Vec<u8> {
        let head = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: station\r\n{more}\r\n");
        match self {
            Hostile::Silent => Vec::new(),
            Hostile::SlowHead => b"GET /healthz HTTP/1.1\r\nHost: st".to_vec(),
            Hostile::SlowBody => b"POST /portal/login HTTP/1.1\r\nHost: station\r\nContent-Length: 9000\r\n\r\ntoken=".to_vec(),
            Hostile::NeverReads => head("/portal/login", "").repeat(2000).into_bytes(),
            Hostile::Guesses => head("/operator/v1/bays", "Authorization: Bearer dat_guess\r\n").repeat(20).into_bytes(),
            Hostile::GuessesCookies => head("/portal/bays", "Cookie: drive-agent-session=guess\r\n").repeat(20).into_bytes(),
            Hostile::CustomerWhoNeverReads => head(job, &format!("Authorization: Bearer {token}\r\n")).repeat(2000).into_bytes(),
        }
    }
}

/// Opens connections and opens them again when they are closed, until it is told to stop.
fn run(address: &str, bytes: &[u8], stop: &AtomicBool, opened: &AtomicUsize) {
    let mut connections: Vec<Option<TcpStream>> = (0..HOSTILE).map(|_| None).collect();
    while !stop.load(Ordering::Relaxed) {
        for slot in &mut connections {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let mut nothing = [0; 1];
            let is_open = slot.as_ref().is_some_and(|stream| match stream.peek(&mut nothing) {
                Ok(count) => count > 0,
                Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
            });
            if is_open {
                continue;
            }
            let Ok(mut stream) = TcpStream::connect(address) else { continue };
            let _ = stream.set_nonblocking(true);
            // What the socket takes at once.
            let _ = stream.write(bytes);
            opened.fetch_add(1, Ordering::Relaxed);
            *slot = Some(stream);
        }
    }
}

/// An attack that goes on until this is dropped.
pub struct Attack {
    stop: Arc<AtomicBool>,
    opened: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Attack {
    /// Attacks the service at `HOST:PORT`.
    pub fn begin(address: &str, bytes: Vec<u8>) -> Self {
        let (stop, opened) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let thread = std::thread::spawn({
            let (address, stop, opened) = (address.to_owned(), stop.clone(), opened.clone());
            move || run(&address, &bytes, &stop, &opened)
        });
        Attack { stop, opened, thread: Some(thread) }
    }

    /// Whether each of its connections was opened.
    pub fn is_under_way(&self) -> bool {
        self.opened.load(Ordering::Relaxed) >= HOSTILE
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
