//! What a request says of the version of a job, and methods that a path does not take (RFC 9110).

use std::collections::BTreeMap;

use serde_json::Value;

use super::scene::{import, job, scene, shipping};

#[tokio::test]
async fn a_job_that_must_be_new_is_made_once() {
    let scene = scene().await;
    let new = [("if-none-match", "*")];
    let path = job("job-1");
    let puts = (0..8).map(|_| scene.send_with(&scene.customer, "PUT", &path, import(), &new));
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    for answer in futures::future::join_all(puts).await {
        *statuses.entry(answer.status).or_default() += 1;
    }
    assert_eq!(statuses, BTreeMap::from([(201, 1), (412, 7)]));
    scene.send_with(&scene.customer, "PUT", &path, import(), &new).await.refused(412, "PreconditionFailed", None);
    let there = [("if-match", "*")];
    scene.send_with(&scene.customer, "PUT", &job("job-2"), import(), &there).await.refused(412, "PreconditionFailed", None);
    scene.send_with(&scene.customer, "PUT", &path, import(), &there).await.expect(200);
}

#[tokio::test]
async fn lists_of_tags_and_weak_tags_are_understood() {
    let scene = scene().await;
    let path = job("job-1");
    let tag = scene.call("PUT", &path, import()).await.etag.unwrap();
    let with = |method: &'static str, headers: [(&'static str, String); 1]| {
        let (scene, path) = (&scene, &path);
        async move {
            let [(name, value)] = &headers;
            scene.send_with(&scene.customer, method, path, Value::Null, &[(name, value)]).await
        }
    };
    // What a client has already is not sent again.
    for held in [tag.clone(), format!("\"0\", {tag}"), format!("W/{tag}"), "*".to_owned()] {
        let answer = with("GET", [("if-none-match", held.clone())]).await;
        assert_eq!((answer.status, answer.body, answer.etag.as_ref()), (304, Value::Null, Some(&tag)), "{held}");
    }
    with("GET", [("if-none-match", "\"0\", \"7777\"".to_owned())]).await.expect(200);
    with("GET", [("if-match", "\"7777\"".to_owned())]).await.refused(412, "PreconditionFailed", None);
    let list = format!("\"7777\" , {tag}");
    scene.send_with(&scene.customer, "PATCH", &path, shipping(), &[("if-match", &list)]).await.expect(200);
    // It has another one now.
    let stale = scene.send_with(&scene.customer, "PATCH", &path, shipping(), &[("if-match", &list)]).await;
    stale.refused(412, "PreconditionFailed", None);
    with("DELETE", [("if-match", "\"nonsense\"".to_owned())]).await.refused(412, "PreconditionFailed", None);
}

#[tokio::test]
async fn a_path_says_which_methods_it_takes() {
    let scene = scene().await;
    scene.call("PUT", &job("job-1"), import()).await.expect(201);
    let keys = job("job-1").replace('?', "/listBitLockerKeys?");
    let list = job("job-1").replace("/job-1", "");
    for (method, path, allowed) in [
        ("POST", job("job-1"), "GET, HEAD, PUT, PATCH, DELETE"),
        ("GET", keys, "POST"),
        ("DELETE", list, "GET, HEAD"),
        ("DELETE", "/operator/v1/bays".to_owned(), "GET,HEAD"),
        ("POST", "/healthz".to_owned(), "GET,HEAD"),
    ] {
        let answer = scene.send(&scene.operator, method, &path, Value::Null).await;
        assert_eq!((answer.status, answer.allow.as_deref()), (405, Some(allowed)), "{method} {path}");
    }
    assert_eq!(scene.send(&scene.customer, "HEAD", &job("job-1"), Value::Null).await.status, 200);
    assert_eq!(scene.send(&scene.customer, "HEAD", &job("job-9"), Value::Null).await.status, 404);
}

#[tokio::test]
async fn a_job_says_the_same_times_whoever_asks() {
    let scene = scene().await;
    let put = scene.call("PUT", &job("job-1"), import()).await.expect(201);
    assert_eq!(scene.call("GET", &job("job-1"), Value::Null).await.expect(200)["systemData"], put["systemData"]);
    assert!(!put["systemData"]["createdAt"].as_str().unwrap().contains('.'), "{put}");
    let path = job("job-1").replace("/subscriptions/", "/SUBSCRIPTIONS/").replace("/providers/", "/PROVIDERS/");
    scene.call("GET", &path, Value::Null).await.expect(200);
}
