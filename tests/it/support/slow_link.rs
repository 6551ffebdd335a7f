//! A network of its own whose link is slow: a namespace with a shaped loopback.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A network namespace; removed when dropped.
pub struct SlowLink {
    name: String,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

impl SlowLink {
    /// A link of this rate, as `tc` takes it; `None`, and a line that says so, where there can be none.
    pub fn new(rate: &str) -> Option<Self> {
        let name = format!("drive-agent-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        if !succeeds("ip", &["netns", "add", &name]) {
            eprintln!("skipped: there are no network namespaces (root and iproute2 are needed)");
            return None;
        }
        let link = SlowLink { name };
        let shaped = ["qdisc", "add", "dev", "lo", "root", "tbf", "rate", rate, "burst", "32k", "latency", "400ms"];
        let is_shaped = link.runs("ip", &["link", "set", "lo", "mtu", "1500", "up"]) && link.runs("tc", &shaped);
        if !is_shaped {
            eprintln!("skipped: the kernel shapes no links (sch_tbf is needed)");
        }
        is_shaped.then_some(link)
    }

    /// What a command begins with that is to run in it.
    pub fn prefix(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }

    fn runs(&self, program: &str, arguments: &[&str]) -> bool {
        let [first, rest @ ..] = self.prefix();
        succeeds(first, &[&rest[..], &[program], arguments].concat())
    }
}

impl Drop for SlowLink {
    fn drop(&mut self) {
        succeeds("ip", &["netns", "delete", &self.name]);
    }
}
