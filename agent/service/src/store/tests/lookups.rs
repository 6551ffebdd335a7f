//! Secrets that are guessed: whoever has a right one is found all the same, and other questions have their connections.

use super::*;

on_both_engines! {
    guesses_keep_nobody_waiting_and_take_one_connection,
}

/// Guesses at once: more than one query asks for.
const GUESSES: usize = 700;

async fn guesses_keep_nobody_waiting_and_take_one_connection(scene: Scene) {
    let store = scene.again().await;
    let customer = Actor { name: "customer".to_owned(), role: Role::Customer(vec!["sub-1".to_owned()]) };
    let token = store.create_token(&customer, "test", start()).await.unwrap();
    let cookie = store.open_session(&customer, TokenOrigin::Stored, start()).await.unwrap();
    let connections_before = store.pool.size();
    let mut guesses = Vec::new();
    for number in 0..GUESSES {
        let guesser = store.clone();
        guesses.push(tokio::spawn(async move {
            let guess = format!("guess {number}");
            (guesser.actor_of(&guess).await.unwrap().is_none(), guesser.session(&guess, start()).await.unwrap().is_none())
        }));
        if number % 100 == 0 {
            tokio::task::yield_now().await;
            let (actor, session) = tokio::join!(store.actor_of(&token), store.session(&cookie, start()));
            assert_eq!(
                (actor.unwrap(), session.unwrap().map(|session| session.actor)),
                (Some(customer.clone()), Some(customer.clone()))
            );
        }
    }
    // Who asked first goes away in the middle.
    guesses.iter().step_by(3).for_each(tokio::task::JoinHandle::abort);
    for guess in guesses {
        match guess.await {
            Ok(is_wrong) => assert_eq!(is_wrong, (true, true)),
            Err(error) => assert!(error.is_cancelled(), "{error}"),
        }
    }
    assert!(store.pool.size() <= connections_before + 2, "one for tokens and one for sessions, not {}", store.pool.size());
    assert_eq!(store.session(&cookie, start() + SESSION_LASTS + Duration::SECOND).await.unwrap(), None, "it has ended");
    store.revoke_token("customer", "test", start()).await.unwrap();
    assert_eq!(store.actor_of(&token).await.unwrap(), None);
}
