//! Changes to a configuration that many tests need.

use serde_json::{Value, json};

fn namespaces(config: &mut Value) -> &mut Vec<Value> {
    config["linux"]["namespaces"].as_array_mut().unwrap()
}

/// Shares the caller's namespace of a kind.
pub fn share(config: &mut Value, kind: &str) {
    namespaces(config).retain(|namespace| namespace["type"] != kind);
}

/// Joins a namespace of a kind by its file.
pub fn join(config: &mut Value, kind: &str, file: impl serde::Serialize) {
    share(config, kind);
    namespaces(config).push(json!({ "type": kind, "path": file }));
}

/// A new user namespace whose root is uid and gid 100000 of the host.
pub fn user_namespace(config: &mut Value) {
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    config["linux"]["uidMappings"] = map.clone();
    config["linux"]["gidMappings"] = map;
    namespaces(config).push(json!({ "type": "user" }));
}
