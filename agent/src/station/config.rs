//! The configuration of `serve`: what is written, and what it means. Every key is described in `agent/manual/configuration.md`.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use blob::AccountAddress;
use blob::azure::{Environment, Issuers, Network, Proxies, SILENCE_MAX, TrustedHost};
use drive::Pace;
use protocol::arm::Address;
use protocol::station_rate::{RateCap, RateSchedule, RateWindow};
use protocol::units::{ByteRate, ByteSize, parse_duration};
use serde::{Deserialize, Deserializer};
use service::entra::EntraSettings;
use service::jobs::{Location, ReachableAccount};
use service::store::{ADDRESS_EXAMPLE, DatabaseAddress, JOBS_PER_SUBSCRIPTION};
use time::Weekday;

use super::accounts::credentials;
use crate::cli::{Unreadable, VerifyMode, parse_time_scale};

/// Fewest connections: unauthenticated clients, customers and operators each have a part of them.
const CONNECTIONS_MIN: usize = 16;

/// The file, as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    /// Where requests are taken.
    pub(crate) listen: SocketAddr,
    /// What customers call the service; links in answers begin with it.
    pub(crate) public_url: Option<String>,
    /// Database, keys, journals, and the first operator's token.
    pub(crate) state_dir: Option<PathBuf>,
    /// Where jobs are kept; a file in the state directory, where it is absent. With a password it is a secret.
    #[serde(deserialize_with = "optional")]
    pub(crate) database: Option<DatabaseAddress>,
    /// Take requests in the clear on an address that others reach.
    pub(crate) allow_plaintext: bool,
    /// Certificates and key, in PEM.
    pub(crate) tls: Option<Tls>,
    /// Folders from which images and profiles may be docked by hand.
    pub(crate) drive_folders: Option<Vec<PathBuf>>,
    /// Whether profiles of simulated drives are taken.
    pub(crate) profiles: bool,
    /// A list of serial numbers that are no drive's, in place of the one in `/etc/drive-agent`.
    pub(crate) weak_serials: Option<PathBuf>,
    /// The container that drives are imported into.
    pub(crate) import_container: String,
    /// Requests that a token's bearer may send in a second.
    pub(crate) requests_per_second: NonZeroU32,
    /// Jobs that one subscription may have.
    pub(crate) jobs_per_subscription: NonZeroU32,
    /// Connections open at once.
    pub(crate) connections: usize,
    /// A file with a number of seconds that are added to the clock: for drills of the retention.
    pub(crate) clock_offset_file: Option<PathBuf>,
    /// What all bays share.
    pub(crate) budget: Budget,
    /// How drives are copied.
    pub(crate) transfer: Transfer,
    /// Storage accounts.
    pub(crate) account: Vec<Account>,
    /// Bays.
    pub(crate) bay: Vec<Bay>,
    /// Datacenters that drives are sent to.
    pub(crate) location: Vec<Place>,
    /// Tokens of Entra ID.
    pub(crate) entra: Option<EntraSettings>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Tls {
    pub(crate) certificates: PathBuf,
    pub(crate) key: PathBuf,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Budget {
    /// All buffers of all copies.
    #[serde(deserialize_with = "optional")]
    pub(crate) memory: Option<ByteSize>,
    /// Chunks hashed at once.
    pub(crate) hash_threads: Option<usize>,
    /// Bytes a second of all copies together, at times that the schedule has nothing for.
    #[serde(deserialize_with = "optional")]
    pub(crate) rate: Option<ByteRate>,
    /// Parts of the week with rates of their own, in UTC. Where several have a time, the first counts.
    pub(crate) schedule: Vec<RateTimes>,
}

/// A part of the week with a rate of its own.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RateTimes {
    /// All days, where it is absent.
    #[serde(default = "all_days")]
    pub(crate) days: Vec<Day>,
    pub(crate) from: String,
    /// Where it is earlier than `from`, it is on the day after.
    pub(crate) to: String,
    pub(crate) rate: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl From<Day> for Weekday {
    fn from(day: Day) -> Self {
        match day {
            Day::Mon => Weekday::Monday,
            Day::Tue => Weekday::Tuesday,
            Day::Wed => Weekday::Wednesday,
            Day::Thu => Weekday::Thursday,
            Day::Fri => Weekday::Friday,
            Day::Sat => Weekday::Saturday,
            Day::Sun => Weekday::Sunday,
        }
    }
}

fn all_days() -> Vec<Day> {
    vec![Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun]
}

impl Budget {
    /// The rates of the week.
    ///
    /// # Errors
    /// With one sentence, where a part of it cannot be used.
    pub(crate) fn rates(&self) -> Result<RateSchedule, String> {
        let windows = self.schedule.iter().enumerate().map(|(index, times)| {
            let wrong = |why: String| format!("number {} of `budget.schedule`: {why}", index + 1);
            let (from, to) = (times.from.parse().map_err(wrong)?, times.to.parse().map_err(wrong)?);
            let days = times.days.iter().map(|day| Weekday::from(*day)).collect();
            RateWindow::new(days, from, to, times.rate.parse().map_err(wrong)?).map_err(wrong)
        });
        Ok(RateSchedule { windows: windows.collect::<Result<_, String>>()?, otherwise: RateCap(self.rate) })
    }
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Transfer {
    #[serde(deserialize_with = "optional")]
    pub(crate) chunk_size: Option<ByteSize>,
    pub(crate) on_unreadable: Option<Unreadable>,
    #[serde(deserialize_with = "optional")]
    pub(crate) max_unreadable: Option<ByteSize>,
    pub(crate) retry_passes: Option<u32>,
    pub(crate) verify: Option<VerifyMode>,
    #[serde(deserialize_with = "duration")]
    pub(crate) drain_timeout: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub(crate) read_timeout: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub(crate) request_timeout: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub(crate) retry_budget: Option<Duration>,
    /// The proxy that leads to the accounts, or `none`: with a password it is a secret.
    pub(crate) proxy: Option<String>,
    /// Certificates of issuers that are trusted beside the system's.
    pub(crate) ca: Option<PathBuf>,
    /// The time of simulated drives.
    #[serde(deserialize_with = "time_scale")]
    pub(crate) time_scale: Option<Pace>,
}

impl std::fmt::Debug for Transfer {
    /// Without the address of the proxy, which may be a secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Transfer").finish_non_exhaustive()
    }
}

impl Transfer {
    /// How the accounts are reached.
    ///
    /// # Errors
    /// With one sentence that has no secret in it.
    pub(crate) fn network(&self) -> Result<Network, String> {
        let proxies = Proxies::from_process(self.proxy.as_deref(), "`transfer.proxy`").map_err(|error| error.to_string())?;
        let issuers = self.ca.as_deref().map(Issuers::read).transpose().map_err(|error| format!("`transfer.ca`: {error}"))?;
        let silence_max = self.request_timeout.unwrap_or(SILENCE_MAX);
        Ok(Network { silence_max, proxies, issuers: issuers.unwrap_or_default() })
    }
}

#[derive(Clone, Deserialize)]
pub(crate) struct Account {
    pub(crate) name: String,
    /// A path, `file://…`, or the address of an Azure account: with a SAS it is a secret.
    pub(crate) store: String,
    /// A file with AZURE_STORAGE_… lines; the environment, where it is absent.
    pub(crate) credentials: Option<PathBuf>,
    /// Other hosts than Azure's own that may be given the credentials.
    #[serde(default, deserialize_with = "hosts")]
    pub(crate) trust_host: Vec<TrustedHost>,
    /// The subscriptions whose jobs may use it; all, where it is empty.
    #[serde(default)]
    pub(crate) subscriptions: Vec<String>,
    /// What the addresses of its blobs begin with for customers.
    pub(crate) public_url: Option<String>,
}

impl std::fmt::Debug for Account {
    /// Without the address, which may be a secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Account").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Bay {
    pub(crate) name: String,
    /// A device that is watched, an image, or a profile; docked by hand, where it is absent.
    pub(crate) drive: Option<PathBuf>,
    /// What jobs call the drive that is in it, where that is not its serial number.
    pub(crate) drive_id: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) recipient: String,
    pub(crate) street: String,
    pub(crate) city: String,
    pub(crate) state: String,
    pub(crate) postal_code: String,
    pub(crate) country: String,
    pub(crate) phone: String,
    pub(crate) additional_information: Option<String>,
    pub(crate) carriers: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        let bay = |name: &str| Bay { name: name.to_owned(), drive: None, drive_id: None };
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 7070)),
            public_url: None,
            state_dir: None,
            database: None,
            allow_plaintext: false,
            tls: None,
            drive_folders: None,
            profiles: false,
            weak_serials: None,
            import_container: "imports".to_owned(),
            requests_per_second: NonZeroU32::MIN.saturating_add(99),
            jobs_per_subscription: NonZeroU32::MIN.saturating_add(JOBS_PER_SUBSCRIPTION - 1),
            connections: 512,
            clock_offset_file: None,
            budget: Budget::default(),
            transfer: Transfer::default(),
            account: Vec::new(),
            bay: vec![bay("bay-1"), bay("bay-2")],
            location: Vec::new(),
            entra: None,
        }
    }
}

fn parsed<T: FromStr<Err: std::fmt::Display>, E: serde::de::Error>(text: &str) -> Result<T, E> {
    text.parse().map_err(E::custom)
}

fn optional<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: FromStr<Err: std::fmt::Display>,
    D: Deserializer<'de>,
{
    parsed(&String::deserialize(deserializer)?).map(Some)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map(Some).map_err(serde::de::Error::custom)
}

fn hosts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<TrustedHost>, D::Error> {
    Vec::<String>::deserialize(deserializer)?.iter().map(|text| parsed(text)).collect()
}

fn time_scale<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Pace>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Scale {
        Text(String),
        Number(f64),
    }
    let text = match Scale::deserialize(deserializer)? {
        Scale::Text(text) => text,
        Scale::Number(number) => number.to_string(),
    };
    parse_time_scale(&text).map(Some).map_err(serde::de::Error::custom)
}

/// What is said of a value, without the value where a SAS or the password of a database may be in it: it may stand where
/// something else is expected.
fn without_signature(message: &str) -> String {
    let told = message.replace(ADDRESS_EXAMPLE, "");
    if told.contains('@') && (told.contains("postgres://") || told.contains("postgresql://")) {
        return "what stands here may have a password, and is not shown: it belongs into `database`".to_owned();
    }
    if !message.contains("sig=") {
        return message.to_owned();
    }
    match message.rsplit_once("expected ").filter(|(_, expected)| !expected.contains("sig=")) {
        Some((_, expected)) => format!("what stands here has a SAS, and is not shown; expected {expected}"),
        None => "what stands here has a SAS, and is not shown: it belongs into `store` of an account".to_owned(),
    }
}

impl Config {
    /// Reads a file; the second value names the keys that mean nothing.
    ///
    /// # Errors
    /// With one sentence, where it cannot be used.
    pub(crate) fn read(path: &Path) -> Result<(Self, Vec<String>), String> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| format!("`{shown}` cannot be read: {error}"))?;
        Self::parse(&text).map_err(|error| format!("`{shown}`: {error}"))
    }

    /// Understands the text of a file.
    pub(crate) fn parse(text: &str) -> Result<(Self, Vec<String>), String> {
        let mut unknown = Vec::new();
        let config: Config = toml::Deserializer::parse(text)
            .and_then(|document| serde_ignored::deserialize(document, |key| unknown.push(key.to_string())))
            // The place and what was expected; never the line, which may hold a SAS.
            .map_err(|error| format!("{}{}", line_of(text, error.span()), without_signature(error.message())))?;
        let mut unknown: Vec<String> = unknown.iter().map(|key| without_signature(key)).collect();
        unknown.sort();
        config.check().map_err(|error| without_signature(&error))?;
        Ok((config, unknown))
    }

    fn check(&self) -> Result<(), String> {
        for (what, names) in [
            ("account", self.account.iter().map(|one| one.name.to_lowercase()).collect::<Vec<_>>()),
            ("bay", self.bay.iter().map(|one| one.name.clone()).collect()),
            ("location", self.location.iter().map(|one| one.name.clone()).collect()),
        ] {
            let mut seen = std::collections::HashSet::new();
            for name in names {
                let is_plain = !name.trim().is_empty() && !name.contains('/') && name.chars().all(protocol::text::is_displayed);
                if !is_plain {
                    return Err(format!("`{name}` cannot be the name of a {what}"));
                }
                if !seen.insert(name.clone()) {
                    return Err(format!("there are two of the {what} `{name}`"));
                }
            }
        }
        let mut paths = std::collections::HashSet::new();
        for path in self.bay.iter().filter_map(|bay| bay.drive.as_ref()) {
            if !paths.insert(path) {
                return Err(format!("two bays have the drive `{}`", path.display()));
            }
        }
        if let Some(id) = self.bay.iter().filter_map(|bay| bay.drive_id.as_deref()).find(|id| !protocol::arm::is_drive_id(id)) {
            return Err(format!("`{id}` cannot be the name of a drive: letters, digits and `-_.+:=`"));
        }
        let is_profile = |bay: &&Bay| {
            bay.drive.as_ref().is_some_and(|path| path.extension().is_some_and(|end| end.eq_ignore_ascii_case("toml")))
        };
        if let Some(bay) = self.bay.iter().find(is_profile).filter(|_| !self.profiles) {
            let name = &bay.name;
            return Err(format!("the bay `{name}` has a profile of a simulated drive: say `profiles = true` to take them"));
        }
        let is_named_port =
            |bay: &&Bay| bay.drive_id.is_some() && bay.drive.as_ref().is_some_and(|path| path.starts_with("/dev"));
        if let Some(bay) = self.bay.iter().find(is_named_port) {
            let name = &bay.name;
            return Err(format!("the bay `{name}` has a `drive_id`, and every drive that is docked there would be called so"));
        }
        let is_used = self.transfer.on_unreadable == Some(Unreadable::Rescue);
        if !is_used && (self.transfer.max_unreadable.is_some() || self.transfer.retry_passes.is_some()) {
            return Err("`max_unreadable` and `retry_passes` are for `on_unreadable = \"rescue\"`".to_owned());
        }
        self.budget.rates()?;
        if self.connections < CONNECTIONS_MIN {
            return Err(format!("`connections` is at least {CONNECTIONS_MIN}"));
        }
        Ok(())
    }

    /// The accounts: those of the file, or one in a directory below `state_dir`.
    pub(crate) fn accounts(&self, state_dir: &Path) -> Vec<Account> {
        if !self.account.is_empty() {
            return self.account.clone();
        }
        let store = state_dir.join("blobs").display().to_string();
        vec![Account {
            name: "local".to_owned(),
            store,
            credentials: None,
            trust_host: Vec::new(),
            subscriptions: Vec::new(),
            public_url: None,
        }]
    }

    /// The datacenters: those of the file, or this station.
    pub(crate) fn locations(&self) -> Vec<Location> {
        let address = |place: &Place| Address {
            recipient_name: place.recipient.clone(),
            street_address1: place.street.clone(),
            city: place.city.clone(),
            state_or_province: place.state.clone(),
            postal_code: place.postal_code.clone(),
            country_or_region: place.country.clone(),
            phone: place.phone.clone(),
            additional_information: place.additional_information.clone(),
            ..Address::default()
        };
        let here = [Place { name: "This station".to_owned(), recipient: "This station".to_owned(), ..Place::default() }];
        let places = if self.location.is_empty() { &here[..] } else { &self.location };
        places
            .iter()
            .map(|place| Location { name: place.name.clone(), address: address(place), carriers: place.carriers.clone() })
            .collect()
    }

    /// Whether requests would cross a network in the clear.
    pub(crate) fn is_exposed(&self) -> bool {
        !self.listen.ip().is_loopback() && self.tls.is_none()
    }
}

/// `line 3: `, where it is known.
fn line_of(text: &str, span: Option<std::ops::Range<usize>>) -> String {
    let before = span.and_then(|span| text.get(..span.start));
    before.map_or_else(String::new, |before| format!("line {}: ", before.matches('\n').count() + 1))
}

impl Account {
    /// The account for the API.
    pub(crate) fn reachable(&self) -> ReachableAccount {
        ReachableAccount { name: self.name.clone(), subscriptions: self.subscriptions.clone() }
    }

    /// Prepares to reach it.
    ///
    /// # Errors
    /// With one sentence that has no secret in it.
    pub(crate) fn reach(&self, network: &Network) -> Result<std::sync::Arc<dyn blob::Account>, String> {
        let named = |error: String| format!("account `{}`: {error}", self.name);
        let environment = match &self.credentials {
            None => Environment::from_process(),
            Some(path) => credentials(path).map_err(named)?,
        };
        let environment = environment.trusting(&self.trust_host);
        let address = AccountAddress::parse_for(&self.store, &environment).map_err(|error| named(error.to_string()))?;
        address.reach(&environment, network).map_err(|error| {
            let way_out = error.untrusted_host().map(|host| format!(" with `trust_host = [\"{host}\"]` in its configuration"));
            named(format!("{error}{}", way_out.unwrap_or_default()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Config, Vec<String>), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("station.toml");
        std::fs::write(&path, text).unwrap();
        Config::read(&path)
    }

    #[test]
    fn nothing_is_a_configuration() {
        let (config, unknown) = read("").unwrap();
        assert_eq!((config.listen.to_string().as_str(), config.bay.len(), unknown.len()), ("127.0.0.1:7070", 2, 0));
        let accounts = config.accounts(Path::new("/state"));
        assert_eq!((accounts[0].name.as_str(), accounts[0].store.as_str()), ("local", "/state/blobs"));
        assert!(!config.is_exposed());
    }

    #[test]
    fn every_key_is_understood_and_others_are_named() {
        let (config, unknown) = read(
            r#"
            listen = "0.0.0.0:7070"
            colour = "blue"
            [budget]
            memory = "1GiB"
            rate = "200MB/s"
            [transfer]
            on_unreadable = "rescue"
            max_unreadable = "1MiB"
            drain_timeout = "5s"
            time_scale = 10
            [[account]]
            name = "acme"
            store = "file:///srv/blobs/acme"
            subscriptions = ["s-1"]
            [[bay]]
            name = "bay-1"
            size = 3
            "#,
        )
        .unwrap();
        assert_eq!(unknown, ["bay.0.size", "colour"]);
        assert_eq!((config.budget.memory, config.bay.len()), (Some(ByteSize(1 << 30)), 1));
        assert_eq!(config.transfer.drain_timeout, Some(Duration::from_secs(5)));
        assert!(config.is_exposed());
    }

    #[test]
    fn what_is_wrong_is_told_without_secrets() {
        for (text, words) in [
            ("listen = 7", "line 1: "),
            ("[[bay]]\nname = \"a\"\n[[bay]]\nname = \"a\"", "two of the bay `a`"),
            ("[[bay]]\nname = \"a/b\"", "cannot be the name of a bay"),
            ("[[bay]]\nname = \"a\"\ndrive = \"/x\"\n[[bay]]\nname = \"b\"\ndrive = \"/x\"", "two bays have the drive"),
            ("[budget]\nmemory = \"much\"", "line 2: "),
            ("[transfer]\nmax_unreadable = \"1MiB\"", "on_unreadable"),
            ("requests_per_second = 0", "line 1: "),
            ("[[budget.schedule]]\nfrom = \"8:00\"\nto = \"18:00\"\nrate = \"1MB/s\"", "HH:MM"),
            ("[[budget.schedule]]\nfrom = \"08:00\"\nto = \"08:00\"\nrate = \"1MB/s\"", "no time between"),
            ("[[budget.schedule]]\nfrom = \"08:00\"\nto = \"18:00\"\nrate = \"fast\"", "`fast`"),
            ("[[budget.schedule]]\ndays = [\"monday\"]\nfrom = \"08:00\"\nto = \"18:00\"\nrate = \"1MB/s\"", "line 2: "),
            ("[[budget.schedule]]\ndays = []\nfrom = \"08:00\"\nto = \"18:00\"\nrate = \"1MB/s\"", "no days"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        for text in [
            "[[account]]\nname = 7\nstore = \"https://a.blob.core.windows.net?sig=SECRET\"",
            "account = \"https://a.blob.core.windows.net?sig=SECRET\"",
            "[[account]]\nname = \"https://a.blob.core.windows.net?sig=SECRET\"\nstore = \"/x\"",
            "listen = \"https://a.blob.core.windows.net?sig=SECRET\"",
        ] {
            let error = read(text).unwrap_err();
            assert!(!error.contains("SECRET"), "{error}");
        }
    }
}
