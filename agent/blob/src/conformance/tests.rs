//! The stores of this crate that need no server.

use std::path::PathBuf;
use std::sync::Arc;

use super::{TestStore, check};
use crate::account::{Account, AccountAddress};
use crate::contract::Blob;
use crate::directory::DirectoryBlob;
use crate::environment::Environment;
use crate::memory::MemoryBlob;

impl TestStore for MemoryBlob {
    fn blob(&self, name: &str) -> Arc<dyn Blob> {
        self.sibling(name)
    }

    fn in_missing_container(&self) -> Option<Arc<dyn Blob>> {
        None
    }

    fn account(&self) -> Option<(Arc<dyn Account>, String)> {
        None
    }
}

struct Directory {
    root: PathBuf,
}

impl Directory {
    fn at(&self, container: &str, name: &str) -> Arc<dyn Blob> {
        Arc::new(DirectoryBlob::new(&self.root.join(container).join(name)).unwrap())
    }
}

impl TestStore for Directory {
    fn blob(&self, name: &str) -> Arc<dyn Blob> {
        self.at("drives", name)
    }

    fn in_missing_container(&self) -> Option<Arc<dyn Blob>> {
        Some(self.at("missing", "blob"))
    }

    fn account(&self) -> Option<(Arc<dyn Account>, String)> {
        let account = AccountAddress::Directory(self.root.clone())
            .reach(&Environment::default(), &crate::http::Network::direct(crate::http::SILENCE_MAX))
            .unwrap();
        Some((account, "drives".to_owned()))
    }
}

#[tokio::test]
async fn memory_conforms() {
    check(&MemoryBlob::new("")).await;
}

#[tokio::test]
async fn a_directory_conforms() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("drives")).unwrap();
    check(&Directory { root: folder.path().to_owned() }).await;
}
