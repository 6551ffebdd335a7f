//! The configuration of `serve`: what is written, and what it means. Every key is described in `agent/manual/configuration.md`.
//!
//! | file | responsibility |
//! |---|---|
//! | here | the file as a whole, bays and places |
//! | [`account`], [`budget`], [`transfer`] | its tables |
//! | [`values`] | values of keys, and how they are read |
//! | [`mistake`] | what is wrong with it |
//! | `shown` | what operators are shown of it |

mod account;
mod budget;
mod mistake;
mod shown;
mod transfer;
mod values;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::arm::Address;
use serde::Deserialize;
use service::entra::EntraSettings;
use service::jobs::Location;
use service::notify::settings::{NotifySettings, SmtpSettings};
use service::store::{DatabaseAddress, JOBS_PER_SUBSCRIPTION};

pub(crate) use self::account::Account;
pub(crate) use self::budget::Budget;
use self::mistake::{line_of, without_signature};
pub(crate) use self::transfer::Transfer;
use self::values::{duration, optional};
use crate::cli::Unreadable;

/// Fewest connections: unauthenticated clients, customers and operators each have a part of them.
const CONNECTIONS_MIN: usize = 16;

/// Shortest time that grants last: within it stations call several times.
const STATION_LEASE_MIN: Duration = Duration::from_secs(10);

/// Longest time: for so long a drive is blocked whose station was lost.
const STATION_LEASE_MAX: Duration = Duration::from_secs(3600);

/// How long grants last where nothing else is said: a station has twice the usual `drain_timeout` of its copies to stop in.
const STATION_LEASE: Duration = Duration::from_secs(90);

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
    /// Where other services of the same database reach this one; where it listens, where it is absent.
    pub(crate) replica_url: Option<String>,
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
    /// Requests that may be sent with one token in a second.
    pub(crate) requests_per_second: NonZeroU32,
    /// Jobs that one subscription may have.
    pub(crate) jobs_per_subscription: NonZeroU32,
    /// Connections open at once.
    pub(crate) connections: usize,
    /// How long a station may copy after the service answered it.
    #[serde(deserialize_with = "duration")]
    pub(crate) station_lease: Option<Duration>,
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
    /// Who is told when jobs come to a state.
    pub(crate) notify: Vec<NotifySettings>,
    /// The server that mail is sent by.
    pub(crate) smtp: Option<SmtpSettings>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Tls {
    pub(crate) certificates: PathBuf,
    pub(crate) key: PathBuf,
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
            replica_url: None,
            allow_plaintext: false,
            tls: None,
            drive_folders: None,
            profiles: false,
            weak_serials: None,
            import_container: "imports".to_owned(),
            requests_per_second: NonZeroU32::MIN.saturating_add(99),
            jobs_per_subscription: NonZeroU32::MIN.saturating_add(JOBS_PER_SUBSCRIPTION - 1),
            connections: 512,
            station_lease: None,
            clock_offset_file: None,
            budget: Budget::default(),
            transfer: Transfer::default(),
            account: Vec::new(),
            bay: vec![bay("bay-1"), bay("bay-2")],
            location: Vec::new(),
            entra: None,
            notify: Vec::new(),
            smtp: None,
        }
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
        for account in &self.account {
            account.check_staging(&self.import_container)?;
        }
        self.budget.rates()?;
        if self.station_lease.is_some_and(|lease| !(STATION_LEASE_MIN..=STATION_LEASE_MAX).contains(&lease)) {
            let (least, most) = (STATION_LEASE_MIN.as_secs(), STATION_LEASE_MAX.as_secs());
            return Err(format!("`station_lease` is at least {least} s, and at most {most} s"));
        }
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
            staging: None,
            trust_host: Vec::new(),
            subscriptions: Vec::new(),
            public_url: None,
        }]
    }

    /// How long a station may copy after the service answered it.
    pub(crate) fn station_lease(&self) -> Duration {
        self.station_lease.unwrap_or(STATION_LEASE)
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

#[cfg(test)]
mod tests {
    use protocol::units::ByteSize;

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
    fn what_is_wrong_is_said_without_secrets() {
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
            ("[[account]]\nname = \"a\"\nstore = \"/x\"\nstaging = \"/y\"", "not a place for pieces"),
            (
                "import_container = \"in\"\n[[account]]\nname = \"a\"\nstore = \"gs://\"\nstaging = \"gs://other/x\"",
                "gs://in/FOLDER",
            ),
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
