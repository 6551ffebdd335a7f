//! Effects against a data plane that is made up: what is tried again, what stays, what goes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use protocol::job::{CopyEnd, CopyRecord, Event};
use protocol::outcome::Outcome;
use protocol::result::{Direction, TransferResult};
use serde_json::json;
use time::OffsetDateTime;

use super::*;
use crate::scheduler::fake::FakeWorker;
use crate::store::{Actor, JobKey, Role, Store};
use crate::vault::Vault;

struct Scene {
    folder: tempfile::TempDir,
    store: Store,
    worker: Arc<FakeWorker>,
    scheduler: Scheduler,
}

async fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::open(&folder.path().join("vault.key")).unwrap();
    let store = Store::open(&folder.path().join("jobs.db"), vault).await.unwrap();
    let worker = Arc::new(FakeWorker::default());
    let clock = Arc::new(|| OffsetDateTime::UNIX_EPOCH);
    let scheduler = Scheduler::new(store.clone(), worker.clone(), clock, "imports".to_owned());
    Scene { folder, store, worker, scheduler }
}

impl Scene {
    /// An import whose one drive is done, with what is to be published of it.
    async fn job_in_packaging(&self, name: &str) {
        let own = |text: &str| text.to_owned();
        let key = JobKey { subscription: own("sub"), resource_group: own("group"), name: own(name) };
        let body = json!({ "location": "here", "properties": { "storageAccountId": "/acme", "jobType": "Import",
            "returnAddress": { "recipientName": "R" }, "deliveryPackage": { "carrierName": "C", "trackingNumber": "T" },
            "driveList": [{ "driveId": "A" }] } });
        let body = protocol::arm::read_body(body.to_string().as_bytes()).unwrap();
        let change = Change::new("test", "test", OffsetDateTime::UNIX_EPOCH);
        self.store.put(&key, &body, &change).await.unwrap();
        let drive = || own("A");
        let events =
            vec![Event::Ship, Event::CheckIn(drive()), Event::CopyStarted(drive()), Event::CopyEnded(drive(), CopyEnd::Complete)];
        self.store.change(&key, &change, |_| Ok(events)).await.unwrap();
    }

    /// Changes what is noted of the copy of the one drive.
    async fn edit_copy(&self, job: &StoredJob, edit: impl Fn(&mut CopyRecord)) -> StoredJob {
        let change = Change::new("test", "test", OffsetDateTime::UNIX_EPOCH);
        let edited = self.store.change(&job.key, &change, |job| {
            edit(job.copies.get_mut("A").unwrap());
            Ok(Vec::new())
        });
        edited.await.unwrap()
    }

    /// The names of what is in the account, ascending.
    fn documents(&self) -> Vec<String> {
        let mut names: Vec<String> = self.worker.documents.lock().unwrap().keys().cloned().collect();
        names.sort();
        names
    }

    /// Rounds of effects, until the outbox is empty.
    async fn until_all_is_done(&self) {
        let all_done = async {
            while !self.store.effects(0, u32::MAX).await.unwrap().is_empty() {
                self.scheduler.carry_out_effects().await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), all_done).await.unwrap();
    }
}

#[tokio::test]
async fn an_effect_whose_task_panics_is_tried_again() {
    let scene = scene().await;
    scene.job_in_packaging("job-1").await;
    scene.worker.panics_left.store(1, Ordering::SeqCst);
    scene.until_all_is_done().await;
    assert_eq!(scene.worker.panics_left.load(Ordering::SeqCst), 0);
    assert!(scene.worker.documents.lock().unwrap().contains_key("acme/waimportexport/waies/job-1_receipts.json"));
}

#[tokio::test]
async fn more_effects_than_a_round_looks_at_are_carried_out_a_few_at_once() {
    let scene = scene().await;
    for number in 0..150 {
        scene.job_in_packaging(&format!("job-{number}")).await;
    }
    scene.until_all_is_done().await;
    assert_eq!(scene.worker.documents.lock().unwrap().len(), 150);
    assert!(scene.worker.most_at_once.load(Ordering::SeqCst) <= super::super::pending::AT_ONCE_MAX);
}

/// What is in the account of a job that was imported in part: its documents, and what two transfers left.
async fn with_documents(scene: &Scene) -> StoredJob {
    scene.job_in_packaging("job-1").await;
    let own = |text: &str| text.to_owned();
    let key = JobKey { subscription: own("sub"), resource_group: own("group"), name: own("job-1") };
    let change = Change::new("test", "test", OffsetDateTime::UNIX_EPOCH);
    let changed = scene.store.change(&key, &change, |job| {
        let record = job.copies.entry(own("A")).or_default();
        record.blob = Some(BlobName { container: own("imports"), name: own("job-1/A.img") });
        record.logs.error = Some(own("acme/waimportexport/waies/job-1_A_2_error.xml"));
        record
            .earlier_logs
            .push(LogAddresses { error: Some(own("acme/waimportexport/waies/job-1_A_1_error.xml")), ..LogAddresses::default() });
        let cancelled = TransferResult::not_begun(Outcome::Cancelled, Direction::Import, "");
        record.result = Some(TransferResult { transfer_id: Some(own("ID-4711")), ..cancelled });
        Ok(vec![Event::ShippedBack])
    });
    let job = changed.await.unwrap();
    {
        let mut documents = scene.worker.documents.lock().unwrap();
        for name in [
            "acme/imports/job-1/A.img",
            "acme/imports/job-1/A.img.ID-4711",
            "acme/imports/job-1/A.img.ID-OTHER",
            "acme/waimportexport/waies/job-1_A_1_error.xml",
            "acme/waimportexport/waies/job-1_A_2_error.xml",
            "acme/waimportexport/waies/job-1_incomplete.xml",
            "acme/waimportexport/waies/job-12_receipts.json",
        ] {
            documents.insert(own(name), Vec::new());
        }
    }
    scene.until_all_is_done().await;
    assert!(scene.documents().contains(&own("acme/waimportexport/waies/job-1_receipts.json")));
    job
}

/// What is not a document of the job, and stays.
const OF_OTHERS: [&str; 3] =
    ["acme/imports/job-1/A.img", "acme/imports/job-1/A.img.ID-OTHER", "acme/waimportexport/waies/job-12_receipts.json"];

#[tokio::test]
async fn a_deleted_job_leaves_no_document_and_nothing_unfinished() {
    let scene = scene().await;
    let job = with_documents(&scene).await;
    let change = Change::new("test", "test", OffsetDateTime::UNIX_EPOCH);
    scene.worker.refuses_removal.store(true, Ordering::SeqCst);
    scene.store.change(&job.key, &change, |_| Ok(vec![Event::Delete])).await.unwrap();
    scene.scheduler.carry_out_effects().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(scene.store.effects(0, 10).await.unwrap().len(), 1, "it is tried again");
    for entry in std::fs::read_dir(scene.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!has("job-1") && !has("ID-4711") && !has("acme"), "what is left is known, but sealed");
    }
    assert!(scene.worker.forgotten.lock().unwrap().contains(&job.uid), "the hosts do not wait for the account");
    assert!(scene.documents().len() > OF_OTHERS.len());
    scene.worker.refuses_removal.store(false, Ordering::SeqCst);
    scene.until_all_is_done().await;
    assert_eq!(scene.documents(), OF_OTHERS);
}

#[tokio::test]
async fn a_journal_that_alone_names_what_is_left_stays_until_that_was_removed() {
    let scene = scene().await;
    let job = with_documents(&scene).await;
    let station = Actor { name: "hall".to_owned(), role: Role::Station };
    scene.store.create_token(&station, "test", OffsetDateTime::UNIX_EPOCH).await.unwrap();
    let change = Change::new("test", "test", OffsetDateTime::UNIX_EPOCH);
    scene.edit_copy(&job, |record| record.runs = 1).await;
    let (journal, partial) = (format!("acme/imports/job-1/A.img.{}.journal", job.uid), "acme/imports/job-1/A.img.ID-LOST");
    for (name, bytes) in [(journal.as_str(), "ID-LOST"), (partial, "")] {
        scene.worker.documents.lock().unwrap().insert(name.to_owned(), bytes.as_bytes().to_vec());
    }
    scene.worker.refuses_discard.store(true, Ordering::SeqCst);
    scene.store.change(&job.key, &change, |_| Ok(vec![Event::Delete])).await.unwrap();
    scene.scheduler.carry_out_effects().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(scene.documents().contains(&journal), "it is tried again");
    scene.worker.refuses_discard.store(false, Ordering::SeqCst);
    scene.until_all_is_done().await;
    assert_eq!(scene.documents(), OF_OTHERS);
}

#[tokio::test]
async fn asking_what_a_run_moved_holds_its_drive_and_not_its_bay() {
    let scene = scene().await;
    let job = with_documents(&scene).await;
    let begun = |record: &mut CopyRecord| {
        (record.runs, record.is_unaccounted, record.bay) = (1, true, Some("bay-1".to_owned()));
    };
    let mut job = scene.edit_copy(&job, begun).await;
    job.machine.drives[0].state = DriveState::Transferring;
    assert!(scene.scheduler.account_only(&job, "A").await.unwrap());
    // It is not known yet, and asked again after a pause.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(scene.scheduler.is_running(&job.uid, "A") && !scene.scheduler.is_running_in("bay-1"));
    assert!(scene.scheduler.progress(&job, "A").is_none(), "nothing moves");
}

#[tokio::test]
async fn a_journal_that_was_kept_for_stations_is_removed_also_when_none_has_a_token_any_more() {
    let scene = scene().await;
    let job = with_documents(&scene).await;
    let change = Change::new("test", "test", OffsetDateTime::UNIX_EPOCH);
    scene.edit_copy(&job, |record| (record.runs, record.has_kept_journal) = (1, true)).await;
    let journal = format!("acme/imports/job-1/A.img.{}.journal", job.uid);
    scene.worker.documents.lock().unwrap().insert(journal, b"ID-4711".to_vec());
    scene.store.change(&job.key, &change, |_| Ok(vec![Event::Delete])).await.unwrap();
    scene.until_all_is_done().await;
    assert_eq!(scene.documents(), OF_OTHERS);
}

#[tokio::test]
async fn documents_of_a_new_job_of_the_same_name_stay() {
    let scene = scene().await;
    let job = with_documents(&scene).await;
    let change = Change::new("test", "test", OffsetDateTime::UNIX_EPOCH);
    scene.store.change(&job.key, &change, |_| Ok(vec![Event::Delete])).await.unwrap();
    scene.job_in_packaging("job-1").await;
    scene.until_all_is_done().await;
    assert!(scene.documents().contains(&"acme/waimportexport/waies/job-1_receipts.json".to_owned()));
    assert!(!scene.documents().iter().any(|name| name.ends_with("error.xml") || name.ends_with("ID-4711")));
}
