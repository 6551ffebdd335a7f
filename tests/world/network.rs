//! What lies between stations and the service: messages on their way, and calls that wait at the service.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::station::{StationOrders, StationReport};
use service::stations::CallError;
use tokio::task::JoinHandle;

/// Why a call has no orders as its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoOrders {
    /// The service does not run, or was killed meanwhile.
    Unreachable,
    /// The token of the station was revoked.
    NoToken,
    Refused(CallError),
}

/// Who made a call: an answer is for this one alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The place of the station among all.
    pub station: usize,
    pub process: u64,
    pub call: u64,
}

pub enum Message {
    Report(Caller, Box<StationReport>),
    Answer(Caller, Box<Result<StationOrders, NoOrders>>),
}

/// Where the answer to a call comes.
pub type Slot = Arc<Mutex<Option<Result<StationOrders, CallError>>>>;

/// A call that the service has not answered.
pub struct AtService {
    pub caller: Caller,
    pub slot: Slot,
    pub task: JoinHandle<()>,
}

/// All messages.
#[derive(Default)]
pub struct Network {
    on_their_way: Vec<(Duration, Message)>,
    pub at_service: Vec<AtService>,
}

impl Network {
    pub fn send(&mut self, arrives: Duration, message: Message) {
        self.on_their_way.push((arrives, message));
    }

    /// When the next message arrives.
    pub fn next(&self) -> Option<Duration> {
        self.on_their_way.iter().map(|(at, _)| *at).min()
    }

    /// The messages that have arrived.
    pub fn due(&mut self, now: Duration) -> Vec<Message> {
        let (due, later) = std::mem::take(&mut self.on_their_way).into_iter().partition(|(at, _)| *at <= now);
        self.on_their_way = later;
        due.into_iter().map(|(_, message)| message).collect()
    }

    /// The calls that the service has answered, or let fall.
    pub fn answered(&mut self) -> Vec<(Caller, Result<StationOrders, NoOrders>)> {
        let mut answered = Vec::new();
        self.at_service.retain(|call| {
            let answer = call.slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            let is_over = answer.is_some() || call.task.is_finished();
            if is_over {
                let answer = answer.map_or(Err(NoOrders::Unreachable), |answer| answer.map_err(NoOrders::Refused));
                answered.push((call.caller, answer));
            }
            !is_over
        });
        answered
    }

    /// The station has closed the connection of a call.
    pub fn hang_up(&mut self, caller: Caller) {
        for call in self.at_service.extract_if(.., |call| call.caller == caller) {
            call.task.abort();
        }
    }

    /// Whether a call waits at the service.
    pub fn is_at_service(&self, station: usize) -> bool {
        self.at_service.iter().any(|call| call.caller.station == station)
    }

    /// The service has ended: all connections are closed.
    pub fn cut(&mut self) -> Vec<Caller> {
        self.at_service.drain(..).map(|call| call.caller).collect()
    }
}
