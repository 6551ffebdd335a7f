//! Every route of the service, and who may ask for it. A route without a row here fails.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::Workbench;
use crate::support::service::{SUBSCRIPTION, Service, TWO_BAYS, import, job};
use crate::support::station::token_of;

/// Who may ask for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    /// All, without a token.
    Anonymous,
    /// Every bearer of a token.
    Known,
    /// The customer whose subscription is in the path, and operators.
    Owner,
    /// Operators.
    Operators,
    /// The station of that name.
    Stations,
}
use For::{Anonymous, Known, Operators, Owner, Stations};

/// Operations of the published document.
const API: &[(For, &[&str])] = &[
    (Anonymous, &["Health", "Liveness", "Readiness", "OpenApi"]),
    (Known, &["Operations_List", "Locations_List", "Locations_Get"]),
    (
        Owner,
        &[
            "Jobs_ListBySubscription",
            "Jobs_ListByResourceGroup",
            "Jobs_Get",
            "Jobs_Create",
            "Jobs_Update",
            "Jobs_Delete",
            "BitLockerKeys_List",
            "Jobs_Receipts",
            "Jobs_Events",
        ],
    ),
    (
        Operators,
        &[
            "Metrics",
            "Bays_List",
            "Bays_Dock",
            "Bays_Undock",
            "Bays_Events",
            "Rate_Get",
            "Rate_Set",
            "Attention_List",
            "Audit_List",
            "Stations_List",
            "Tokens_List",
            "Tokens_Create",
            "Tokens_Revoke",
            "Sessions_List",
            "Sessions_End",
            "OperatorJobs_List",
            "OperatorJobs_Get",
            "OperatorJobs_CheckIn",
            "OperatorJobs_NeverReceived",
            "OperatorJobs_Start",
            "OperatorJobs_Pause",
            "OperatorJobs_Resume",
            "OperatorJobs_Retry",
            "OperatorJobs_GiveUp",
            "OperatorJobs_UndoCheckIn",
            "OperatorJobs_UndoGiveUp",
            "OperatorJobs_UndoNeverReceived",
            "OperatorJobs_Release",
            "OperatorJobs_ShipBack",
        ],
    ),
    (Stations, &["Stations_Call"]),
];

/// Pages and forms of the portal, as its router has them.
const PORTAL: &[(For, &[&str])] = &[
    (
        Anonymous,
        &[
            "GET /",
            "GET /favicon.ico",
            "GET /portal/login",
            "POST /portal/login",
            "GET /portal/login/entra",
            "GET /portal/login/entra/done",
            "GET /portal/assets/{file}",
        ],
    ),
    (
        Known,
        &[
            "GET /portal/",
            "GET /portal/jobs",
            "GET /portal/events/jobs",
            "GET /portal/new",
            "POST /portal/new",
            "GET /portal/about",
            "POST /portal/logout",
        ],
    ),
    (
        Owner,
        &[
            "GET /portal/job/{subscription}/{group}/{name}",
            "GET /portal/job/{subscription}/{group}/{name}/slip",
            "GET /portal/job/{subscription}/{group}/{name}/edit",
            "GET /portal/job/{subscription}/{group}/{name}/cancel",
            "GET /portal/job/{subscription}/{group}/{name}/ship",
            "GET /portal/job/{subscription}/{group}/{name}/delete",
            "GET /portal/job/{subscription}/{group}/{name}/drive/{drive}",
            "GET /portal/job/{subscription}/{group}/{name}/drive/{drive}/correct",
            "GET /portal/job/{subscription}/{group}/{name}/drive/{drive}/file/{file}",
            "GET /portal/job/{subscription}/{group}/{name}/receipts.json",
            "POST /portal/job/{subscription}/{group}/{name}/do/{action}",
            "GET /portal/events/job/{subscription}/{group}/{name}",
            "GET /portal/events/job/{subscription}/{group}/{name}/drive/{drive}",
        ],
    ),
    (
        Operators,
        &[
            "GET /portal/bays",
            "GET /portal/attention",
            "GET /portal/receive",
            "GET /portal/audit",
            "GET /portal/tokens",
            "GET /portal/tokens/new",
            "POST /portal/tokens/new",
            "GET /portal/tokens/{name}/revoke",
            "POST /portal/tokens/{name}/revoke",
            "GET /portal/job/{subscription}/{group}/{name}/shipBack",
            "GET /portal/job/{subscription}/{group}/{name}/drive/{drive}/retry",
            "GET /portal/job/{subscription}/{group}/{name}/never-received",
            "GET /portal/job/{subscription}/{group}/{name}/drive/{drive}/give-up",
            "GET /portal/job/{subscription}/{group}/{name}/drive/{drive}/never-received",
            "GET /portal/job/{subscription}/{group}/{name}/drive/{drive}/wrong-drive",
            "GET /portal/dock",
            "POST /portal/dock",
            "GET /portal/rate",
            "POST /portal/rate",
            "POST /portal/bay/{bay}/take-out",
            "GET /portal/check-in",
            "POST /portal/check-in",
            "GET /portal/events/bays",
        ],
    ),
];

/// The row of a route. One without a row is one that no person has thought about.
fn row(table: &[(For, &[&str])], route: &str) -> For {
    let found = table.iter().find(|(_, routes)| routes.contains(&route));
    found.unwrap_or_else(|| panic!("`{route}` has no row in tests/it/service_routes.rs: say who may ask for it")).0
}

fn names(table: &[(For, &[&str])]) -> BTreeSet<String> {
    table.iter().flat_map(|(_, routes)| routes.iter().map(|route| (*route).to_owned())).collect()
}

/// A path with what its parts stand for.
fn filled(template: &str) -> String {
    let known = [
        ("{subscriptionId}", SUBSCRIPTION),
        ("{subscription}", SUBSCRIPTION),
        ("{resourceGroupName}", "group"),
        ("{group}", "group"),
        ("{jobName}", "job-1"),
        ("{locationName}", "This%20station"),
        ("{bay}", "bay-1"),
        ("{drive}", "A"),
        ("{action}", "cancel"),
        ("{station}", "hall-a"),
    ];
    // Whatever else is named is not there.
    let path = known.iter().fold(template.to_owned(), |path, (part, value)| path.replace(part, value));
    match template.starts_with("/portal/job/") || !path.contains("{name}") {
        true => path.replace("{name}", "job-1").replace("{file}", "portal.css"),
        false => path.replace("{name}", "none"),
    }
    .replace("{id}", "none")
}

struct Scene {
    service: Service,
    own: String,
    other: String,
    station: String,
}

fn scene(bench: &Workbench) -> Scene {
    let service = Service::start(bench, &format!("requests_per_second = 10000\n{TWO_BAYS}"));
    let make = |name: &str, subscription: &str| {
        let made = service.call("POST", "/operator/v1/tokens", json!({ "name": name, "subscriptions": [subscription] }));
        made.expect(201)["token"].as_str().unwrap().to_owned()
    };
    let (own, other) = (make("own", SUBSCRIPTION), make("other", "elsewhere"));
    service.call("PUT", &job("job-1"), import(&["A"])).expect(201);
    let station = token_of(&service, "hall-a");
    Scene { service, own, other, station }
}

#[test]
fn every_operation_of_the_api_answers_those_it_is_for() {
    let bench = Workbench::new();
    let Scene { service, own, other, station } = scene(&bench);
    let document = service.call("GET", "/openapi.json", Value::Null).expect(200);
    let mut operations = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let route = (method.to_uppercase(), path.clone());
            operations.insert(operation["operationId"].as_str().unwrap().to_owned(), route);
        }
    }
    assert_eq!(operations.keys().cloned().collect::<BTreeSet<_>>(), names(API), "the document and the table differ");
    let ask = |(method, path): &(String, String), token: &str| {
        let path = format!("{}?api-version=2021-01-01", filled(path));
        let bearer = format!("Bearer {token}");
        let headers: &[(&str, &str)] = if token.is_empty() { &[] } else { &[("authorization", &bearer)] };
        service.status_of(method, &path, "{}", headers).0
    };
    let is_denied = |status: u16| matches!(status, 401 | 403);
    // Those who may not ask come first: nothing of this may have been done by then.
    for (operation, route) in &operations {
        let audience = row(API, operation);
        let (anonymous, guess, foreign) = (ask(route, ""), ask(route, "dat_guess"), ask(route, &other));
        let wrong = (anonymous, guess, foreign, ask(route, &own));
        match audience {
            Anonymous => assert!(!is_denied(anonymous) && !is_denied(guess), "{operation}: {wrong:?}"),
            _ => {
                // Too many guesses are told so.
                assert!(matches!(anonymous, 401 | 429) && matches!(guess, 401 | 429), "{operation}: {wrong:?}");
                let denied_to_other = matches!(audience, Owner | Operators | Stations);
                assert_eq!(foreign == 403, denied_to_other, "{operation}: {wrong:?}");
                let denied_to_own = matches!(audience, Operators | Stations);
                assert!(denied_to_own || operation == "Jobs_Delete" || !is_denied(wrong.3), "{operation}: {wrong:?}");
                assert_eq!(wrong.3 == 403, denied_to_own, "{operation}: {wrong:?}");
                let to_station = ask(route, &station);
                assert_eq!(to_station == 403, matches!(audience, Owner | Operators), "{operation}: {to_station}");
            }
        }
        if operation == "Jobs_Delete" {
            service.call("PUT", &job("job-1"), import(&["A"]));
        }
    }
    for (operation, route) in &operations {
        let status = ask(route, &service.token);
        assert_eq!(is_denied(status), row(API, operation) == Stations, "{operation}: {status}");
        assert!(!matches!(status, 405 | 429), "{operation}: {status}");
    }
}

/// Methods and paths in the source of the portal's router.
fn portal_routes() -> BTreeSet<String> {
    let source = include_str!("../../agent/service/src/portal/router.rs");
    let source = source.replace("login::SIGN_IN_RETURN", "\"/portal/login/entra/done\"");
    let mut routes = BTreeSet::new();
    for line in source.lines().map(str::trim).filter(|line| line.starts_with(".route(")) {
        let path = line.split('"').nth(1).unwrap_or_else(|| panic!("no path in {line}"));
        for (method, call) in [("GET", "get("), ("POST", "post(")] {
            if line.contains(&format!(" {call}")) || line.contains(&format!(".{call}")) {
                routes.insert(format!("{method} {path}"));
            }
        }
    }
    assert_eq!(source.matches(".route(").count(), source.lines().filter(|line| line.trim().starts_with(".route(")).count());
    routes
}

#[test]
fn every_page_of_the_portal_is_shown_to_those_it_is_for() {
    let bench = Workbench::new();
    let Scene { service, own, other, .. } = scene(&bench);
    let routes = portal_routes();
    assert_eq!(routes, names(PORTAL), "the router and the table differ");
    let log_in = |token: &str| service.session_cookie(token);
    let csrf_of = |cookie: &str| {
        let page = service.try_call("", "GET", "/portal/new", Value::Null, &[("cookie", cookie)]).unwrap().body;
        let page = page.as_str().unwrap();
        page.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let ask = |route: &str, cookie: &str| {
        let (method, path) = route.split_once(' ').unwrap();
        let form = if cookie.is_empty() || method == "GET" { String::new() } else { format!("csrf={}", csrf_of(cookie)) };
        let headers: &[(&str, &str)] = if cookie.is_empty() { &[] } else { &[("cookie", cookie)] };
        service.status_of(method, &filled(path), &form, headers)
    };
    let (own, other, operator) = (log_in(&own), log_in(&other), log_in(&service.token));
    let to_login = |answer: &(u16, String)| answer.0 == 303 && answer.1 == "/portal/login";
    // Logging out ends the session: its turn is last.
    let (last, routes): (Vec<&String>, Vec<&String>) = routes.iter().partition(|route| route.ends_with("/logout"));
    for route in routes.into_iter().chain(last) {
        let (anonymous, guess) = (
            ask(route, ""),
            service.status_of(
                route.split_once(' ').unwrap().0,
                &filled(route.split_once(' ').unwrap().1),
                "",
                &[("cookie", "drive-agent-session=guess")],
            ),
        );
        let (foreign, customer, all) = (ask(route, &other), ask(route, &own), ask(route, &operator));
        let told = format!("{route}: {anonymous:?} {guess:?} {foreign:?} {customer:?} {all:?}");
        let audience = row(PORTAL, route);
        assert_eq!(to_login(&anonymous), audience != Anonymous, "{told}");
        if audience != Anonymous {
            assert!(to_login(&guess) || guess.0 == 429, "{told}");
        }
        let is_shown = |answer: &(u16, String)| !matches!(answer.0, 403 | 405 | 429 | 500..) && !to_login(answer);
        match audience {
            Anonymous => {}
            Known if route.ends_with("/logout") => {}
            Known => assert!(is_shown(&foreign) && is_shown(&customer) && is_shown(&all), "{told}"),
            // Jobs of others are not there.
            Owner => assert!(foreign.0 == 404 && is_shown(&customer) && is_shown(&all), "{told}"),
            Operators => assert!(matches!(foreign.0, 403 | 404) && customer.0 == 403 && is_shown(&all), "{told}"),
            Stations => panic!("{told}: no page is for a station"),
        }
    }
}
