//! The configuration as operators are shown it: what was read, without anything that may be a secret.

use super::{Account, Config};

impl Config {
    /// What is set, by the names of the keys. Addresses of accounts, webhooks and proxies may be secrets, and are left out.
    pub(crate) fn shown(&self) -> Vec<(&'static str, String)> {
        let list = |values: Vec<String>| Some(values.join(", ")).filter(|text| !text.is_empty());
        let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let account = |account: &Account| match account.subscriptions.as_slice() {
            [] => format!("{} (of all)", account.name),
            subscriptions => format!("{} (of {})", account.name, subscriptions.join(", ")),
        };
        let seconds = |span: &Option<std::time::Duration>| span.map(|span| format!("{} s", span.as_secs_f64()));
        let shown = [
            ("listen", Some(self.listen.to_string())),
            ("public_url", self.public_url.clone()),
            ("state_dir", path(&self.state_dir)),
            ("database", self.database.as_ref().map(ToString::to_string)),
            ("tls.certificates", self.tls.as_ref().map(|tls| tls.certificates.display().to_string())),
            (
                "drive_folders",
                self.drive_folders
                    .as_ref()
                    .map(|all| all.iter().map(|one| one.display().to_string()).collect::<Vec<_>>().join(", ")),
            ),
            ("profiles", self.profiles.then(|| "true".to_owned())),
            ("import_container", Some(self.import_container.clone())),
            ("station_lease", Some(format!("{} s", self.station_lease().as_secs()))),
            ("requests_per_second", Some(self.requests_per_second.to_string())),
            ("jobs_per_subscription", Some(self.jobs_per_subscription.to_string())),
            ("connections", Some(self.connections.to_string())),
            ("clock_offset_file", path(&self.clock_offset_file)),
            ("budget.memory", self.budget.memory.map(|size| size.to_string())),
            ("budget.hash_threads", self.budget.hash_threads.map(|threads| threads.to_string())),
            ("budget.rate", self.budget.rate.map(|rate| rate.to_string())),
            ("transfer.chunk_size", self.transfer.chunk_size.map(|size| size.to_string())),
            ("transfer.drain_timeout", seconds(&self.transfer.drain_timeout)),
            ("transfer.read_timeout", seconds(&self.transfer.read_timeout)),
            ("transfer.request_timeout", seconds(&self.transfer.request_timeout)),
            ("transfer.retry_budget", seconds(&self.transfer.retry_budget)),
            ("account", list(self.account.iter().map(account).collect())),
            ("bay", list(self.bay.iter().map(|bay| bay.name.clone()).collect())),
            ("entra.issuer", self.entra.as_ref().map(|entra| entra.issuer.clone())),
            ("notify", list(self.notify.iter().map(|one| one.name.clone()).collect())),
            ("smtp.server", self.smtp.as_ref().map(|smtp| smtp.server.clone())),
        ];
        shown.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_may_be_a_secret_is_shown() {
        let text = r#"
            database = "postgres://me:SECRET@localhost/jobs"
            profiles = true
            [transfer]
            proxy = "http://me:SECRET@proxy:3128"
            drain_timeout = "2s"
            [[account]]
            name = "acme"
            store = "https://acme.blob.core.windows.net?sig=SECRET"
            subscriptions = ["s-1"]
            [[notify]]
            name = "hook"
            webhook = "https://hooks.example.com/SECRET"
            [smtp]
            server = "mail.example.com"
            user = "SECRET"
            password_file = "/SECRET"
            from = "a@example.com"
        "#;
        let shown = Config::parse(text).unwrap().0.shown();
        assert!(shown.iter().all(|(_, value)| !value.contains("SECRET")), "{shown:?}");
        for (key, value) in [
            ("account", "acme (of s-1)"),
            ("transfer.drain_timeout", "2 s"),
            ("notify", "hook"),
            ("smtp.server", "mail.example.com"),
        ] {
            assert!(shown.contains(&(key, value.to_owned())), "{key}: {shown:?}");
        }
        assert!(shown.iter().any(|(key, value)| *key == "database" && value.contains("localhost/jobs")), "{shown:?}");
    }
}
