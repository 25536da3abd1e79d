//! The bundle: a directory with a config.json in it.

use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};
use crate::spec::{MAX_SIZE, Spec};

/// A bundle, its configuration read.
pub struct Bundle {
    /// Absolute path.
    pub path: PathBuf,
    text: Vec<u8>,
}

impl Bundle {
    /// Reads config.json. A fifo is not waited for.
    pub fn open(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).host("resolve", path.display())?;
        let config = path.join("config.json");
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::open(&config, flags, Mode::empty()) {
            Err(Errno::NOENT) if !path.exists() => return Err(Error::file(&path, "bundle does not exist")),
            Err(Errno::NOENT) => return Err(Error::file(&config, "does not exist")),
            Err(Errno::NOTDIR) => return Err(Error::file(&path, "bundle is not a directory")),
            file => file.host("open", config.display())?,
        };
        let found = rustix::fs::fstat(&file).host("stat", config.display())?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(Error::file(&config, "is not a regular file"));
        }
        if found.st_size as u64 > MAX_SIZE {
            return Err(Error::file(&config, format!("is larger than {} MiB", MAX_SIZE >> 20)));
        }
        let mut text = vec![0; found.st_size as usize];
        std::fs::File::from(file).read_exact(&mut text).host("read", config.display())?;
        Ok(Self { path, text })
    }

    /// A bundle that exists in memory only, below an existing directory.
    pub fn with_config(path: &Path, text: Vec<u8>) -> Self {
        Self { path: path.to_path_buf(), text }
    }

    /// Parses the configuration.
    pub fn parse(&self) -> Result<Spec<'_>> {
        crate::spec::parse(Path::new("config.json"), &self.text)
    }
}
