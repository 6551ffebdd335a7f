//! What several services do at once ends as if they had done it one after another.

use std::sync::Arc;

use tokio::sync::Barrier;

use super::*;

/// Connections that race.
const RACERS: usize = 8;

/// Races of each test: an overlap that is possible happens in a few of them.
const ROUNDS: usize = 12;

/// Runs a task for each of the numbers, all at once, and returns what came of each.
async fn race<T: Send + 'static, F: Future<Output = T> + Send + 'static>(count: usize, task: impl Fn(usize) -> F) -> Vec<T> {
    let barrier = Arc::new(Barrier::new(count));
    let racers: Vec<_> = (0..count)
        .map(|number| {
            let (barrier, task) = (barrier.clone(), task(number));
            tokio::spawn(async move {
                barrier.wait().await;
                task.await
            })
        })
        .collect();
    let mut results = Vec::new();
    for racer in racers {
        results.push(racer.await.unwrap());
    }
    results
}

on_both_engines! {
    operators_who_take_back_each_others_tokens_leave_one,
    one_of_the_jobs_of_one_name_in_one_account_is_made,
    one_put_of_a_job_creates_it_and_the_others_change_it,
    a_job_is_created_once,
    a_subscription_has_no_more_jobs_than_it_may,
    one_job_gets_the_drive_in_a_bay,
    one_job_gets_the_drive_in_a_bay_that_held_another,
    drives_that_change_places_are_noted,
}

async fn operators_who_take_back_each_others_tokens_leave_one(scene: Scene) {
    let operator = |name: String| Actor { name, role: Role::Operator };
    let mut keeper: Option<String> = None;
    for round in 0..ROUNDS {
        let name = move |number: usize| format!("operator-{round}-{number}");
        for number in 0..RACERS {
            scene.store.create_token(&operator(name(number)), "tests", start()).await.unwrap();
        }
        if let Some(keeper) = keeper.take() {
            scene.store.revoke_token(&keeper, "tests", start()).await.unwrap();
        }
        let taken_back = race(RACERS, |number| {
            let store = scene.store.clone();
            async move { store.revoke_token(&name(number), "another operator", start()).await }
        });
        let taken_back = taken_back.await;
        let left = scene.store.tokens().await.unwrap();
        assert_eq!(left.len(), 1, "{taken_back:?}");
        let refused = taken_back.iter().filter(|result| matches!(result, Err(StoreError::NotNow(_)))).count();
        assert_eq!(refused, 1, "{taken_back:?}");
        // It makes room for the next round.
        let last = format!("keeper-{round}");
        scene.store.create_token(&operator(last.clone()), "tests", start()).await.unwrap();
        scene.store.revoke_token(&left[0].name, "tests", start()).await.unwrap();
        keeper = Some(last);
    }
}

async fn one_of_the_jobs_of_one_name_in_one_account_is_made(scene: Scene) {
    for round in 0..ROUNDS {
        let made = race(RACERS, |number| {
            let store = scene.store.clone();
            // Several subscriptions may use one account.
            let key = JobKey { subscription: format!("SUB-{number}"), ..key(&format!("job-{round}")) };
            async move { store.put(&key, &body(), &change("create")).await }
        });
        let made = made.await;
        assert_eq!(made.iter().filter(|result| result.is_ok()).count(), 1, "{made:?}");
        let refused = made.iter().filter(|result| matches!(result, Err(StoreError::JobNameTaken(_)))).count();
        assert_eq!(refused, RACERS - 1, "{made:?}");
    }
}

async fn one_put_of_a_job_creates_it_and_the_others_change_it(scene: Scene) {
    for round in 0..ROUNDS {
        let put = race(RACERS, |_| {
            let (store, key) = (scene.store.clone(), key(&format!("job-{round}")));
            async move { store.put(&key, &body(), &change("create")).await.unwrap() }
        });
        let put = put.await;
        assert_eq!(put.iter().filter(|put| put.is_new).count(), 1, "{put:?}");
        let mut versions: Vec<i64> = put.iter().map(|put| put.job.version).collect();
        versions.sort_unstable();
        assert_eq!(versions, (1..=RACERS as i64).collect::<Vec<_>>());
    }
}

async fn a_job_is_created_once(scene: Scene) {
    for round in 0..ROUNDS {
        let made = race(RACERS, |_| {
            let (store, key) = (scene.store.clone(), key(&format!("job-{round}")));
            async move { store.create(&key, &body(), &change("create")).await }
        });
        let made = made.await;
        assert_eq!(made.iter().filter(|result| result.is_ok()).count(), 1, "{made:?}");
    }
}

async fn a_subscription_has_no_more_jobs_than_it_may(scene: Scene) {
    let store = scene.store.clone().with_jobs_per_subscription(3);
    for round in 0..ROUNDS {
        let made = race(RACERS, |number| {
            let store = store.clone();
            let key = JobKey { subscription: format!("SUB-{round}"), ..key(&format!("job-{round}-{number}")) };
            async move { store.put(&key, &body(), &change("create")).await.map(|put| put.job.key) }
        });
        let made = made.await;
        let keys: Vec<&JobKey> = made.iter().flatten().collect();
        assert_eq!(keys.len(), 3, "{made:?}");
        assert!(made.iter().all(|result| matches!(result, Ok(_) | Err(StoreError::TooManyJobs { .. }))), "{made:?}");
        // What is removed makes room.
        store.change(keys[0], &change("delete"), |_| Ok(vec![Event::Delete])).await.unwrap();
        let again = JobKey { subscription: format!("sub-{round}"), ..key(&format!("again-{round}")) };
        store.put(&again, &body(), &change("create")).await.unwrap();
    }
}

/// A job whose drive was shipped.
async fn shipped(store: &Store, name: &str) {
    store.put(&key(name), &body(), &change("create")).await.unwrap();
    store.change(&key(name), &change("ship"), |_| Ok(vec![Event::Ship])).await.unwrap();
}

/// Checks the drive in a bay in as the drive of a job.
async fn check_in(store: &Store, name: &str, bay: &str, may_take_over: bool) -> Result<StoredJob, StoreError> {
    let docked = DockedAs { serial: "SERIAL-77", attachment: bay };
    let claim = Claim { bay, docked, docked_at: None, drive_id: "SERIAL-77", may_take_over };
    let change = Change { claim: Some(claim), ..change("check in") };
    store.change(&key(name), &change, |_| Ok(Vec::new())).await
}

/// Lets two jobs claim each of the bays at once.
async fn race_for_bays(scene: &Scene, bay: impl Fn(usize) -> String) {
    for round in 0..ROUNDS {
        for number in 0..RACERS {
            shipped(&scene.store, &format!("job-{round}-{number}")).await;
        }
        let bay = bay(round);
        let claimed = race(RACERS, |number| {
            let (store, name, bay) = (scene.store.clone(), format!("job-{round}-{number}"), bay.clone());
            async move { check_in(&store, &name, &bay, false).await.map(|job| job.uid) }
        });
        let claimed = claimed.await;
        let winners: Vec<&String> = claimed.iter().flatten().collect();
        assert_eq!(winners.len(), 1, "{claimed:?}");
        assert!(claimed.iter().all(|result| matches!(result, Ok(_) | Err(StoreError::BayTaken { .. }))), "{claimed:?}");
        assert_eq!(scene.store.dockings().await.unwrap()[&bay].job_uid, *winners[0]);
    }
}

async fn one_job_gets_the_drive_in_a_bay(scene: Scene) {
    race_for_bays(&scene, |round| format!("bay-{round}")).await;
}

async fn one_job_gets_the_drive_in_a_bay_that_held_another(scene: Scene) {
    for round in 0..ROUNDS {
        let (name, bay) = (format!("earlier-{round}"), format!("bay-{round}"));
        scene.store.put(&key(&name), &body(), &change("create")).await.unwrap();
        check_in(&scene.store, &name, &bay, false).await.unwrap();
        scene.store.change(&key(&name), &change("delete"), |_| Ok(vec![Event::Delete])).await.unwrap();
    }
    race_for_bays(&scene, |round| format!("bay-{round}")).await;
}

/// Each of two changes needs a row that the other one has: one of them is done again.
async fn drives_that_change_places_are_noted(scene: Scene) {
    for name in ["left", "right"] {
        shipped(&scene.store, name).await;
        check_in(&scene.store, name, name, false).await.unwrap();
    }
    for round in 0..ROUNDS {
        let places = if round % 2 == 0 { ["right", "left"] } else { ["left", "right"] };
        let moved = race(2, |number| {
            let (store, name) = (scene.store.clone(), ["left", "right"][number]);
            async move { check_in(&store, name, places[number], true).await.unwrap().uid }
        });
        let moved = moved.await;
        let dockings = scene.store.dockings().await.unwrap();
        let noted: Vec<&str> = places.iter().map(|bay| dockings[*bay].job_uid.as_str()).collect();
        assert_eq!(noted, moved.iter().map(String::as_str).collect::<Vec<_>>());
    }
}
