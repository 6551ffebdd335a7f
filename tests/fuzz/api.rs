//! Bodies and queries of the APIs, and tokens.

use std::fmt::Debug;

use protocol::arm::{Filter, PutJob, UpdateJob, read_body, validate_put, validate_update};
use protocol::operator::{CheckIn, Dock, NeverReceived, NewToken, OneDrive, Retry, ReturnPackage};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Target;

pub const TARGETS: &[Target] = &[
    Target { name: "put-job", run: put_job },
    Target { name: "patch-job", run: patch_job },
    Target { name: "operator-body", run: operator_body },
    Target { name: "filter", run: filter },
    Target { name: "token", run: token },
];

/// Problems of one body that are told, at most, for every byte of it: an answer is no bomb.
const PROBLEM_BYTES_EACH: usize = 16;

fn require_told(problems: &[protocol::arm::FieldProblem], body: &[u8]) {
    let told: usize = problems.iter().map(|problem| problem.target.len() + problem.message.len()).sum();
    assert!(told <= (64 << 10) + body.len() * PROBLEM_BYTES_EACH, "{} bytes are answered with {told}", body.len());
    for problem in problems {
        assert!(!problem.target.is_empty() && !problem.message.is_empty());
    }
}

fn put_job(bytes: &[u8]) {
    match read_body::<PutJob>(bytes) {
        Ok(job) => {
            require_told(&validate_put(&job), bytes);
            let written = serde_json::to_vec(&job).expect("it can be written");
            let mut again: PutJob = read_body(&written).expect("what was written can be read");
            // Keys are never written.
            let drives =
                |job: &PutJob| job.properties.as_ref().and_then(|details| details.drive_list.clone()).unwrap_or_default();
            if let Some(list) = again.properties.as_mut().and_then(|details| details.drive_list.as_mut()) {
                for (own, known) in list.iter_mut().zip(drives(&job)) {
                    assert_eq!(own.bit_locker_key, None);
                    own.bit_locker_key = known.bit_locker_key;
                }
            }
            assert_eq!(again, job);
        }
        Err(error) => assert!(!error.code().is_empty() && !error.to_string().is_empty()),
    }
}

fn patch_job(bytes: &[u8]) {
    if let Ok(update) = read_body::<UpdateJob>(bytes) {
        require_told(&validate_update(&update), bytes);
    }
}

fn there_and_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    if let Ok(read) = read_body::<T>(bytes) {
        let written = serde_json::to_vec(&read).expect("it can be written");
        assert_eq!(read_body::<T>(&written).expect("what was written can be read"), read);
    }
}

fn operator_body(bytes: &[u8]) {
    there_and_back::<CheckIn>(bytes);
    there_and_back::<Dock>(bytes);
    there_and_back::<NeverReceived>(bytes);
    there_and_back::<NewToken>(bytes);
    there_and_back::<OneDrive>(bytes);
    there_and_back::<Retry>(bytes);
    there_and_back::<ReturnPackage>(bytes);
}

fn filter(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(filter) = text.parse::<Filter>() else { return };
    let word = |value: &dyn erased::Named| value.json();
    let clauses = [
        filter.kind.map(|kind| format!("type eq '{}'", word(&kind))),
        filter.state.map(|state| format!("state eq '{}'", word(&state))),
        filter.tracking_number.as_ref().map(|number| format!("trackingnumber eq '{}'", number.replace('\'', "''"))),
    ];
    let written = clauses.into_iter().flatten().collect::<Vec<_>>().join(" and ");
    assert_eq!(written.parse(), Ok(filter), "{written}");
}

mod erased {
    /// A word as JSON has it.
    pub trait Named {
        fn json(&self) -> String;
    }

    impl<T: serde::Serialize> Named for T {
        fn json(&self) -> String {
            serde_json::to_value(self).unwrap().as_str().unwrap().to_owned()
        }
    }
}

/// A key set, and behind a line a token: none was signed by a key of ours, so none is valid.
fn token(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (keys, token) = text.split_once("\n\n").unwrap_or((text, ""));
    let actor = service::fuzzing::actor_of_token(keys.as_bytes(), token.trim(), "https://issuer.test", "audience");
    assert_eq!(actor, None, "a forged token is taken");
}
