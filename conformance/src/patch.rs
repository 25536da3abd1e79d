//! Our corrections of programs (conformance/patches), made in a copy of the module.

use std::fs;
use std::path::Path;

use crate::error::{Context, Error, Result};

/// The patches, one file changed by each.
pub const PATCHES: [&str; 10] = [
    include_str!("../patches/hooks.patch"),
    include_str!("../patches/killsig.patch"),
    include_str!("../patches/misc_props.patch"),
    include_str!("../patches/pidfile.patch"),
    include_str!("../patches/pids.patch"),
    include_str!("../patches/poststart_fail.patch"),
    include_str!("../patches/prestart.patch"),
    include_str!("../patches/process_capabilities_fail.patch"),
    include_str!("../patches/process_rlimits.patch"),
    include_str!("../patches/start.patch"),
];

/// Copies a module and applies the patches to the copy.
pub fn copy(module: &Path, target: &Path) -> Result<()> {
    match fs::remove_dir_all(target) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).at("remove", target.display());
        }
        _ => {}
    }
    tree(module, target)?;
    PATCHES.into_iter().try_for_each(|text| apply(text, target))
}

/// Copies the contents; the module cache is read-only, the copy is not.
fn tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).at("mkdir", to.display())?;
    for entry in fs::read_dir(from).at("list", from.display())?.flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            tree(&from, &to)?;
        } else {
            let bytes = fs::read(&from).at("read", from.display())?;
            fs::write(&to, bytes).at("write", to.display())?;
        }
    }
    Ok(())
}

fn apply(text: &str, target: &Path) -> Result<()> {
    let invalid = |reason: String| Error::file("conformance/patches", reason);
    let patch = diffy::Patch::from_str(text).map_err(|error| invalid(error.to_string()))?;
    let name = patch.modified().and_then(|name| name.strip_prefix("b/"));
    let path = target.join(name.ok_or_else(|| invalid("a patch names no file".into()))?);
    let source = fs::read_to_string(&path).at("read", path.display())?;
    let changed = diffy::apply(&source, &patch).map_err(|error| Error::file(&path, error.to_string()))?;
    fs::write(&path, changed).at("write", path.display())
}
