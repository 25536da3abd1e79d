//! Kernel parameters of the container's own namespaces; the host has checked which ones those are.

use crate::config::Setting;
use crate::failure::{At, Fault, Op};
use crate::path::{self, Buffer};
use crate::procfs::Procfs;

/// Writes each setting below /proc/sys of init's own procfs.
pub fn write<'a>(procfs: &Procfs, settings: &[Setting<'a>]) -> Result<(), Fault<'a>> {
    let mut buffer = Buffer::new();
    for setting in settings {
        let file = path::join(&mut buffer, &[b"sys/", setting.key.to_bytes()]).at(Op::Open, setting.key)?;
        procfs.write(file, setting.value.to_bytes()).map_err(|fault| Fault {
            op: fault.op,
            path: setting.key,
            errno: fault.errno,
        })?;
    }
    Ok(())
}
