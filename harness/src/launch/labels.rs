//! Labels of security modules: whether the kernel has the module, before anything is made.

use std::path::Path;

use crate::error::{Error, Result};
use crate::plan::Plan;

/// Whether `AppArmor` is on.
pub fn apparmor() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y"))
}

/// Whether `SELinux` is on: its file system is mounted then.
pub fn selinux() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

/// A label on a kernel without the module would be no label.
pub fn check(apparmor_profile: bool, selinux_label: bool) -> Result<()> {
    if apparmor_profile && !apparmor() {
        return Err(Error::config("/process/apparmorProfile", "AppArmor is not enabled in this kernel"));
    }
    if selinux_label && !selinux() {
        return Err(Error::config("/process/selinuxLabel", "SELinux is not enabled in this kernel"));
    }
    Ok(())
}

/// Those of a new container.
pub fn check_plan(plan: &Plan<'_>) -> Result<()> {
    if let Some(planned) = &plan.process {
        check(!planned.labels.apparmor.is_empty(), !planned.labels.selinux.is_empty())?;
    }
    if !plan.mount_label.is_empty() && !selinux() {
        return Err(Error::config("/linux/mountLabel", "SELinux is not enabled in this kernel"));
    }
    Ok(())
}
