//! Who reaches the portal: sessions, other sites, accounts.

use serde_json::Value;

use crate::support::Workbench;
use crate::support::agent::Agent;
use crate::support::service::{Service, TWO_BAYS};

fn cookie_of(set: &str) -> &str {
    set.split(';').next().unwrap_or_default()
}

#[test]
fn sessions_are_few_and_operators_end_them() {
    let bench = Workbench::new();
    let service = Service::start(&bench, &format!("requests_per_second = 10000\n{TWO_BAYS}"));
    let token = service.customer_token("customer");
    let cookies: Vec<String> = (0..22).map(|_| cookie_of(&service.log_in(&token, &[]).1).to_owned()).collect();
    let sees = |cookie: &str| {
        let page = service.try_call("", "GET", "/portal/jobs", Value::Null, &[("cookie", cookie)]).unwrap();
        assert_eq!(page.status, 200);
        page.body.as_str().unwrap().contains("/portal/logout")
    };
    assert_eq!(cookies.iter().map(|cookie| sees(cookie)).collect::<Vec<_>>(), [vec![false; 2], vec![true; 20]].concat());
    let list = Agent::new(bench.path(), &[&"tokens", &"sessions"]).run().expect(0);
    let own: Vec<&Value> = list.as_array().unwrap().iter().filter(|session| session["name"] == "customer").collect();
    assert_eq!(own.len(), 20, "{list}");
    let id = own[19]["id"].as_str().unwrap().to_owned();
    Agent::new(bench.path(), &[&"tokens", &"end-session", &id]).run().expect(0);
    assert_eq!(cookies[2..].iter().filter(|cookie| sees(cookie)).count(), 19);
    Agent::new(bench.path(), &[&"tokens", &"end-session", &id]).run().expect_error(1, &["has ended already"]);
    Agent::new(bench.path(), &[&"tokens", &"revoke", &"customer"]).run().expect(0);
    assert!(!cookies[15..].iter().any(|cookie| sees(cookie)), "sessions end with their token");
    let told = Agent::new(bench.path(), &[&"bays", &"audit", &"--action", &"ended a session"]).run().expect(0);
    assert_eq!(told[0]["action"], "ended a session of customer");
}

#[test]
fn other_sites_send_no_forms() {
    let bench = Workbench::new();
    let service = Service::start(&bench, &format!("public_url = \"https://jobs.example.com\"\n{TWO_BAYS}"));
    let host = service.url.trim_start_matches("http://").to_owned();
    let log_in = |headers: &[(&str, &str)]| service.log_in(&service.token, headers);
    for headers in [
        &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")][..],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "null")],
        &[("origin", "https://evil.example")],
    ] {
        assert_eq!(log_in(headers), (403, String::new()), "{headers:?}");
    }
    let own = format!("http://{host}");
    for headers in
        [&[("sec-fetch-site", "same-origin"), ("origin", own.as_str())][..], &[("origin", "https://jobs.example.com")], &[]]
    {
        let (status, cookie) = log_in(headers);
        assert_eq!(status, 303, "{headers:?}");
        // A proxy speaks TLS with the browser.
        assert!(cookie.contains("; Secure") && cookie.contains("SameSite=Strict"), "{cookie}");
    }
    let cookie = log_in(&[]).1;
    for path in ["/portal/logout", "/portal/new", "/portal/check-in", "/portal/dock", "/portal/bay/bay-1/take-out"] {
        let headers = [("cookie", cookie_of(&cookie)), ("sec-fetch-site", "cross-site")];
        assert_eq!(service.try_call("", "POST", path, Value::Null, &headers).unwrap().status, 403, "{path}");
    }
}

#[test]
fn customers_see_the_accounts_that_they_may_use() {
    let bench = Workbench::new();
    let config = format!(
        "[[account]]\nname = \"shared\"\nstore = \"{0}/a\"\n[[account]]\nname = \"of-another\"\nstore = \"{0}/b\"\n\
         subscriptions = [\"elsewhere\"]\n{TWO_BAYS}",
        bench.path().display()
    );
    let service = Service::start(&bench, &config);
    let token = service.customer_token("customer");
    let page = |token: &str| {
        let cookie = service.log_in(token, &[]).1;
        let page =
            service.try_call("", "GET", "/portal/new?type=Import", Value::Null, &[("cookie", cookie_of(&cookie))]).unwrap();
        page.body.as_str().unwrap().to_owned()
    };
    let (own, all) = (page(&token), page(&service.token));
    assert!(own.contains("shared") && !own.contains("of-another"), "{own}");
    assert!(all.contains("shared") && all.contains("of-another"), "{all}");
}
