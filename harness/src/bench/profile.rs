//! A seccomp profile for a configuration: `linux.seccomp` as it is, or an engine's profile, whose
//! conditions (architecture, capabilities, kernel) are decided here as the engine decides them.

use serde_json::{Map, Value, json};

/// What the conditions of an engine's profile are about.
pub struct Host<'h> {
    /// Go's name of the architecture, as the profiles have it.
    pub arch: &'h str,
    /// Kernel version.
    pub kernel: (u32, u32),
    /// The container's capabilities.
    pub capabilities: Vec<&'h str>,
}

/// Go's name and libseccomp's of the architecture that this program is built for.
pub const ARCH: (&str, &str) = if cfg!(target_arch = "x86_64") {
    ("amd64", "SCMP_ARCH_X86_64")
} else if cfg!(target_arch = "aarch64") {
    ("arm64", "SCMP_ARCH_AARCH64")
} else {
    ("riscv64", "SCMP_ARCH_RISCV64")
};

/// `linux.seccomp` of the runtime-spec.
pub fn resolve(profile: &Value, host: &Host<'_>) -> Value {
    let Some(arches) = profile["archMap"].as_array() else { return profile.clone() };
    let mut found = Map::new();
    for key in ["defaultAction", "defaultErrnoRet"] {
        if let Some(value) = profile.get(key) {
            found.insert(key.into(), value.clone());
        }
    }
    let native = arches.iter().filter(|entry| entry["architecture"] == ARCH.1);
    let names = native.flat_map(|entry| {
        let below = entry["subArchitectures"].as_array().into_iter().flatten();
        std::iter::once(&entry["architecture"]).chain(below).cloned()
    });
    found.insert("architectures".into(), names.collect());
    let rules = profile["syscalls"].as_array().into_iter().flatten();
    found.insert("syscalls".into(), rules.filter(|rule| applies(rule, host)).map(rule).collect());
    found.into()
}

/// Whether every condition to include a rule holds, and none to exclude it.
fn applies(rule: &Value, host: &Host<'_>) -> bool {
    let words = |part: &str, key: &str| -> Vec<&str> {
        rule[part][key].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let kernel = |part: &str| {
        let text = rule[part]["minKernel"].as_str()?;
        let mut numbers = text.split('.').map_while(|number| number.parse::<u32>().ok());
        Some((numbers.next()?, numbers.next().unwrap_or(0)) <= host.kernel)
    };
    let has = |name: &&str| host.capabilities.contains(name);
    let arches = words("includes", "arches");
    (arches.is_empty() || arches.contains(&host.arch))
        && words("includes", "caps").iter().all(has)
        && kernel("includes") != Some(false)
        && !words("excludes", "arches").contains(&host.arch)
        && !words("excludes", "caps").iter().any(has)
        && kernel("excludes") != Some(true)
}

/// A rule without its conditions.
fn rule(rule: &Value) -> Value {
    let names = if rule["names"].is_array() { rule["names"].clone() } else { json!([rule["name"]]) };
    let mut plain = json!({ "names": names, "action": rule["action"] });
    if let Some(args) = rule["args"].as_array().filter(|args| !args.is_empty()) {
        plain["args"] = json!(args);
    }
    if rule["errnoRet"].is_u64() {
        plain["errnoRet"] = rule["errnoRet"].clone();
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_of_the_specification_stays() {
        let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [] });
        let host = Host { arch: "amd64", kernel: (6, 1), capabilities: Vec::new() };
        assert_eq!(resolve(&profile, &host), profile);
    }

    #[test]
    fn conditions_of_an_engine_are_decided() {
        let allow = |name: &str, includes: Value, excludes: Value| {
            json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": null,
                    "includes": includes, "excludes": excludes })
        };
        let profile = json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "archMap": [{ "architecture": ARCH.1, "subArchitectures": ["SCMP_ARCH_X86"] },
                        { "architecture": "SCMP_ARCH_S390X", "subArchitectures": [] }],
            "syscalls": [
                allow("read", json!({}), json!({})),
                allow("ptrace", json!({ "minKernel": "4.8" }), json!({})),
                allow("future", json!({ "minKernel": "99.0" }), json!({})),
                allow("mount", json!({ "caps": ["CAP_SYS_ADMIN"] }), json!({})),
                allow("kill", json!({ "caps": ["CAP_KILL"] }), json!({})),
                allow("clone", json!({}), json!({ "caps": ["CAP_SYS_ADMIN"], "arches": ["s390"] })),
                allow("elsewhere", json!({ "arches": ["s390"] }), json!({})),
            ],
        });
        let host = Host { arch: "amd64", kernel: (6, 1), capabilities: vec!["CAP_KILL"] };
        let found = resolve(&profile, &host);
        let names: Vec<&str> = found["syscalls"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|rule| rule["names"][0].as_str())
            .collect();
        assert_eq!(names, ["read", "ptrace", "kill", "clone"]);
        assert_eq!(found["architectures"], json!([ARCH.1, "SCMP_ARCH_X86"]));
        assert_eq!(found["syscalls"][0], json!({ "names": ["read"], "action": "SCMP_ACT_ALLOW" }));
    }
}
