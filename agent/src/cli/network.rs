//! How the command line says that a store is reached.

use std::path::PathBuf;

use blob::http::TrustedHost;
use clap::Args;

use super::help::STORE;

/// How a store across a network is reached.
#[derive(Debug, Args)]
pub(crate) struct NetworkArguments {
    /// Another host that may be given the credentials of the environment, as HOST or HOST:PORT; as often as you like
    /// [DRIVE_AGENT_TRUST_HOST: more of them, with commas; default: Azure's own hosts, and the connection string's endpoint]
    #[arg(long, value_name = "HOST", global = true, help_heading = STORE, hide_short_help = true)]
    pub(crate) trust_host: Vec<TrustedHost>,
    /// The server of `s3://BUCKET/KEY`, as https://HOST[:PORT] [default: that of AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, or
    /// AWS]
    #[arg(long, value_name = "URL", global = true, help_heading = STORE, hide_short_help = true)]
    pub(crate) s3_endpoint: Option<String>,
    /// The server of `gs://BUCKET/NAME`, as https://HOST[:PORT] [default: that of STORAGE_EMULATOR_HOST, or Google's]
    #[arg(long, value_name = "URL", global = true, help_heading = STORE, hide_short_help = true)]
    pub(crate) gcs_endpoint: Option<String>,
    /// The proxy that leads to the store, as http://HOST:PORT, or `none` [default: that of HTTPS_PROXY, HTTP_PROXY or
    /// ALL_PROXY, but for the hosts in NO_PROXY]. A command line can be read by other users: a password belongs into the
    /// variable
    #[arg(long, value_name = "URL|none", global = true, help_heading = STORE, hide_short_help = true)]
    pub(crate) proxy: Option<String>,
    /// A file of certificates (PEM) whose issuers are trusted beside the system's
    #[arg(long, value_name = "FILE", global = true, help_heading = STORE, hide_short_help = true)]
    pub(crate) ca: Option<PathBuf>,
}
