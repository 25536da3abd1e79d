//! The cases: one for each field of config.json.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::reporter;
use crate::error::{Context, Result};

/// The case without a change; what differs there counts for all others.
pub const DEFAULT: &str = "default";

/// Where a case's bundle is, in its cell.
pub const BUNDLE: &str = "/run/tmp/bundle";

/// Where notifications of seccomp go.
pub const LISTENER: &str = "/run/tmp/listener";

/// What a case may need around its bundle.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Around {
    /// Somebody who listens for seccomp notifications.
    Listener,
    /// A network namespace of the case's own with a pair of devices, host0 and peer0.
    Pair,
}

/// A case of the table. The texts are JSON.
#[derive(Serialize, Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// A merge patch (RFC 7396) over the default configuration.
    #[serde(default)]
    pub patch: Option<String>,
    /// Mounts after those of the default configuration.
    #[serde(default)]
    pub mounts: Option<String>,
    /// A merge patch over `process`; what `exec` then starts is what reports.
    #[serde(default)]
    pub exec: Option<String>,
    /// Whether the first process waits to be killed.
    #[serde(default)]
    pub waits: bool,
    /// What there is around the bundle.
    #[serde(default)]
    pub around: Vec<Around>,
    /// Whether it is to be as the default is.
    #[serde(default)]
    pub same: bool,
    /// Paths to look at.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Facts of the machine without which it is skipped.
    #[serde(default)]
    pub needs: Vec<String>,
}

/// The cases by name.
pub fn load() -> Result<BTreeMap<String, Case>> {
    toml::from_str(include_str!("../../differential/cases.toml")).at("read", "differential/cases.toml")
}

impl Case {
    /// The configuration, and the process that `exec` starts. `hook` is the program of hooks.
    pub fn apply(&self, mut config: Value, id: &str, hook: &str) -> Result<(Value, Option<Value>)> {
        let part = |text: &String| {
            let text = text.replace("@BUNDLE@", BUNDLE).replace("@HOOK@", hook).replace("@ID@", id);
            let text = text.replace("@LISTENER@", LISTENER);
            serde_json::from_str::<Value>(&text).at("read", text)
        };
        let mut order = reporter::Order {
            paths: self.paths.clone(),
            wait: self.waits || self.exec.is_some(),
            id: id.to_owned(),
        };
        config["process"]["args"] = arguments(&order)?;
        if let Some(patch) = &self.patch {
            json_patch::merge(&mut config, &part(patch)?);
        }
        if let (Some(mounts), Some(all)) = (&self.mounts, config["mounts"].as_array_mut()) {
            all.extend(part(mounts)?.as_array().cloned().unwrap_or_default());
        }
        order.wait = false;
        let exec = |patch: &String| {
            let mut process = config["process"].clone();
            process["args"] = arguments(&order)?;
            json_patch::merge(&mut process, &part(patch)?);
            Ok(process)
        };
        let process = self.exec.as_ref().map(exec).transpose()?;
        Ok((config, process))
    }
}

fn arguments(order: &reporter::Order) -> Result<Value> {
    Ok(serde_json::json!(["/report", "report", serde_json::to_string(order).at("write", "order")?]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_json_over_the_default() {
        let cases = load().unwrap();
        assert!(cases.len() >= 100 && cases.contains_key(DEFAULT), "{}", cases.len());
        for (name, case) in cases {
            let config = serde_json::json!({ "process": { "cwd": "/" }, "mounts": [{}] });
            let (changed, process) = case.apply(config, "id", "/hook").unwrap();
            assert!(changed["process"]["args"].is_array(), "{name}");
            let plain = case.patch.is_none() && case.mounts.is_none() && process.is_none();
            assert_eq!(plain, name == DEFAULT, "{name}");
        }
    }

    #[test]
    fn a_case_is_applied() {
        let case = Case {
            patch: Some(r#"{"process":{"cwd":null,"env":["X=@ID@"]}}"#.into()),
            mounts: Some(r#"[{"source":"@BUNDLE@/a"}]"#.into()),
            exec: Some(r#"{"cwd":"/b"}"#.into()),
            paths: vec!["/p".into()],
            waits: false,
            around: Vec::new(),
            same: false,
            needs: Vec::new(),
        };
        let config = serde_json::json!({ "process": { "cwd": "/" }, "mounts": [{ "source": "a" }] });
        let (config, process) = case.apply(config, "one", "/hook").unwrap();
        let order = |wait: bool| format!(r#"{{"paths":["/p"],"wait":{wait},"id":"one"}}"#);
        let args = |wait: bool| serde_json::json!(["/report", "report", order(wait)]);
        assert_eq!(
            config,
            serde_json::json!({
                "process": { "env": ["X=one"], "args": args(true) },
                "mounts": [{ "source": "a" }, { "source": "/run/tmp/bundle/a" }],
            })
        );
        let second = serde_json::json!({ "cwd": "/b", "env": ["X=one"], "args": args(false) });
        assert_eq!(process, Some(second));
    }
}
