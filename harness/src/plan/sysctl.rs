//! Kernel parameters: only those that belong to a namespace of the container.

use bumpalo::Bump;
use init_core::config::Setting;

use super::{Kind, Namespaces, text};
use crate::error::{Error, Result};
use crate::spec::{Linux, escape};

/// Parameters of the IPC namespace outside fs.mqueue (`ipc_namespaces(7)`).
const IPC: [&str; 10] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
    "kernel.msg_next_id",
    "kernel.sem_next_id",
];

/// Plans the parameters.
pub fn plan<'a>(arena: &'a Bump, linux: &Linux<'_>, namespaces: &Namespaces<'_>) -> Result<Vec<Setting<'a>>> {
    let mut plan = Vec::new();
    for (key, value) in linux.sysctl.iter().flat_map(|map| &map.0) {
        let pointer = format!("/linux/sysctl/{}", escape(key));
        let components =
            components(key).ok_or_else(|| Error::config(&pointer, "not the name of a kernel parameter"))?;
        let owner = owner(&components);
        match owner {
            Some(kind) if namespaces.has(kind) => {}
            Some(kind) => {
                return Err(Error::config(&pointer, format!("needs a {} namespace", kind.name())));
            }
            None => return Err(Error::config(&pointer, "belongs to no namespace of the container")),
        }
        let key = text(arena, &pointer, &components.join("/"))?;
        plan.push(Setting { key, value: text(arena, &pointer, value)?, flag: false });
    }
    Ok(plan)
}

/// The components of a key, split once at the separator that comes first: `net.ipv4.conf.eth0/1.x`
/// and `net/ipv4/conf/eth0.1/x` both name the interface `eth0.1` (sysctl(8)).
fn components(key: &str) -> Option<Vec<String>> {
    let first = key.find(['.', '/'])?;
    let dotted = key.get(first..)?.starts_with('.');
    let swap = |part: &str| if dotted { part.replace('/', ".") } else { part.to_owned() };
    let parts: Vec<String> = key.split(if dotted { '.' } else { '/' }).map(swap).collect();
    let good = |part: &String| {
        !matches!(part.as_str(), "" | "." | "..")
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.@:-".contains(&byte))
    };
    parts.iter().all(good).then_some(parts)
}

/// Whether a key, however it is written, is the parameter of these components.
pub fn is(key: &str, parameter: &[&str]) -> bool {
    components(key).is_some_and(|components| components == parameter)
}

/// The kind of namespace that a planned parameter belongs to.
pub fn owner_of(path: &std::ffi::CStr) -> Option<Kind> {
    let parts: Vec<String> = path.to_str().ok()?.split('/').map(str::to_owned).collect();
    owner(&parts)
}

fn owner(components: &[String]) -> Option<Kind> {
    let dotted = components.join(".");
    match components.first()?.as_str() {
        "net" => Some(Kind::Network),
        "fs" if dotted.starts_with("fs.mqueue.") => Some(Kind::Ipc),
        "kernel" if IPC.contains(&dotted.as_str()) => Some(Kind::Ipc),
        "kernel" if dotted == "kernel.domainname" || dotted == "kernel.hostname" => Some(Kind::Uts),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_split_once() {
        let split = |key| components(key).map(|parts| parts.join("|"));
        assert_eq!(split("net.ipv4.ip_forward").as_deref(), Some("net|ipv4|ip_forward"));
        assert_eq!(split("net/ipv4/conf/eth0.1/mtu").as_deref(), Some("net|ipv4|conf|eth0.1|mtu"));
        assert_eq!(split("net.ipv4.conf.eth0/1.mtu").as_deref(), Some("net|ipv4|conf|eth0.1|mtu"));
        for bad in [
            "a.b+kernel.core_pattern",
            "/net/x",
            ".net.x",
            "net/../kernel/x",
            "net//x",
            "net..x",
            "net",
            "",
            "net.x\n",
            "net.x y",
        ] {
            assert_eq!(split(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn parameters_have_an_owner_or_are_the_hosts() {
        let owner = |key| owner(&components(key).unwrap());
        assert_eq!(owner("net.core.somaxconn"), Some(Kind::Network));
        assert_eq!(owner("kernel.shmmax"), Some(Kind::Ipc));
        assert_eq!(owner("fs.mqueue.msg_max"), Some(Kind::Ipc));
        assert_eq!(owner("kernel.core_pattern"), None);
        assert_eq!(owner("vm.overcommit_memory"), None);
    }
}
