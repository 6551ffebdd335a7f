//! What a test makes go wrong, and how a request meets it.

use std::time::Duration;

use axum::response::Response;

use super::answers::{answer, refuse};
use super::request::{On, RequestParts};
use super::{Shared, perform};
use crate::support::spoiled::{broken, flipped, flipped_answer, page_of_another, short_answer};

/// A fault, used up by the request that it meets.
#[derive(Debug, Clone)]
pub enum Fault {
    /// An answer with this status and code, without doing anything.
    Answer(u16, &'static str),
    /// 429 SlowDown.
    SlowDown,
    /// The connection is reset before an answer, and nothing was done.
    Reset,
    /// It was done, and the answer gets lost.
    LostAnswer,
    /// It was done, and the answer has this status and code all the same.
    DoneThenAnswer(u16, &'static str),
    /// It is done after this time, even if the client went away meanwhile.
    Delay(Duration),
    /// It is done when the test releases it, even if the client went away meanwhile.
    Hold,
    /// It is done, and the answer waits until the test releases it.
    HoldAnswer,
    /// A byte of the body is changed on the way.
    CorruptBody,
    /// What is composed has a wrong byte.
    WrongComposition,
    /// A byte of the answer is changed on the way.
    CorruptAnswer,
    /// The answer ends early.
    ShortAnswer,
    /// A ranged GET is answered with 200 and the whole object.
    WholeObject,
    /// An answer with this status of something else than the store.
    OtherServer(u16),
}

/// What a fault does to a request that was taken in whole: the answer, and what was done for it.
pub(super) async fn meet(store: Shared, on: On, mut request: RequestParts, fault: Option<Fault>) -> Response {
    match &fault {
        Some(Fault::Answer(status, code)) => return refuse(*status, code),
        Some(Fault::SlowDown) => return refuse(429, "SlowDown"),
        Some(Fault::Reset) => return Response::new(broken()),
        Some(Fault::OtherServer(status)) => {
            return page_of_another(*status);
        }
        Some(Fault::Delay(time)) => tokio::time::sleep(*time).await,
        Some(Fault::Hold) => released(&store).await,
        Some(Fault::CorruptBody) if !matches!(on, On::Compose | On::ComposePiece) => request.body = flipped(&request.body),
        Some(Fault::WholeObject) => drop(request.headers.remove("range")),
        _ => {}
    }
    let response = perform(&store, on, &request);
    if matches!(fault, Some(Fault::HoldAnswer)) {
        released(&store).await;
    }
    match fault {
        Some(Fault::LostAnswer) => answer(200, &[], broken()),
        Some(Fault::DoneThenAnswer(status, code)) => refuse(status, code),
        Some(Fault::WrongComposition) => {
            store.lock().damage(&request.name);
            response
        }
        Some(Fault::CorruptAnswer) if response.status().is_success() => flipped_answer(response).await,
        Some(Fault::ShortAnswer) if response.status().is_success() => short_answer(response).await,
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
