//! Server-sent events of a job service, of bounded length.

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use reqwest::Method;

use super::error::ClientError;
use super::published::API_VERSION;
use super::service::JobService;

/// No event of a job service is longer, with what came behind it in one piece.
const EVENT_BYTES_MAX: usize = 4 << 20;

impl JobService {
    /// The events of a stream: their names and what they say.
    pub(crate) async fn events(
        &self,
        segments: &[&str],
    ) -> Result<impl Stream<Item = Result<(String, String), ClientError>> + use<>, ClientError> {
        let url = self.url(segments, &[("api-version", API_VERSION)])?;
        let answer = self.send(Method::GET, url, None, false).await?;
        let pieces =
            answer.bytes_stream().map_err(|_| ClientError::Failed("the job service closed the connection".to_owned())).boxed();
        Ok(futures::stream::try_unfold((pieces, Vec::new()), async |(mut pieces, mut buffer): (_, Vec<u8>)| {
            loop {
                if let Some(event) = next_event(&mut buffer) {
                    return Ok(Some((event, (pieces, buffer))));
                }
                match TryStreamExt::try_next(&mut pieces).await? {
                    Some(piece) => {
                        let piece: Bytes = piece;
                        if buffer.len() + piece.len() > EVENT_BYTES_MAX {
                            return Err(ClientError::Failed("the job service sends an event without an end".to_owned()));
                        }
                        buffer.extend_from_slice(&piece);
                    }
                    None => return Ok(None),
                }
            }
        }))
    }
}

/// Takes the first event that is whole from what came of a stream: its name, and what it says. Those that say nothing are
/// left out.
pub(crate) fn next_event(buffer: &mut Vec<u8>) -> Option<(String, String)> {
    while let Some(end) = buffer.windows(2).position(|pair| pair == b"\n\n") {
        let event = String::from_utf8_lossy(&buffer[..end]).into_owned();
        buffer.drain(..end + 2);
        let field = |name: &str| {
            let values = event.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            values.map(|value| value.strip_prefix(' ').unwrap_or(value)).collect::<Vec<_>>().join("\n")
        };
        let data = field("data");
        if !data.is_empty() {
            return Some((field("event"), data));
        }
    }
    None
}
