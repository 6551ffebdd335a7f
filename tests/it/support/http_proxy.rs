//! An HTTP proxy on loopback, which leads by CONNECT and by requests for whole addresses, to places of a test's own.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Longest wait for the rest of a head.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// What it does with a request.
#[derive(Clone)]
pub enum Lead {
    /// Leads on.
    On,
    /// Answers with this status.
    Refuse(u16),
    /// Says nothing, until the client goes away.
    Silence,
    /// Ends the connection.
    HangUp,
}

type Decide = dyn Fn(usize, &str) -> Lead + Send + Sync;

/// It leads until the test ends.
pub struct HttpProxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl HttpProxy {
    /// Leads from each HOST:PORT to a port of this machine, where `decide` lets it, given how many came before and the head.
    pub fn start(
        places: impl IntoIterator<Item = (&'static str, u16)>,
        decide: impl Fn(usize, &str) -> Lead + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, heads) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let places: Arc<HashMap<String, u16>> =
            Arc::new(places.into_iter().map(|(name, port)| (name.to_owned(), port)).collect());
        let (kept, decide) = (heads.clone(), Arc::<Decide>::from(Box::new(decide) as Box<Decide>));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, decide, places) = (kept.clone(), decide.clone(), places.clone());
                std::thread::spawn(move || serve(stream, &kept, &*decide, &places));
            }
        });
        HttpProxy { address, heads }
    }

    /// Leads everywhere it knows.
    pub fn open(places: impl IntoIterator<Item = (&'static str, u16)>) -> Self {
        Self::start(places, |_, _| Lead::On)
    }

    /// `HOST:PORT`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The first head of each connection.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn serve(mut client: TcpStream, heads: &Mutex<Vec<String>>, decide: &Decide, places: &HashMap<String, u16>) {
    let _ = client.set_read_timeout(Some(READ_TIMEOUT));
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match client.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let _ = client.set_read_timeout(None);
    let head = String::from_utf8_lossy(&head).into_owned();
    let lead = {
        let mut heads = heads.lock().unwrap();
        heads.push(head.clone());
        decide(heads.len() - 1, &head)
    };
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let authority = target.split_once("://").map_or(target, |(_, rest)| rest.split('/').next().unwrap_or_default());
    let place = places.get(authority).map(|port| TcpStream::connect(("127.0.0.1", *port)));
    match (lead, place) {
        (Lead::Refuse(status), _) => refuse(client, status),
        (Lead::Silence, _) => drop(client.read(&mut byte)),
        (Lead::HangUp, _) => {}
        (Lead::On, Some(Ok(mut server))) => {
            let sent = match method {
                "CONNECT" => client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n"),
                // The server is given the request as it came: a server takes whole addresses as well.
                _ => server.write_all(head.as_bytes()),
            };
            if sent.is_ok() {
                join(client, server);
            }
        }
        (Lead::On, _) => refuse(client, 502),
    }
}

fn refuse(mut client: TcpStream, status: u16) {
    let _ = client.write_all(format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno").as_bytes());
    let _ = client.shutdown(Shutdown::Write);
    let _ = client.read(&mut [0]);
}

/// Hands on what comes, both ways, until both ends have ended.
fn join(client: TcpStream, server: TcpStream) {
    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (mut from_server, mut to_client) = (server, client);
    let up = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut from_server, &mut to_client);
    let _ = to_client.shutdown(Shutdown::Both);
    let _ = up.join();
}
