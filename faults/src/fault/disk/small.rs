//! A small file system in memory.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use oauth_storage_testbed::Cluster;
use uuid::Uuid;

use crate::error::Result;

/// A mounted tmpfs. Drop unmounts it.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of so many MiB, owned by the user of the server.
    pub(crate) fn mount(cluster: &Cluster, mib: u32) -> Result<Self> {
        let owner = fs::metadata(cluster.data_dir())?;
        let path = std::env::temp_dir().join(format!("oauth-storage-faults-{}", Uuid::now_v7()));
        fs::create_dir(&path)?;
        let disk = Self(path);
        let (user, group) = (owner.uid(), owner.gid());
        let options = format!("size={mib}m,mode=0700,uid={user},gid={group}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "oauth-storage-faults"])
            .arg(&disk.0)
            .output()?;
        if mounted.status.success() {
            Ok(disk)
        } else {
            let reason = String::from_utf8_lossy(&mounted.stderr);
            Err(format!("cannot mount a small file system (needs root): {reason}").into())
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Moves a folder of the server onto the disk, and leaves a symbolic link.
    pub(crate) fn take_over(&self, folder: &Path) -> Result<()> {
        let moved = self.0.join("moved");
        let script = "cp -a \"$1\" \"$2\" && rm -rf \"$1\" && ln -s \"$2\" \"$1\"";
        let done =
            Command::new("sh").args(["-c", script, "sh"]).arg(folder).arg(&moved).output()?;
        if done.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&done.stderr).into())
        }
    }

    /// Fills the disk completely.
    pub(crate) fn fill(&self) -> Result<()> {
        let mut file = File::create(self.ballast())?;
        for size in [1 << 20, 1 << 12] {
            let block = vec![0; size];
            loop {
                match file.write_all(&block) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Frees the space again.
    pub(crate) fn free(&self) -> Result<()> {
        Ok(fs::remove_file(self.ballast())?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because the server may still have a file open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
        let _ = fs::remove_dir(&self.0);
    }
}
