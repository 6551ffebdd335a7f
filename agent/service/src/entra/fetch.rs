//! Answers of the issuer: discovery, key set and tokens. Each has a limit of length, and the client one of time.

use std::io::Read;
use std::time::Duration;

use reqwest::{Client, Response};

/// Longest answer of an issuer, in bytes: the key set of Entra ID has about twenty thousand.
pub(super) const ANSWER_BYTES_MAX: usize = 1 << 20;

/// How long the issuer may take for a whole answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A client for the issuer: it follows no redirects, which would take secrets elsewhere.
pub(super) fn client() -> Result<Client, String> {
    let client = Client::builder().timeout(ANSWER_TIMEOUT).redirect(reqwest::redirect::Policy::none()).build();
    client.map_err(shown)
}

/// The document at an address.
pub(super) async fn get(client: &Client, address: &str) -> Result<Vec<u8>, String> {
    body(client.get(address).send().await.map_err(shown)?).await
}

/// The answer to a form.
pub(super) async fn post_form(client: &Client, address: url::Url, form: String) -> Result<Vec<u8>, String> {
    let request = client.post(address).header("content-type", "application/x-www-form-urlencoded").body(form);
    body(request.send().await.map_err(shown)?).await
}

/// What is in a file.
pub(super) fn read_file(path: &str) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(ANSWER_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    match bytes.len() > ANSWER_BYTES_MAX {
        true => Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, too_long())),
        false => Ok(bytes),
    }
}

/// The bytes of an answer that says what was asked for. One that is too long is left at the byte that is one too many.
async fn body(answer: Response) -> Result<Vec<u8>, String> {
    if !answer.status().is_success() {
        return Err(format!("it answered {}", answer.status()));
    }
    let (mut answer, mut bytes) = (answer, Vec::new());
    while let Some(piece) = answer.chunk().await.map_err(shown)? {
        if bytes.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(too_long());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

fn too_long() -> String {
    format!("the answer is longer than {} MiB", ANSWER_BYTES_MAX >> 20)
}

/// Without the address: a query may be a secret.
fn shown(error: reqwest::Error) -> String {
    error.without_url().to_string()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that gives `head`, and then bytes for as long as they are taken; how many it gave.
    async fn endless(head: &'static str) -> (String, tokio::task::JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let (piece, mut given) = ([b' '; 4096], 0);
            while stream.write_all(&piece).await.is_ok() {
                given += piece.len();
            }
            given
        });
        (address, task)
    }

    #[tokio::test]
    async fn an_answer_without_an_end_is_left() {
        let client = client().unwrap();
        let (address, given) = endless("HTTP/1.1 200 OK\r\n\r\n").await;
        assert_eq!(get(&client, &address).await.unwrap_err(), "the answer is longer than 1 MiB");
        drop(client);
        assert!(given.await.unwrap() < 64 * ANSWER_BYTES_MAX, "it was left, and not read to some end");
    }

    #[tokio::test]
    async fn errors_and_redirects_are_not_read() {
        let client = client().unwrap();
        for head in ["HTTP/1.1 500 No\r\n\r\n", "HTTP/1.1 307 There\r\nlocation: http://127.0.0.1:1/?secret\r\n\r\n"] {
            let (address, _given) = endless(head).await;
            let error = post_form(&client, address.parse().unwrap(), "client_secret=S".to_owned()).await.unwrap_err();
            assert!(error.starts_with("it answered ") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_file_has_an_end_too() {
        assert_eq!(read_file("/dev/zero").unwrap_err().to_string(), "the answer is longer than 1 MiB");
        assert!(read_file("/dev/null").unwrap().is_empty());
    }
}
