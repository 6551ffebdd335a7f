//! Stores behind an HTTP proxy: what goes through it, what does not, and what is said when it does not lead there.

use crate::support::azure_fake::AzureFake;
use crate::support::azurite::{ACCOUNT, Azurite, KEY};
use crate::support::http_proxy::{HttpProxy, Lead};
use crate::support::images::{KIB, random_bytes, same_content};
use crate::support::tls_front::{Authority, TlsFront};
use crate::support::{Agent, Ended, Workbench};

const BLOB: &str = "https://store.example/account/drives/disk?sv=2022&sig=good";
const STORE: &str = "store.example:443";
const PASSWORD: &str = "S3CRETWORD";

/// A store at `store.example`, which only a proxy finds, with a certificate of an issuer in `ca.pem`.
struct Scene {
    bench: Workbench,
    fake: AzureFake,
    front: TlsFront,
}

fn scene() -> Scene {
    let (bench, fake, authority) = (Workbench::new(), AzureFake::start(), Authority::new());
    bench.image("drive.img", &random_bytes(900 * KIB, 1));
    bench.image("ca.pem", authority.pem().as_bytes());
    let front = authority.front("store.example", fake.port());
    Scene { bench, fake, front }
}

impl Scene {
    fn agent(&self, arguments: &[&str]) -> Agent {
        Agent::new(self.bench.path(), &[]).with(arguments).with(&["--ca", "ca.pem"])
    }

    fn import(&self) -> Agent {
        self.agent(&["import", "drive.img", BLOB, "--chunk-size", "64KiB"])
    }

    fn proxy(&self, decide: impl Fn(usize, &str) -> Lead + Send + Sync + 'static) -> HttpProxy {
        HttpProxy::start([(STORE, self.front.port)], decide)
    }
}

fn with_password(proxy: &HttpProxy) -> String {
    format!("http://us%40er:{PASSWORD}@{}", proxy.host())
}

#[track_caller]
fn shows_no_password(ended: &Ended) {
    for secret in [PASSWORD, "dXNAZXI6UzNDUkVUV09SRA", "sig=good"] {
        assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret), "{secret}: {}{}", ended.stdout, ended.stderr);
    }
}

#[test]
fn https_goes_through_a_tunnel_that_shows_the_proxy_nothing() {
    let scene = scene();
    let proxy = scene.proxy(|_, _| Lead::On);
    let through = |agent: Agent| agent.env("HTTPS_PROXY", &with_password(&proxy)).with(&["-vv"]).run();
    let sent = through(scene.import());
    sent.expect(0);
    let got = through(scene.agent(&["export", BLOB, "back.img"]));
    got.expect(0);
    assert!(same_content(&scene.bench.file("drive.img"), &scene.bench.file("back.img")));
    for ended in [&sent, &got] {
        shows_no_password(ended);
        assert!(ended.stderr.contains(&proxy.host()), "{}", ended.stderr);
    }
    let heads = proxy.heads();
    assert!(
        !heads.is_empty() && heads.iter().all(|head| head.starts_with("CONNECT store.example:443 HTTP/1.1\r\n")),
        "{heads:#?}"
    );
    let has_password = |head: &String| head.to_lowercase().contains("proxy-authorization: basic dxnazxi6uznduk");
    assert!(heads.iter().all(has_password), "{heads:#?}");
    assert!(!heads.iter().any(|head| head.contains("sig=") || head.contains("drives")), "{heads:#?}");
}

#[test]
fn http_is_asked_of_the_proxy_by_its_whole_address() {
    let (Some(azurite), bench) = (Azurite::start(), Workbench::new()) else { return };
    bench.image("drive.img", &random_bytes(300 * KIB, 1));
    let proxy = HttpProxy::open([("emulator:10000", azurite.port())]);
    let string = format!("AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint=http://emulator:10000/{ACCOUNT}");
    let through = |arguments: &[&str]| {
        let agent = Agent::new(bench.path(), &[]).with(arguments).env("AZURE_STORAGE_CONNECTION_STRING", &string);
        agent.env("http_proxy", &with_password(&proxy)).run()
    };
    through(&["import", "drive.img", "az://drives/disk"]).expect(0);
    through(&["export", "az://drives/disk", "back.img"]).expect(0);
    assert!(same_content(&bench.file("drive.img"), &bench.file("back.img")));
    let heads = proxy.heads();
    assert!(
        !heads.is_empty() && heads.iter().all(|head| head.contains(&format!(" http://emulator:10000/{ACCOUNT}/drives/disk")))
    );
    assert!(heads.iter().all(|head| head.to_lowercase().contains("proxy-authorization: basic")), "{heads:#?}");
    // What the proxy itself answers is not taken for the store's word.
    let refusing = HttpProxy::start([], |_, _| Lead::Refuse(403));
    let agent = Agent::new(bench.path(), &[&"export", &"az://drives/disk", &"x.img", &"--retry-budget", &"60s"]);
    let ended = agent.env("AZURE_STORAGE_CONNECTION_STRING", &string).env("HTTP_PROXY", &refusing.url()).run();
    ended.expect_error(7, &[&refusing.host(), "`emulator:10000`", "(403)"]);
    assert_eq!(refusing.heads().len(), 1, "it is final");
}

#[test]
fn the_option_and_the_exemptions_choose_the_way() {
    let (bench, fake) = (Workbench::new(), AzureFake::start());
    bench.image("drive.img", &random_bytes(KIB, 1));
    let proxy = HttpProxy::open([]);
    // Loopback is never reached through a proxy.
    let agent = |blob: &str| Agent::new(bench.path(), &[&"import", &"drive.img", &blob]).env("ALL_PROXY", &proxy.url());
    agent(&fake.blob("one")).with(&["--proxy", &proxy.url()]).run().expect(0);
    let refused = |agent: Agent| {
        // No name of this kind is ever found.
        let ended = agent.with(&["--retry-budget", "1ms"]).run();
        ended.expect_error(7, &["no connection to the server"]);
    };
    let away = "https://store.invalid/account/drives/one?sig=good";
    refused(agent(away).with(&["--proxy", "none"]));
    refused(agent(away).env("NO_PROXY", "other.example, .invalid"));
    refused(agent(away).env("NO_PROXY", "*").with(&["--proxy", &proxy.url()]));
    assert_eq!(proxy.heads(), Vec::<String>::new());
    agent(away).with(&["--retry-budget", "1ms"]).run().expect_error(7, &[&proxy.host(), "`store.invalid:443`", "502"]);
    assert!(!proxy.heads().is_empty());
}

#[test]
fn what_a_proxy_refuses_for_good_is_asked_once() {
    let scene = scene();
    for (status, words) in
        [(407, "NAME:PASSWORD@HOST:PORT"), (403, "does not let requests through"), (405, "look whether it is an HTTP proxy")]
    {
        let proxy = scene.proxy(move |_, _| Lead::Refuse(status));
        let ended = scene.import().with(&["--retry-budget", "60s", "--proxy", &proxy.url()]).run();
        ended.expect_error(7, &[&format!("`{}`", proxy.host()), &format!("`{STORE}`"), &format!("{status}"), words]);
        assert_eq!(proxy.heads().len(), 1, "{status}");
    }
    let proxy = scene.proxy(|_, _| Lead::Refuse(407));
    let ended = scene.import().with(&["--proxy", &with_password(&proxy)]).run();
    ended.expect_error(7, &["does not take the name and the password"]);
    shows_no_password(&ended);
}

#[test]
fn what_may_pass_is_tried_again_and_named_when_it_does_not() {
    let scene = scene();
    let passing = [Lead::Refuse(502), Lead::Refuse(503), Lead::HangUp];
    let proxy = scene.proxy(move |before, _| passing.get(before).cloned().unwrap_or(Lead::On));
    let sent = scene.import().with(&["--retry-budget", "60s"]).env("HTTPS_PROXY", &proxy.url()).run().expect(0);
    assert!(sent["retries"].as_u64() >= Some(3), "{sent}");
    let names = |ended: Ended, proxy: &str| ended.expect_error(7, &[&format!("`{proxy}`"), &format!("`{STORE}`")]);
    let once = |proxy: &str| scene.import().with(&["--retry-budget", "1ms", "--overwrite", "--proxy", proxy]);
    for lead in [Lead::HangUp, Lead::Refuse(504)] {
        let proxy = scene.proxy(move |_, _| lead.clone());
        names(once(&proxy.url()).run(), &proxy.host());
    }
    let silent = scene.proxy(|_, _| Lead::Silence);
    let ended = once(&silent.url()).with(&["--request-timeout", "1s"]).run();
    assert!(ended.stderr.contains("nothing was heard of the proxy"), "{}", ended.stderr);
    names(ended, &silent.host());
    // Nothing listens there.
    names(once("http://127.0.0.1:9").run(), "127.0.0.1:9");
    // A server of another kind.
    let smtp =
        crate::support::listener::Listener::start(|_| crate::support::listener::Reply::Bytes("220 mail ESMTP\r\n".to_owned()));
    names(once(&smtp.url()).run(), &smtp.host());
}

#[test]
fn silence_within_a_tunnel_is_noticed() {
    let scene = scene();
    let proxy = scene.proxy(|_, _| Lead::On);
    use crate::support::azure_fake::{Fault, On};
    scene.fake.always_fail(On::PutBlock, Some(Fault::Silence));
    let agent = scene.import().with(&["--retry-budget", "1ms", "--request-timeout", "1s", "--proxy", &proxy.url()]);
    agent.run().expect_error(7, &["nothing was heard of the server"]);
}

#[test]
fn what_does_not_name_a_proxy_is_refused_before_anything_is_sent() {
    let scene = scene();
    for (value, words) in [
        (format!("socks5://us:{PASSWORD}@127.0.0.1:9"), "`socks5`"),
        (format!("https://us:{PASSWORD}@127.0.0.1:9"), "`https`"),
        (format!("http://us:{PASSWORD}@127.0.0.1:9/path"), "http://HOST:PORT"),
    ] {
        let option = scene.import().with(&["--proxy", &value]).run();
        option.expect_error(2, &["`--proxy`", words]);
        let variable = scene.import().env("https_proxy", &value).run();
        variable.expect_error(7, &["https_proxy", words]);
        shows_no_password(&option);
        shows_no_password(&variable);
    }
    let config = format!("[transfer]\nproxy = \"socks5://us:{PASSWORD}@127.0.0.1:9\"\n");
    scene.bench.image("station.toml", config.as_bytes());
    let ended = Agent::bare(scene.bench.path(), &[&"serve", &"--config", &"station.toml", &"--listen", &"127.0.0.1:0"]).run();
    ended.expect_error(1, &["`transfer.proxy`", "`socks5`"]);
    shows_no_password(&ended);
    assert_eq!(scene.front.handshakes(), 0);
}

#[test]
fn a_receipt_repeats_no_password_of_a_proxy() {
    let scene = scene();
    let proxy = scene.proxy(|_, _| Lead::On);
    use crate::support::azure_fake::{Fault, On};
    scene.fake.always_fail(On::PutBlockList, Some(Fault::Answer(409, "X")));
    for option in [vec!["--proxy".to_owned(), with_password(&proxy)], vec![format!("--proxy={}", with_password(&proxy))]] {
        let arguments: Vec<&str> = option.iter().map(String::as_str).collect();
        let ended = scene.import().with(&arguments).run();
        shows_no_password(&ended);
        let resume = ended.expect(7)["receipt"]["resume"].as_str().unwrap().to_owned();
        assert!(resume.contains(&format!("http://NAME:PASSWORD@{}", proxy.host())), "{resume}");
    }
    let kept = std::process::Command::new("grep").args(["-rla", PASSWORD]).arg(scene.bench.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&kept.stdout), "");
}

#[test]
fn a_sign_in_goes_through_the_proxy_and_a_managed_identity_does_not() {
    let bench = Workbench::new();
    bench.image("drive.img", &random_bytes(KIB, 1));
    let proxy = HttpProxy::start([], |_, _| Lead::Refuse(407));
    let import = |variables: &[(&str, &str)]| {
        let blob = "https://acme.blob.core.windows.net/c/n";
        let agent = Agent::new(bench.path(), &[&"import", &"drive.img", &blob, &"--retry-budget", &"1ms"]);
        variables.iter().fold(agent, |agent, (name, value)| agent.env(name, value)).env("ALL_PROXY", &proxy.url()).run()
    };
    let tenant = [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c"), ("AZURE_CLIENT_SECRET", "s3cretofclient")];
    let ended = import(&tenant);
    ended.expect_error(7, &[&proxy.host(), "`login.microsoftonline.com:443`", "(407)"]);
    assert!(!ended.stderr.contains("s3cretofclient"));
    let heads = proxy.heads();
    assert!(heads.iter().all(|head| head.starts_with("CONNECT login.microsoftonline.com:443")) && heads.len() == 1, "{heads:#?}");
    // Nothing answers at the address of the identity here; the proxy is not asked for it.
    assert_eq!(import(&[("AZURE_CLIENT_ID", "c")]).code, Some(7));
    assert_eq!(proxy.heads().len(), 1, "{:#?}", proxy.heads());
}

#[test]
fn a_station_reaches_its_accounts_through_the_proxy_of_its_configuration() {
    let (Some(azurite), bench) = (Azurite::start(), Workbench::new()) else { return };
    let bytes = random_bytes(300 * KIB, 1);
    let drive = bench.image("DISK1.img", &bytes);
    let proxy = HttpProxy::open([("emulator:10000", azurite.port())]);
    let string = format!("AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint=http://emulator:10000/{ACCOUNT}");
    let credentials = bench.secret("credentials", format!("AZURE_STORAGE_CONNECTION_STRING={string}\n").as_bytes());
    let config = format!(
        "[transfer]\nproxy = \"{}\"\n[[account]]\nname = \"local\"\nstore = \"http://emulator:10000/{ACCOUNT}\"\ncredentials = \"{}\"\n\
         [[bay]]\nname = \"one\"\n",
        with_password(&proxy),
        credentials.display()
    );
    let mut service = crate::support::service::Service::start(&bench, &config);
    service.ship_import("job", &["DISK1"]);
    service.dock("one", &drive, None).expect(200);
    service.wait_for_state("job", "Packaging");
    let shown = service.stop();
    shows_no_password(&shown);
    assert!(!proxy.heads().is_empty() && proxy.heads().iter().all(|head| head.contains(" http://emulator:10000/")));
}
