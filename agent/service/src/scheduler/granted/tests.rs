use std::sync::Arc;
use std::time::Duration;

use protocol::job::{CopyEvent, Event};
use protocol::station::BayContent;
use serde_json::json;
use time::OffsetDateTime;

use super::*;
use crate::scheduler::fake::FakeWorker;
use crate::scheduler::worker::Worker;
use crate::store::{Change, GrantStep, JobKey, Store};
use crate::vault::Vault;

/// The database went away while the beginning of a copy was written, which was written all the same.
#[tokio::test]
async fn a_grant_that_nobody_waits_for_is_taken_back_and_the_drive_is_copied() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::open(&folder.path().join("vault.key")).unwrap();
    let store = Store::open(&folder.path().join("jobs.db"), vault).await.unwrap();
    let worker = Arc::new(FakeWorker::default());
    let bay = json!({ "name": "hall/bay-1", "station": "hall", "isWatched": true, "attachment": "1", "sequence": 1 });
    let bay: BayContent = serde_json::from_value(bay).unwrap();
    worker.bays.lock().unwrap().push(bay.clone());
    worker.dock("hall/bay-1", "/dev/sdb", Some("WD-77-001")).await.unwrap();
    let now = OffsetDateTime::UNIX_EPOCH;
    let scheduler = Scheduler::new(store.clone(), worker, Arc::new(move || now), "imports".to_owned());
    let key = JobKey { subscription: "sub".into(), resource_group: "group".into(), name: "job-1".into() };
    let body = json!({ "location": "here", "properties": { "storageAccountId": "/storageAccounts/acme", "jobType": "Import",
        "returnAddress": { "recipientName": "R" }, "deliveryPackage": { "carrierName": "C", "trackingNumber": "T" },
        "driveList": [{ "driveId": "WD-77-001" }] } });
    let change = Change::new("test", "test", now);
    store.put(&key, &protocol::arm::read_body(body.to_string().as_bytes()).unwrap(), &change).await.unwrap();
    let drive = || "WD-77-001".to_owned();
    let job = store.change(&key, &change, |_| Ok(vec![Event::Ship, Event::CheckIn(drive())])).await.unwrap();
    let order = scheduler.order(&job, "WD-77-001", &bay.name).unwrap();
    let order = CopyOrder { grant: Some("lost".to_owned()), ..order };
    let begin = CopyEvent::Begin { bay: order.bay.clone(), blob: order.blob.clone(), size_bytes: None };
    let begun = store.change(&key, &change, |job| {
        job.step_copy("WD-77-001", begin, now)?;
        job.grant_step = Some(GrantStep::Begin(Box::new(order)));
        Ok(vec![Event::CopyStarted(drive())])
    });
    begun.await.unwrap();
    let is_taken_back = async {
        loop {
            scheduler.round().await;
            let grants = store.grants().await.unwrap();
            if grants.iter().all(|granted| granted.order.grant.as_deref() != Some("lost")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), is_taken_back).await.unwrap();
}
