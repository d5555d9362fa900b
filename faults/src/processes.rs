//! Signals to the processes of the server, all of which are children of the postmaster.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use oauth_storage_testbed::Cluster;

use crate::error::Result;

/// The postmaster and its children, the postmaster first.
pub(crate) fn of(cluster: &Cluster) -> Result<Vec<u32>> {
    let postmaster = cluster.pid().ok_or("the server does not run")?;
    let mut pids = vec![postmaster];
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if parent(pid) == Some(postmaster) {
            pids.push(pid);
        }
    }
    Ok(pids)
}

fn stat(pid: u32) -> Option<String> {
    std::fs::read_to_string(PathBuf::from("/proc").join(pid.to_string()).join("stat")).ok()
}

/// The parent of a process: the second field after the name, which is in parentheses and may contain
/// anything.
fn parent(pid: u32) -> Option<u32> {
    let stat = stat(pid)?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Sends a signal by its name. Processes that have ended already are ignored.
pub(crate) fn signal(pids: &[u32], name: &str) -> Result<()> {
    let pids = pids.iter().map(u32::to_string);
    let sent = Command::new("sh")
        .args([
            "-c",
            "signal=$1; shift; for pid; do kill -s \"$signal\" \"$pid\"; done; true",
            "sh",
        ])
        .arg(name)
        .args(pids)
        .stderr(std::process::Stdio::null())
        .status()?;
    if sent.success() { Ok(()) } else { Err("cannot signal the server".into()) }
}

/// Returns true if the process runs. A zombie has ended.
pub(crate) fn runs(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| !stat.contains(") Z "))
}

/// Waits until all have ended, because the next server cannot start beside their shared memory.
pub(crate) async fn gone(pids: &[u32]) -> Result<()> {
    let since = Instant::now();
    while pids.iter().any(|pid| runs(*pid)) {
        if since.elapsed() > Duration::from_secs(30) {
            return Err("the server's processes do not end".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// The resident memory of this process, in KiB.
pub(crate) fn memory() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS")?;
    Ok(kib.parse()?)
}
