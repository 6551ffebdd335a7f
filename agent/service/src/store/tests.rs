use std::path::Path;

use protocol::arm::{Filter, PutJob, read_body};
use protocol::job::{Event, Field, JobState};
use protocol::station::CopyOrder;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::*;
use crate::testing::PostgresServer;
use crate::vault::Vault;

struct Scene {
    folder: tempfile::TempDir,
    store: Store,
    /// The database of a server; a file in the folder, where it is absent.
    address: Option<DatabaseAddress>,
}

impl Scene {
    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Self::open(folder.path(), None).await;
        Scene { folder, store, address: None }
    }

    /// `None` where PostgreSQL is not installed.
    async fn postgres() -> Option<Self> {
        let address = PostgresServer::shared()?.new_database().await.parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Self::open(folder.path(), Some(&address)).await;
        Some(Scene { folder, store, address: Some(address) })
    }

    async fn open(folder: &Path, address: Option<&DatabaseAddress>) -> Store {
        let vault = Vault::open(&folder.join("vault.key")).unwrap();
        match address {
            Some(address) => Store::connect(address, vault).await.unwrap(),
            None => Store::open(&folder.join("jobs.db"), vault).await.unwrap(),
        }
    }

    /// The same database once more, as a service has it that was killed and started again.
    async fn again(&self) -> Store {
        Self::open(self.folder.path(), self.address.as_ref()).await
    }
}

/// Runs each test on a database of each engine.
macro_rules! on_both_engines {
    ($($name:ident,)*) => {
        mod sqlite {
            use $crate::store::tests::Scene;

            $(#[tokio::test]
            async fn $name() {
                super::$name(Scene::sqlite().await).await;
            })*
        }
        mod postgres {
            use $crate::store::tests::Scene;

            $(#[tokio::test]
            async fn $name() {
                if let Some(scene) = Scene::postgres().await {
                    super::$name(scene).await;
                }
            })*
        }
    };
}

mod lease;
mod lookups;
mod migration;
mod outage;
mod questions;
mod race;
mod sealed;

on_both_engines! {
    a_job_is_what_was_put_also_after_a_restart,
    a_second_put_changes_what_may_be_changed,
    a_change_is_whole_or_not_at_all,
    effects_wait_until_they_were_done,
    time_removes_what_nobody_wants,
    lists_are_cut_into_pages_and_filtered,
    jobs_of_two_subscriptions_are_in_one_list_the_newest_first,
    lists_are_sorted_by_changes_and_by_names_across_pages,
    the_newest_sessions_of_an_actor_stay,
    only_a_token_that_was_there_is_said_to_be_revoked,
    the_audit_log_tells_states_and_cannot_be_changed,
    changes_at_once_are_made_one_after_another,
    jobs_are_counted_by_state_whatever_happens_to_them,
}

fn start() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
}

fn key(name: &str) -> JobKey {
    JobKey { subscription: "SUB-1".into(), resource_group: "group".into(), name: name.into() }
}

fn body() -> PutJob {
    let text = json!({ "location": "west", "tags": { "owner": "TAG-VALUE-77" }, "properties": {
        "storageAccountId": "/storageAccounts/acme", "jobType": "Import",
        "returnAddress": { "recipientName": "RECIPIENT-77", "streetAddress1": "STREET-77", "city": "C", "postalCode": "1",
            "countryOrRegion": "X", "phone": "PHONE-77", "email": "mail-77@example.com" },
        "deliveryPackage": { "carrierName": "C", "trackingNumber": "TRACKING-77" },
        "driveList": [{ "driveId": "SERIAL-77", "bitLockerKey": "111111-222222-333333-444444-555555-666666-777777-888888" }] } });
    read_body(text.to_string().as_bytes()).unwrap()
}

fn change(action: &'static str) -> Change<'static> {
    Change::new("customer", action, start())
}

/// Whether a text is in any file of the database.
fn is_in_files(folder: &Path, text: &str) -> bool {
    let files =
        std::fs::read_dir(folder).unwrap().flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("jobs.db"));
    files.into_iter().any(|file| {
        let bytes = std::fs::read(file.path()).unwrap();
        bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
    })
}

async fn a_job_is_what_was_put_also_after_a_restart(scene: Scene) {
    let put = scene.store.put(&key("job-1"), &body(), &change("create")).await.unwrap();
    assert!(put.is_new);
    let other_case = JobKey { subscription: "sub-1".into(), resource_group: "GROUP".into(), name: "JOB-1".into() };
    assert_eq!(scene.store.get(&other_case).await.unwrap(), put.job);
    assert!(put.job.details.drive_list.as_ref().unwrap()[0].bit_locker_key.is_none());
    let keys = vec![("SERIAL-77".to_owned(), "111111-222222-333333-444444-555555-666666-777777-888888".to_owned())];
    assert_eq!(scene.store.keys(&key("job-1")).await.unwrap(), keys);
    // As if killed: nothing is closed.
    let again = scene.again().await;
    assert_eq!(again.get(&key("job-1")).await.unwrap(), put.job);
    assert!(matches!(again.get(&key("job-2")).await, Err(StoreError::NotFound(_))));
}

async fn a_second_put_changes_what_may_be_changed(scene: Scene) {
    let first = scene.store.put(&key("job-1"), &body(), &change("create")).await.unwrap().job;
    let mut second = body();
    second.location = Some("east".into());
    let put = scene.store.put(&key("job-1"), &second, &change("create")).await.unwrap();
    assert!(!put.is_new && put.job.version == first.version + 1 && put.job.location == "east" && put.job.uid == first.uid);
    second.properties.as_mut().unwrap().storage_account_id = Some("/other".into());
    let refused = scene.store.put(&key("job-1"), &second, &change("create")).await;
    assert!(matches!(refused, Err(StoreError::WrittenOnce("properties.storageAccountId"))));
    scene.store.change(&key("job-1"), &change("ship"), |_| Ok(vec![Event::Ship])).await.unwrap();
    assert!(matches!(scene.store.put(&key("job-1"), &body(), &change("create")).await, Err(StoreError::Refused(_))));
}

async fn a_change_is_whole_or_not_at_all(scene: Scene) {
    scene.store.put(&key("job-1"), &body(), &change("create")).await.unwrap();
    let before = scene.store.get(&key("job-1")).await.unwrap();
    let edit = |job: &mut StoredJob| {
        job.location = "nowhere".into();
        Ok(vec![Event::Ship, Event::Delete])
    };
    let refused = scene.store.change(&key("job-1"), &change("mix"), edit).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))));
    assert_eq!(scene.store.get(&key("job-1")).await.unwrap(), before);
    let stale = Change { precondition: Precondition::is(before.version + 1), ..change("ship") };
    assert!(matches!(scene.store.change(&key("job-1"), &stale, |_| Ok(vec![Event::Ship])).await, Err(StoreError::Changed)));
    let right = Change { precondition: Precondition::is(before.version), ..change("ship") };
    let shipped = scene.store.change(&key("job-1"), &right, |_| Ok(vec![Event::Ship])).await.unwrap();
    assert_eq!((shipped.machine.state, shipped.version), (JobState::Shipping, before.version + 1));
    let same = scene.store.change(&key("job-1"), &change("ship"), |_| Ok(vec![Event::Ship])).await.unwrap();
    assert_eq!(same.version, shipped.version, "what changes nothing has no new version");
}

async fn effects_wait_until_they_were_done(scene: Scene) {
    let uid = scene.store.put(&key("job-1"), &body(), &change("create")).await.unwrap().job.uid;
    let serial = || "SERIAL-77".to_owned();
    let events = [Event::Ship, Event::CheckIn(serial()), Event::CopyStarted(serial()), Event::Cancel];
    scene.store.change(&key("job-1"), &change("all"), |_| Ok(events.to_vec())).await.unwrap();
    let effects = scene.again().await.stops().await.unwrap();
    assert_eq!((effects.len(), effects[0].job_uid.as_str()), (1, uid.as_str()));
    assert_eq!(effects[0].effect, protocol::job::Effect::StopCopy(serial()));
    scene.store.effect_done(effects[0].id).await.unwrap();
    assert_eq!(scene.store.stops().await.unwrap(), []);
}

#[tokio::test]
async fn keys_are_sealed() {
    let scene = Scene::sqlite().await;
    scene.store.put(&key("job-1"), &body(), &change("create")).await.unwrap();
    assert!(!is_in_files(scene.folder.path(), "111111-222222"));
    assert!(is_in_files(scene.folder.path(), "SERIAL-77"), "the test sees what is there");
}

#[tokio::test]
async fn a_removed_job_leaves_no_byte_behind() {
    let scene = Scene::sqlite().await;
    // Many, and changed often, so that pages are split, moved and freed.
    for number in 0..60 {
        let name = format!("NAME-77-{number}");
        scene.store.put(&key(&name), &body(), &change("create")).await.unwrap();
        for _ in 0..3 {
            let edit = |job: &mut StoredJob| {
                job.details.diagnostics_path = Some("PATH-77".repeat(200));
                Ok(vec![Event::Change(vec![Field::LogLevel])])
            };
            scene.store.change(&key(&name), &change("change"), edit).await.unwrap();
        }
    }
    let personal =
        ["NAME-77", "RECIPIENT-77", "STREET-77", "PHONE-77", "mail-77", "TRACKING-77", "SERIAL-77", "TAG-VALUE-77", "PATH-77"];
    assert!(personal.iter().all(|text| is_in_files(scene.folder.path(), text)), "the test sees what is there");
    for number in 0..60 {
        scene.store.change(&key(&format!("NAME-77-{number}")), &change("delete"), |_| Ok(vec![Event::Delete])).await.unwrap();
    }
    // The process was killed before it did more.
    scene.again().await;
    for text in personal {
        assert!(!is_in_files(scene.folder.path(), text), "`{text}` is still in the database");
    }
    assert!(matches!(scene.store.get(&key("NAME-77-0")).await, Err(StoreError::NotFound(_))));
}

async fn time_removes_what_nobody_wants(scene: Scene) {
    scene.store.put(&key("job-1"), &body(), &change("create")).await.unwrap();
    assert_eq!(scene.store.due(start() + Duration::days(13), 50).await.unwrap(), []);
    let later = start() + Duration::days(14);
    assert_eq!(scene.store.due(later, 50).await.unwrap(), [key("job-1")]);
    let tick = Change { actor: "clock", now: later, ..change("tick") };
    scene.store.change(&key("job-1"), &tick, |_| Ok(vec![Event::Tick])).await.unwrap();
    assert!(matches!(scene.store.get(&key("job-1")).await, Err(StoreError::NotFound(_))));
}

async fn lists_are_cut_into_pages_and_filtered(scene: Scene) {
    for number in 0..7 {
        scene.store.put(&key(&format!("job-{number}")), &body(), &change("create")).await.unwrap();
    }
    let elsewhere = JobKey { subscription: "SUB-2".into(), ..key("other") };
    scene.store.put(&elsewhere, &body(), &change("create")).await.unwrap();
    scene.store.change(&key("job-3"), &change("ship"), |_| Ok(vec![Event::Ship])).await.unwrap();
    let scope = |subscription: &str| Scope {
        subscriptions: Some(vec![subscription.into()]),
        resource_group: Some("group".into()),
        search: None,
    };
    let mut names = Vec::new();
    let mut after = None;
    loop {
        let page = scene.store.list(&scope("sub-1"), &Filter::default(), Order::OldestFirst, 3, after.as_ref()).await.unwrap();
        assert!(page.jobs.len() <= 3);
        names.extend(page.jobs.into_iter().map(|job| job.key.name));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(names, (0..7).map(|number| format!("job-{number}")).collect::<Vec<_>>(), "and no other's");
    let filtered =
        scene.store.list(&scope("SUB-1"), &"state eq 'Shipping'".parse().unwrap(), Order::OldestFirst, 100, None).await.unwrap();
    assert_eq!(filtered.jobs.into_iter().map(|job| job.key.name).collect::<Vec<_>>(), ["job-3"]);
    let tracked: Filter = "trackingnumber eq 'TRACKING-77' and type eq 'Export'".parse().unwrap();
    assert_eq!(scene.store.list(&scope("SUB-1"), &tracked, Order::OldestFirst, 100, None).await.unwrap().jobs, []);
}

async fn jobs_of_two_subscriptions_are_in_one_list_the_newest_first(scene: Scene) {
    for number in 0..60 {
        for subscription in ["SUB-1", "SUB-2", "SUB-3"] {
            let key = JobKey { subscription: subscription.into(), ..key(&format!("job-{subscription}-{number}")) };
            scene.store.put(&key, &body(), &change("create")).await.unwrap();
        }
    }
    let scope = Scope { subscriptions: Some(vec!["sub-1".into(), "SUB-2".into()]), resource_group: None, search: None };
    let (mut numbers, mut after) = (Vec::new(), None);
    loop {
        let page = scene.store.list(&scope, &Filter::default(), Order::NewestFirst, 50, after.as_ref()).await.unwrap();
        numbers.extend(page.jobs.iter().map(|job| job.id));
        assert!(page.jobs.iter().all(|job| job.key.subscription != "SUB-3"));
        let Some(next) = page.next else { break };
        after = Some(next);
    }
    assert_eq!(numbers.len(), 120, "each is on one page");
    assert!(numbers.is_sorted_by(|newer, older| newer > older));
}

async fn lists_are_sorted_by_changes_and_by_names_across_pages(scene: Scene) {
    for (minute, name) in ["delta", "Alpha", "charlie", "Bravo", "echo"].into_iter().enumerate() {
        let at = start() + Duration::minutes(minute as i64 / 2);
        scene.store.put(&key(name), &body(), &Change { now: at, ..change("create") }).await.unwrap();
    }
    let later = Change { now: start() + Duration::hours(1), ..change("ship") };
    scene.store.change(&key("charlie"), &later, |_| Ok(vec![Event::Ship])).await.unwrap();
    let sorted = [
        (Order::ByName, ["Alpha", "Bravo", "charlie", "delta", "echo"]),
        (Order::LastChangedFirst, ["charlie", "echo", "Bravo", "Alpha", "delta"]),
    ];
    for (order, expected) in sorted {
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let page = scene.store.list(&Scope::ALL, &Filter::default(), order, 2, after.as_ref()).await.unwrap();
            names.extend(page.jobs.into_iter().map(|job| job.key.name));
            let Some(next) = page.next else { break };
            after = Some(next.to_string().parse().unwrap());
        }
        assert_eq!(names, expected, "{order:?}");
    }
    let of_one = Scope { search: Some("CHAR".to_owned()), ..Scope::ALL };
    assert_eq!(scene.store.count_in(&of_one).await.unwrap(), [("Shipping".to_owned(), 1)]);
    let mut all = scene.store.count_in(&Scope::ALL).await.unwrap();
    all.sort();
    assert_eq!(all, [("Creating".to_owned(), 4), ("Shipping".to_owned(), 1)]);
    assert!("x".parse::<ListPlace>().is_err() && "x.y".parse::<ListPlace>().is_err());
}

async fn the_newest_sessions_of_an_actor_stay(scene: Scene) {
    let customer = Actor { name: "customer".into(), role: Role::Customer(vec!["SUB-1".into()]) };
    scene.store.create_token(&customer, "tests", start()).await.unwrap();
    let mut opened = Vec::new();
    // All in one second.
    for _ in 0..23 {
        opened.push(scene.store.open_session(&customer, TokenOrigin::Stored, start()).await.unwrap());
    }
    for (number, secret) in opened.iter().enumerate() {
        assert_eq!(scene.store.session(secret, start()).await.unwrap().is_some(), number >= 3, "{number}");
    }
    assert_eq!(scene.store.sessions(start()).await.unwrap().len(), 20);
}

async fn only_a_token_that_was_there_is_said_to_be_revoked(scene: Scene) {
    let customer = Actor { name: "customer".into(), role: Role::Customer(vec!["SUB-1".into()]) };
    scene.store.create_token(&customer, "tests", start()).await.unwrap();
    assert!(!scene.store.revoke_token("unknown", "tests", start()).await.unwrap());
    let actions = async || {
        let log = scene.store.audit_log(&AuditFilter::default(), 10).await.unwrap().entries;
        log.into_iter().map(|entry| entry.action).collect::<Vec<_>>()
    };
    assert_eq!(actions().await, ["made the token customer"]);
    assert!(scene.store.revoke_token("customer", "tests", start()).await.unwrap());
    assert_eq!(actions().await, ["took the token customer back", "made the token customer"]);
}

async fn the_audit_log_tells_states_and_cannot_be_changed(scene: Scene) {
    let uid = scene.store.put(&key("job-1"), &body(), &change("create")).await.unwrap().job.uid;
    scene.store.put(&key("job-1"), &body(), &change("again")).await.unwrap();
    scene.store.change(&key("job-1"), &change("cancel"), |_| Ok(vec![Event::Cancel])).await.unwrap();
    let of_job = AuditFilter { job_uid: Some(uid), ..AuditFilter::default() };
    let log = scene.store.audit_log(&of_job, 10).await.unwrap().entries;
    let told: Vec<_> = log.iter().map(|entry| (entry.action.as_str(), entry.entered)).collect();
    assert_eq!(told, [("cancel", Some(JobState::Completed)), ("changed a job", None), ("create", Some(JobState::Creating))]);
    for statement in ["UPDATE audit SET actor = 'somebody'", "DELETE FROM audit"] {
        let error = sqlx::query(statement).execute(&scene.store.pool).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{error}");
    }
}

async fn changes_at_once_are_made_one_after_another(scene: Scene) {
    let first = scene.store.put(&key("job-1"), &body(), &change("create")).await.unwrap().job.version;
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let store = scene.store.clone();
            tokio::spawn(async move {
                let edit = |job: &mut StoredJob| {
                    let tags = job.tags.get_or_insert_default();
                    tags.insert(format!("t{number}"), "x".into());
                    Ok(vec![Event::Change(vec![Field::Tags])])
                };
                store.change(&key("job-1"), &change("tag"), edit).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let job = scene.store.get(&key("job-1")).await.unwrap();
    assert_eq!((job.version, job.tags.unwrap().len()), (first + 20, 21), "no change was lost");
}

/// A number below `end`, from a row that is the same in every run.
fn below(state: &mut u64, end: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % end
}

async fn jobs_are_counted_by_state_whatever_happens_to_them(scene: Scene) {
    let mut random = 17;
    for step in 0..400 {
        let key = key(&format!("job-{}", below(&mut random, 25)));
        let events = match below(&mut random, 8) {
            0..3 => {
                // It may be there, and in a state in which it cannot be put again.
                let _ = scene.store.put(&key, &body(), &change("put")).await;
                Vec::new()
            }
            3 => vec![Event::Ship],
            4 => vec![Event::Cancel],
            5 => vec![Event::CheckIn("SERIAL-77".to_owned())],
            6 => vec![Event::CopyStarted("SERIAL-77".to_owned()), Event::Abandon("SERIAL-77".to_owned()), Event::ShippedBack],
            _ => vec![Event::Delete],
        };
        let _ = scene.store.change(&key, &change("changed"), |_| Ok(events)).await;
        let counted: Vec<(String, i64)> = sqlx::query_as("SELECT state, count(*) FROM job GROUP BY state ORDER BY state")
            .fetch_all(&scene.store.pool)
            .await
            .unwrap();
        let mut kept = scene.store.count_by_state().await.unwrap();
        kept.retain(|(_, count)| *count != 0);
        kept.sort();
        assert_eq!(kept, counted, "after {step} steps");
    }
    let states = scene.store.count_by_state().await.unwrap();
    assert!(states.len() >= 5, "most states were seen: {states:?}");
}

#[tokio::test]
async fn nothing_of_a_removed_job_stays_where_pages_were_divided() {
    let scene = Scene::sqlite().await;
    let mut random = 5;
    // Rows of many sizes, which grow and go: pages are divided and joined again and again.
    for round in 0..40 {
        let names: Vec<String> =
            (0..6).map(|number| format!("job-{round}-{number}-{:08x}", below(&mut random, 1 << 32))).collect();
        for name in &names {
            let mut put = body();
            let tags = put.tags.get_or_insert_default();
            tags.insert("pad".to_owned(), "x".repeat(usize::try_from(below(&mut random, 1500)).unwrap()));
            scene.store.put(&key(name), &put, &change("put")).await.unwrap();
        }
        for name in &names {
            let pad = "y".repeat(usize::try_from(below(&mut random, 2500)).unwrap());
            let (key, change) = (key(name), change("changed"));
            let grown = scene.store.change(&key, &change, |job| {
                job.tags.get_or_insert_default().insert("more".to_owned(), pad);
                Ok(vec![Event::Change(vec![Field::Tags])])
            });
            grown.await.unwrap();
        }
        for name in names.iter().filter(|_| below(&mut random, 3) > 0).collect::<Vec<_>>() {
            scene.store.change(&key(name), &change("deleted"), |_| Ok(vec![Event::Delete])).await.unwrap();
            assert!(scene.store.empty_of_removed().await.unwrap());
            assert!(!is_in_files(scene.folder.path(), name), "{name} is removed");
        }
    }
}
