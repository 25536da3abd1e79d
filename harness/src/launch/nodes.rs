//! Device nodes of the host, for containers that cannot have their own: in a user namespace none can be
//! made.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bumpalo::Bump;
use init_core::config::Device;
use rustix::fs::{FileType, makedev};

use super::c_path;
use crate::error::{Result, lossy};

/// How far below /dev is looked.
const DEEPEST: usize = 3;

/// Finds those that the host has under another name; init proves that they are what is asked for.
pub fn find<'a>(arena: &'a Bump, devices: &mut [Device<'a>]) -> Result<()> {
    for device in devices.iter_mut().filter(|device| !device.source.is_empty()) {
        let node =
            matches!(FileType::from_raw_mode(device.mode), FileType::CharacterDevice | FileType::BlockDevice);
        if node
            && !is(device, Path::new(&lossy(device.source)))
            && let Some(path) = search(device, Path::new("/dev"), DEEPEST)
        {
            device.source = c_path(arena, &path)?;
        }
    }
    Ok(())
}

fn is(device: &Device<'_>, path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| {
        FileType::from_raw_mode(found.mode()) == FileType::from_raw_mode(device.mode)
            && found.rdev() == makedev(device.major, device.minor)
    })
}

fn search(device: &Device<'_>, directory: &Path, depth: usize) -> Option<PathBuf> {
    let mut below = Vec::new();
    for entry in std::fs::read_dir(directory).ok()?.flatten() {
        if is(device, &entry.path()) {
            return Some(entry.path());
        }
        if depth > 1 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            below.push(entry.path());
        }
    }
    below.iter().find_map(|path| search(device, path, depth - 1))
}
