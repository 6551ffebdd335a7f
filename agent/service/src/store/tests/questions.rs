//! Every question that the store is asked has the same answer from each engine.

use super::*;

on_both_engines! {
    jobs_are_found_by_what_is_known_of_them,
    jobs_that_wait_are_found_in_their_order,
    the_audit_log_is_filtered,
    a_corrected_serial_number_keeps_its_key,
    a_session_is_ended_by_its_name,
    a_station_is_asked_to_forget_jobs_that_are_gone,
}

fn names(jobs: &[StoredJob]) -> Vec<&str> {
    jobs.iter().map(|job| job.key.name.as_str()).collect()
}

/// A job of this name whose drive has this serial number, shipped.
async fn shipped(store: &Store, name: &str, serial: &str) {
    let mut put = body();
    put.properties.as_mut().unwrap().drive_list.as_mut().unwrap()[0].drive_id = Some(serial.to_owned());
    store.put(&key(name), &put, &change("create")).await.unwrap();
    store.change(&key(name), &change("ship"), |_| Ok(vec![Event::Ship])).await.unwrap();
}

async fn jobs_are_found_by_what_is_known_of_them(scene: Scene) {
    let store = &scene.store;
    for (name, serial) in [("Alpha", "WD-1234"), ("a%c", "XX-1299"), ("a'b", "WD-9934"), ("beta", "QQ-0000")] {
        shipped(store, name, serial).await;
    }
    store.put(&key("unshipped"), &body(), &change("create")).await.unwrap();
    let of_drives = store.jobs_of_drives(&["wd-1234", "QQ-0000", "none"]).await.unwrap();
    assert_eq!(of_drives.iter().map(|job| job.key.name.as_str()).collect::<Vec<_>>(), ["Alpha", "beta"]);
    let uids: Vec<String> = of_drives.iter().map(|job| job.uid.clone()).chain(["none".to_owned()]).collect();
    assert_eq!(store.by_uids(&uids).await.unwrap().len(), 2);
    assert_eq!(store.by_uid(&uids[0]).await.unwrap().unwrap().key.name, "Alpha");
    let asked: Vec<String> = (0..1000).map(|number| format!("X{number:04}-{number:04}")).collect();
    let asked: Vec<&str> = asked.iter().map(String::as_str).chain(["wd-1299", ""]).collect();
    let similar = store.naming_similar_drives(&asked).await.unwrap();
    let names_of = |drive_id: &str| similar.of(drive_id).iter().map(|job| job.key.name.clone()).collect::<Vec<_>>();
    assert_eq!(names_of("wd-1299"), ["Alpha", "a%c"]);
    assert_eq!((names_of(""), names_of("X0001-0001")), (vec![], vec![]));
    assert_eq!(names(&store.taking_drives("", 3).await.unwrap()), ["Alpha", "a%c", "a'b"]);
    let searches = [
        ("ALPHA", &["Alpha"][..]),
        ("a%", &["a%c"]),
        ("'", &["a'b"]),
        ("et", &["beta"]),
        ("_", &[]),
        ("d-12", &["Alpha"]),
        ("qq-", &["beta"]),
    ];
    assert_eq!(names(&store.scanned("wd-1234", 10).await.unwrap()), ["Alpha"]);
    assert_eq!(names(&store.scanned("A%C", 10).await.unwrap()), ["a%c"]);
    assert_eq!(store.scanned("wd-12", 10).await.unwrap(), []);
    for (search, found) in searches {
        assert_eq!(names(&store.taking_drives(search, 10).await.unwrap()), found, "{search}");
        let scope = Scope { subscriptions: None, resource_group: None, search: Some(search.to_owned()) };
        let listed = store.list(&scope, &Filter::default(), Order::OldestFirst, 3, None).await.unwrap().jobs;
        assert!(names(&listed).iter().filter(|name| **name != "unshipped").eq(found), "{search}");
    }
    assert_eq!(store.waiting_exports(10).await.unwrap(), []);
    assert!(store.has_job_of_name("ALPHA", "ACME").await.unwrap() && !store.has_job_of_name("Alpha", "other").await.unwrap());
    store.probe().await.unwrap();
}

async fn jobs_that_wait_are_found_in_their_order(scene: Scene) {
    let store = &scene.store;
    for number in 0..5 {
        let at = start() + Duration::days(number);
        let name = format!("job-{number}");
        store.put(&key(&name), &body(), &Change { now: at, ..change("create") }).await.unwrap();
        store.change(&key(&name), &Change { now: at, ..change("ship") }, |_| Ok(vec![Event::Ship])).await.unwrap();
    }
    let later = start() + Duration::days(300);
    let all = store.waiting(later, None, 10).await.unwrap();
    assert_eq!(all.len(), 5);
    assert!(all.is_sorted_by_key(|(place, _)| (place.rank, place.from, place.id)));
    let rest = store.waiting(later, Some(all[1].0), 10).await.unwrap();
    assert_eq!(rest, all[2..]);
    assert_eq!(store.waiting(later, None, 2).await.unwrap(), all[..2]);
    assert_eq!(store.waiting(start(), None, 10).await.unwrap(), []);
    let counts = store.count_waiting(later).await.unwrap();
    assert_eq!(counts.iter().map(|(_, count)| count).sum::<i64>(), 5);
}

async fn the_audit_log_is_filtered(scene: Scene) {
    let uid = scene.store.put(&key("job-1"), &body(), &change("create")).await.unwrap().job.uid;
    scene.store.put(&key("job-2"), &body(), &change("create")).await.unwrap();
    let edit = |job: &mut StoredJob| {
        job.audit_detail = Some("DETAIL-77".to_owned());
        Ok(vec![Event::Ship])
    };
    let later = Change { now: start() + Duration::hours(1), actor: "staff", ..change("Shipped 100%") };
    scene.store.change(&key("job-1"), &later, edit).await.unwrap();
    scene.store.note("staff", "noted", start()).await.unwrap();
    let found = async |filter: AuditFilter| scene.store.audit_log(&filter, 10).await.unwrap().entries;
    let none = AuditFilter::default;
    assert_eq!(found(none()).await.len(), 4);
    let of_job = found(AuditFilter { job_uid: Some(uid.clone()), action: Some("shipped 100%".to_owned()), ..none() }).await;
    assert_eq!((of_job.len(), of_job[0].detail.as_deref(), of_job[0].entered), (1, Some("DETAIL-77"), Some(JobState::Shipping)));
    assert_eq!(found(AuditFilter { actor: Some("staff".to_owned()), ..none() }).await.len(), 2);
    assert_eq!(found(AuditFilter { action: Some("100_".to_owned()), ..none() }).await, []);
    assert_eq!(found(AuditFilter { since: Some(start() + Duration::minutes(1)), ..none() }).await.len(), 1);
    assert_eq!(found(AuditFilter { until: Some(start() + Duration::minutes(1)), ..none() }).await.len(), 3);
    let page = scene.store.audit_log(&none(), 3).await.unwrap();
    let rest = scene.store.audit_log(&AuditFilter { before: page.next, ..none() }, 3).await.unwrap();
    assert_eq!((page.entries.len(), rest.entries.len(), rest.next), (3, 1, None));
}

async fn a_corrected_serial_number_keeps_its_key(scene: Scene) {
    scene.store.put(&key("job-1"), &body(), &change("create")).await.unwrap();
    let before = scene.store.keys(&key("job-1")).await.unwrap();
    let edit = |job: &mut StoredJob| {
        job.details.drive_list.as_mut().unwrap()[0].drive_id = Some("SERIAL-78".to_owned());
        Ok(Vec::new())
    };
    scene.store.change(&key("job-1"), &change("correct"), edit).await.unwrap();
    let after = scene.store.keys(&key("job-1")).await.unwrap();
    assert_eq!((after[0].0.as_str(), &after[0].1), ("SERIAL-78", &before[0].1));
    assert_eq!(after.len(), 1);
}

async fn a_session_is_ended_by_its_name(scene: Scene) {
    let entra = Actor { name: "someone".into(), role: Role::Operator };
    let origin = TokenOrigin::Entra { expires_at: start() + Duration::hours(1) };
    let secret = scene.store.open_session(&entra, origin, start()).await.unwrap();
    let open = scene.store.sessions(start()).await.unwrap();
    assert_eq!((open.len(), open[0].name.as_str()), (1, "someone"));
    assert_eq!(scene.store.session(&secret, start()).await.unwrap().unwrap().actor, entra);
    assert!(scene.store.end_session(&open[0].id, "staff", start()).await.unwrap());
    assert!(!scene.store.end_session(&open[0].id, "staff", start()).await.unwrap());
    assert_eq!(scene.store.session(&secret, start()).await.unwrap(), None);
    let again = scene.store.open_session(&entra, origin, start()).await.unwrap();
    scene.store.close_session(&again).await.unwrap();
    assert_eq!(scene.store.session(&again, start()).await.unwrap(), None);
}

async fn a_station_is_asked_to_forget_jobs_that_are_gone(scene: Scene) {
    let store = &scene.store;
    shipped(store, "there", "A").await;
    let uid = store.get(&key("there")).await.unwrap().uid;
    for (job, station) in [(uid.as_str(), "hall"), ("gone", "hall"), ("gone", "without-token"), ("gone", "customer")] {
        store.note_kept(job, station, None).await;
    }
    for (name, role) in [("hall", Role::Station), ("customer", Role::Customer(Vec::new()))] {
        store.create_token(&Actor { name: name.to_owned(), role }, "test", start()).await.unwrap();
    }
    let gone = || vec![("hall".to_owned(), "gone".to_owned())];
    assert_eq!(store.removed_at_stations().await.unwrap(), gone());
    // What removes a job asks its stations itself.
    store.put(&key("creating"), &body(), &change("create")).await.unwrap();
    let creating = store.get(&key("creating")).await.unwrap().uid;
    store.note_kept(&creating, "hall", None).await;
    store.change(&key("creating"), &change("delete"), |_| Ok(vec![Event::Delete])).await.unwrap();
    assert_eq!(store.removed_at_stations().await.unwrap(), gone());
    store.forgot("gone", "hall").await.unwrap();
    assert_eq!(store.removed_at_stations().await.unwrap(), []);
}
