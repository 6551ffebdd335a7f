//! The vocabulary of the tests.

pub mod agent;
pub mod azure_fake;
pub mod azurite;
pub mod bodies;
pub mod booted;
pub mod browser;
pub mod content;
pub mod fuse_drive;
pub mod gcs_fake;
pub mod hostile;
pub mod http_proxy;
pub mod images;
pub mod listener;
pub mod loop_device;
pub mod parts;
pub mod s3_fake;
pub mod seaweedfs;
pub mod service;
pub mod slow_link;
pub mod spoiled;
pub mod station;
pub mod terminal;
pub mod tls_front;
pub mod transcript;
pub mod wait;
pub mod xml_text;

pub use agent::{Agent, Ended};
pub use images::Workbench;

/// The sources: the folder of the workspace.
pub fn source_root() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
