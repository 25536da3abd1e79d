//! Mounts of type cgroup.

use bumpalo::Bump;
use init_core::config::{Mount, Setting};
use linux_raw_sys::general as raw;

use crate::plan::{Cgroup, Facts, c_string};

/// What a mount of type cgroup becomes. With a cgroup namespace the hierarchies themselves;
/// without one a bind of the container's own cgroup, never the host's tree.
pub fn hierarchies<'a>(
    arena: &'a Bump,
    mount: &Mount<'a>,
    own_namespace: bool,
    cgroup: &Cgroup,
    facts: &Facts,
) -> Vec<Mount<'a>> {
    let join = |parts: &[&str]| c_string(arena, parts.concat().as_bytes()).unwrap_or_default();
    let bind = |target, directory: &str| Mount {
        kind: c"",
        options: &[],
        source: join(&["/sys/fs/cgroup", directory, &cgroup.path]),
        target,
        ..*mount
    };
    let Some(controllers) = &facts.v1 else {
        return vec![if own_namespace {
            const SOURCE: &[Setting<'static>] = &[Setting { key: c"source", value: c"cgroup", flag: false }];
            Mount { kind: c"cgroup2", options: SOURCE, ..*mount }
        } else {
            bind(mount.target, "")
        }];
    };
    const MODE: &[Setting<'static>] = &[
        Setting { key: c"source", value: c"tmpfs", flag: false },
        Setting { key: c"mode", value: c"755", flag: false },
    ];
    let readonly = u64::from(raw::MOUNT_ATTR_RDONLY);
    let mut plan = vec![Mount {
        kind: c"tmpfs",
        options: MODE,
        set: mount.set & !readonly,
        seal: mount.set & readonly != 0,
        ..*mount
    }];
    let base = mount.target.to_str().unwrap_or_default();
    for controller in controllers {
        let target = join(&[base, "/", controller]);
        if !own_namespace {
            plan.push(bind(target, &format!("/{controller}")));
            continue;
        }
        let mut options = bumpalo::collections::Vec::new_in(arena);
        options.push(Setting { key: c"source", value: c"cgroup", flag: false });
        // A hierarchy without controllers goes by its name (cgroups(7)).
        if controller == "systemd" {
            options.push(Setting { key: c"none", value: c"", flag: true });
            options.push(Setting { key: c"name", value: c"systemd", flag: false });
        } else {
            let each = controller.split(',').map(|key| Setting { key: join(&[key]), value: c"", flag: true });
            options.extend(each);
        }
        plan.push(Mount { kind: c"cgroup", options: options.into_bump_slice(), target, ..*mount });
    }
    plan
}
