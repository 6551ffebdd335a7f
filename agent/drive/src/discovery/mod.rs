//! What is attached, and when does that change?
//!
//! | file | responsibility |
//! |---|---|
//! | `attached` | every drive: which one it is, what is on it, what uses it |
//! | `sysfs` | what the kernel knows of a block device |
//! | `uses` | mounts in any namespace, swap, and devices built on it |
//! | `layout` | partition tables and the marks of file systems |
//! | `dock` | which drive is in one dock, without touching it |
//! | `watch` | when something is docked or taken away |
//! | `roots` | where the kernel publishes what it knows |

pub(crate) mod attached;
mod dock;
mod layout;
pub(crate) mod roots;
pub(crate) mod sysfs;
mod uses;
mod watch;

#[cfg(test)]
pub(crate) mod tests;

pub use attached::{attached, attached_at, attached_image};
pub use dock::{DockBell, Docked, docked_at, is_read_only};
pub(crate) use layout::read as layout;
pub use roots::Roots;
pub use watch::Watch;
