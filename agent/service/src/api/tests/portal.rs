//! Pages of the portal, asked for as a browser does.

use axum::body::to_bytes;

use super::*;

/// A browser that is logged in.
struct Browser<'scene> {
    scene: &'scene Scene,
    cookie: String,
}

impl<'scene> Browser<'scene> {
    async fn log_in(scene: &'scene Scene, token: &str) -> Self {
        let mut browser = Browser { scene, cookie: String::new() };
        let response = browser.request("POST", "/portal/login", format!("token={token}")).await;
        let cookie = response.headers()["set-cookie"].to_str().unwrap();
        browser.cookie = cookie.split(';').next().unwrap().to_owned();
        browser
    }

    async fn request(&self, method: &str, path: &str, form: String) -> axum::response::Response {
        let request = Request::builder().method(method).uri(path).header("host", "station").header("cookie", &self.cookie);
        self.scene.router.clone().oneshot(request.body(Body::from(form)).unwrap()).await.unwrap()
    }

    async fn page(&self, path: &str) -> String {
        let response = self.request("GET", path, String::new()).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        text_of(response).await
    }
}

async fn text_of(response: axum::response::Response) -> String {
    String::from_utf8(to_bytes(response.into_body(), 1 << 24).await.unwrap().to_vec()).unwrap()
}

/// What stands between two texts, each time.
fn between<'text>(text: &'text str, before: &'text str, after: &'text str) -> Vec<&'text str> {
    text.split(before).skip(1).filter_map(|rest| rest.split(after).next()).collect()
}

#[tokio::test]
async fn a_customer_corrects_a_serial_number_in_the_portal() {
    let scene = scene().await;
    scene.call("PUT", &job("job-1"), import()).await.expect(201);
    scene.call("PATCH", &job("job-1"), shipping()).await.expect(200);
    let browser = Browser::log_in(&scene, &scene.customer).await;
    let link = format!("/portal/job/{}/group/job%2D1", SUBSCRIPTION.replace('-', "%2D"));
    let page = browser.page(&link).await;
    let form = between(&page, "href=\"", "\"").into_iter().find(|link| link.ends_with("/correct"));
    let page = browser.page(form.unwrap()).await;
    let csrf = between(&page, "name=\"csrf\" value=\"", "\"")[0].to_owned();
    let send = async |to: &str| {
        let form = format!("csrf={csrf}&drive=9CA995BB&driveId={to}");
        browser.request("POST", &format!("{link}/do/correctDrive"), form).await
    };
    let again = text_of(send("no%20number").await).await;
    assert!(again.contains("id=\"driveId-problem\"") && again.contains("value=\"no number\""), "what was typed stays: {again}");
    assert_eq!(send("RIGHT-1").await.status(), StatusCode::SEE_OTHER);
    let drives = scene.call("GET", &job("job-1"), Value::Null).await.expect(200)["properties"]["driveList"].clone();
    assert_eq!((&drives[0]["driveId"], &drives[1]), (&json!("RIGHT-1"), &Value::Null));
    let order = format!("/operator/v1/jobs/{SUBSCRIPTION}/group/job-1/checkIn");
    scene.send(&scene.operator, "POST", &order, json!({ "driveId": "RIGHT-1" })).await.expect(200);
    assert!(!browser.page(&link).await.contains("/correct\""), "it came");
}

#[tokio::test]
async fn each_job_of_two_subscriptions_is_on_one_page() {
    let scene = scene().await;
    let both = json!({ "name": "both", "subscriptions": ["first", "second"] });
    let token = scene.send(&scene.operator, "POST", "/operator/v1/tokens", both).await.expect(201);
    let token = token["token"].as_str().unwrap();
    for number in 0..60 {
        for subscription in ["first", "second"] {
            let path = job(&format!("{subscription}-{number}")).replace(SUBSCRIPTION, subscription);
            scene.send(&scene.operator, "PUT", &path, import()).await.expect(201);
        }
    }
    let browser = Browser::log_in(&scene, token).await;
    let (mut names, mut link) = (Vec::new(), "/portal/jobs".to_owned());
    loop {
        let page = browser.page(&link).await;
        assert_eq!(page.contains("First page"), !names.is_empty());
        names.extend(
            between(&page, "<th scope=\"row\">", "</a>").into_iter().map(|cell| cell.split('>').nth(1).unwrap().to_owned()),
        );
        let Some(older) = between(&page, "<a href=\"", "</a>").into_iter().find(|link| link.ends_with("More jobs")) else {
            break;
        };
        link = older.split('"').next().unwrap().to_owned();
    }
    let newest_first = (0..60).rev().flat_map(|number| [format!("second-{number}"), format!("first-{number}")]);
    assert_eq!(names, newest_first.collect::<Vec<_>>());
}
