//! A listener on loopback that keeps what it was sent, and answers whatever a test wants it to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Longest wait for the rest of a request.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// What every answer of a store has.
pub const OF_STORE: &str = "x-ms-request-id: 6c3c7a5e-101e-0034-2a5b-000000000000\r\n";

/// How a request is answered.
pub enum Reply {
    /// With these bytes, and the end of the connection.
    Bytes(String),
    /// With these bytes, and then with these others until the client has enough.
    Endless(String, &'static str),
}

impl Reply {
    /// A whole answer.
    pub fn of(status: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        Reply::Bytes(format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"))
    }

    /// An answer of this status without an end.
    pub fn endless(status: u16) -> Self {
        Reply::Endless(
            format!("HTTP/1.1 {status} X\r\nconnection: close\r\n{OF_STORE}\r\n"),
            "<x>aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa</x>",
        )
    }
}

/// What was sent.
#[derive(Clone)]
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

/// It listens until the test ends.
pub struct Listener {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Listener {
    /// Answers each request by its head, on a free port.
    pub fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at(0, answer)
    }

    /// The same on a port that was another program's.
    pub fn start_at(port: u16, answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let (heads, requests) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<Vec<Request>>>::default());
        let (address, kept, answer) = (listener.local_addr().unwrap(), (heads.clone(), requests.clone()), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, answer) = (kept.clone(), answer.clone());
                std::thread::spawn(move || serve(stream, &kept.0, &kept.1, &*answer));
            }
        });
        Listener { address, heads, requests }
    }

    /// `HOST:PORT`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads of all requests.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// All requests with their bodies.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, heads: &Mutex<Vec<String>>, requests: &Mutex<Vec<Request>>, answer: &dyn Fn(&str) -> Reply) {
    let _ = stream.set_read_timeout(Some(READ_TIMEOUT));
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|length| length == 1) {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    // A connection that said nothing is kept too: it was looked for.
    heads.lock().unwrap().push(head.clone());
    let length = head.to_lowercase().split("content-length:").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    let _ = stream.read_exact(&mut body);
    requests.lock().unwrap().push(Request { head: head.clone(), body });
    match answer(&head) {
        Reply::Bytes(bytes) => drop(stream.write_all(bytes.as_bytes())),
        Reply::Endless(head, piece) => {
            let piece = piece.repeat(1000);
            let mut sent = stream.write_all(head.as_bytes());
            while sent.is_ok() {
                sent = stream.write_all(piece.as_bytes());
            }
        }
    }
    // The client reads the rest before the connection is reset.
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.read(&mut byte);
}

/// A port that nothing listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
