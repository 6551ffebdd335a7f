//! What a test makes go wrong, and how a request meets it.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;

use super::request::{On, RequestParts};
use super::xml::refuse;
use super::{Shared, of_store, perform};
use crate::support::spoiled::{broken, flipped};

/// A fault, used up by the request that it meets.
#[derive(Debug, Clone)]
pub enum Fault {
    /// An answer with this status and code, without doing anything.
    Answer(u16, &'static str),
    /// 503 with a wish to wait so many seconds.
    Throttle(u64),
    /// The connection is reset before an answer, and nothing was done.
    Reset,
    /// It was done, and the answer gets lost.
    LostAnswer,
    /// It was done, and the answer has this status and code all the same.
    DoneThenAnswer(u16, &'static str),
    /// It was done, and the answer says that the server is busy: 503 with a wish to wait so many seconds.
    DoneButBusy(u64),
    /// It was done twice, one right after the other, as by a proxy that sends it again; the answer is the second one.
    DoneTwice,
    /// It was done, and is done once more when the test calls [`release`](super::AzureFake::release).
    DoneAgainLater,
    /// It is done after this time, even if the client went away meanwhile.
    Delay(Duration),
    /// It is done when the test calls [`release`](super::AzureFake::release), even if the client went away meanwhile.
    Hold,
    /// No answer ever.
    Silence,
    /// A byte of the body is changed on the way.
    CorruptBody,
    /// Bodies of answers come a little at a time, with this pause between pieces.
    SlowBody(Duration),
    /// Bodies of answers end early.
    ShortBody,
    /// A ranged GET is answered with as many bytes of another range, and the Content-Range of those.
    WrongRange,
    /// A ranged GET is answered with the right bytes, and a Content-Range that names another length of the blob.
    WrongTotal,
    /// A ranged GET is answered with 200 and the whole blob.
    WholeBlob,
    /// A list of blocks is committed without its last block, and the answer says that it is done.
    LastBlockLost,
    /// An answer with this status of something else than the store: a page of a proxy, without what every answer of the
    /// store carries.
    OtherServer(u16),
    /// An error with this status whose body never ends.
    EndlessError(u16),
    /// 200 with a body that never ends.
    EndlessBody,
}

/// What a fault does to a request that was taken in whole: the answer, and what was done for it.
pub(super) async fn meet(store: Shared, on: On, mut request: RequestParts, fault: Option<Fault>) -> Response {
    match &fault {
        Some(Fault::Answer(status, code)) => return refuse(*status, code),
        Some(Fault::Throttle(seconds)) => return busy(*seconds),
        Some(Fault::EndlessError(status)) => {
            return of_store(Response::builder().status(*status).body(endless()).unwrap());
        }
        Some(Fault::OtherServer(status)) => {
            let page = "<html><body>Please sign in</body></html>";
            return Response::builder().status(*status).header("content-type", "text/html").body(Body::from(page)).unwrap();
        }
        Some(Fault::EndlessBody) => {
            return of_store(Response::builder().header("content-type", "application/xml").body(endless()).unwrap());
        }
        Some(Fault::Reset) => return of_store(Response::new(broken())),
        Some(Fault::Silence) => std::future::pending().await,
        Some(Fault::Delay(time)) => tokio::time::sleep(*time).await,
        Some(Fault::Hold) => released(&store).await,
        Some(Fault::CorruptBody) if !request.body.is_empty() => request.body = flipped(&request.body),
        Some(Fault::WrongRange) => request.move_range(),
        Some(Fault::LastBlockLost) => request.lose_last_block(),
        Some(Fault::WholeBlob) => request.forget_range(),
        Some(Fault::DoneTwice) => drop(perform(&store, on, &request)),
        _ => {}
    }
    let response = perform(&store, on, &request);
    match fault {
        Some(Fault::LostAnswer) => of_store(Response::new(broken())),
        Some(Fault::DoneThenAnswer(status, code)) => refuse(status, code),
        Some(Fault::DoneButBusy(seconds)) => busy(seconds),
        Some(Fault::DoneAgainLater) => {
            tokio::spawn(async move {
                released(&store).await;
                drop(perform(&store, on, &request));
            });
            response
        }
        Some(fault) if on == On::Get && response.status().is_success() => spoil(response, fault).await,
        _ => response,
    }
}

/// Waits until the test releases what it holds.
async fn released(store: &Shared) {
    let mut releases = {
        let mut store = store.lock();
        store.held_now += 1;
        store.releases.subscribe()
    };
    store.changed.notify_all();
    let _ = releases.changed().await;
    store.lock().held_now -= 1;
}

fn busy(seconds: u64) -> Response {
    let mut response = refuse(503, "ServerBusy");
    response.headers_mut().insert("retry-after", seconds.to_string().parse().unwrap());
    response
}

/// Bytes for ever: a piece each millisecond.
fn endless() -> Body {
    Body::from_stream(futures::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Some((Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 16 << 10])), ()))
    }))
}

/// Gives the body of an answer in the way that a fault wants.
async fn spoil(response: Response, fault: Fault) -> Response {
    let (mut head, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let body = match fault {
        Fault::CorruptBody => Body::from(flipped(&bytes)),
        Fault::SlowBody(pause) => {
            let pieces: Vec<Bytes> = bytes.chunks(bytes.len().div_ceil(4).max(1)).map(Bytes::copy_from_slice).collect();
            Body::from_stream(futures::stream::unfold(pieces.into_iter(), move |mut pieces| async move {
                tokio::time::sleep(pause).await;
                pieces.next().map(|piece| (Ok::<_, std::io::Error>(piece), pieces))
            }))
        }
        Fault::ShortBody => {
            let pieces = [Ok(bytes.slice(..bytes.len() / 2)), Err(std::io::Error::other("reset"))];
            Body::from_stream(futures::stream::iter(pieces))
        }
        Fault::WrongTotal => {
            let told = head.headers.get("content-range").and_then(|text| text.to_str().ok()).unwrap_or("bytes 0-0/1").to_owned();
            let (range, total) = told.split_once('/').unwrap();
            let other = format!("{range}/{}", total.parse::<u64>().unwrap() + 4096);
            head.headers.insert("content-range", other.parse().unwrap());
            Body::from(bytes)
        }
        _ => Body::from(bytes),
    };
    Response::from_parts(head, body)
}
