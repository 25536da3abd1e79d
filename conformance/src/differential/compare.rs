//! What differs between two outcomes.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::case::Outcome;

/// A difference, by its place in the outcome.
#[derive(Serialize, Debug, PartialEq, Clone)]
pub struct Difference {
    /// The case.
    pub case: String,
    /// The other runtime.
    pub peer: String,
    /// The place: `mounts./dev.0.options`.
    pub at: String,
    /// Our value.
    pub ours: String,
    /// Its value.
    pub theirs: String,
}

/// The place of whether there is a report.
const RESULT: &str = "result";
const REFUSED: &str = "refused";
/// What stands for a value that is not there.
const ABSENT: &str = "(none)";

/// Differences by place: ours, theirs.
pub fn differences(ours: &Outcome, theirs: &Outcome) -> BTreeMap<String, (String, String)> {
    let (ours, theirs) = (flat(ours), flat(theirs));
    let value =
        |of: &BTreeMap<String, String>, at: &String| of.get(at).map_or(ABSENT, String::as_str).to_owned();
    let places = ours.keys().chain(theirs.keys());
    let pairs = places.map(|at| (at.clone(), (value(&ours, at), value(&theirs, at))));
    let refusals = [&ours, &theirs].map(|values| values.get(RESULT).is_some_and(|result| result == REFUSED));
    let comparable = |at: &str| match refusals {
        [false, false] => true,
        // How far it came before it refused is its own affair.
        [true, true] => at == RESULT || at.starts_with("hooks"),
        _ => at == RESULT,
    };
    pairs.filter(|(at, (ours, theirs))| ours != theirs && comparable(at)).collect()
}

/// All values of an outcome by place.
fn flat(outcome: &Outcome) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    let result = if outcome.refused.is_some() { REFUSED } else { "reported" };
    values.insert(RESULT.to_owned(), result.to_owned());
    let status = outcome.status.map_or("killed".to_owned(), |status| status.to_string());
    values.insert("status".to_owned(), status);
    flatten("", &outcome.report, &mut values);
    for hook in &outcome.hooks {
        let name = hook["name"].as_str().unwrap_or_default();
        flatten(&format!("hooks.{name}"), hook, &mut values);
    }
    let names = outcome.hooks.iter().filter_map(|hook| hook["name"].as_str());
    values.insert("hooks".to_owned(), names.collect::<Vec<_>>().join(" "));
    for (index, listened) in outcome.listened.iter().enumerate() {
        flatten(&format!("listened.{index}"), listened, &mut values);
    }
    flatten("rootfs", &outcome.rootfs, &mut values);
    values
}

/// Arrays of plain values are one value: what is in them has no place of its own.
fn flatten(at: &str, value: &Value, values: &mut BTreeMap<String, String>) {
    let below = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                flatten(&below(name), value, values);
            }
        }
        Value::Array(elements) if elements.iter().any(Value::is_object) => {
            for (index, value) in elements.iter().enumerate() {
                flatten(&below(&index.to_string()), value, values);
            }
        }
        Value::Null => {}
        Value::String(text) => {
            values.insert(at.to_owned(), text.clone());
        }
        other => {
            values.insert(at.to_owned(), other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn outcome(refused: Option<&str>, report: Value) -> Outcome {
        let refused = refused.map(str::to_owned);
        Outcome {
            refused,
            status: Some(0),
            report,
            hooks: Vec::new(),
            listened: Vec::new(),
            rootfs: json!({}),
        }
    }

    #[test]
    fn values_are_compared_by_place() {
        let ours = outcome(None, json!({ "a": 1, "mounts": { "/": [{ "options": "ro" }] }, "b": [1, 2] }));
        let theirs = outcome(None, json!({ "a": 1, "mounts": { "/": [{ "options": "rw" }] }, "c": "" }));
        let pair = |ours: &str, theirs: &str| (ours.to_owned(), theirs.to_owned());
        let found = BTreeMap::from([
            ("b".to_owned(), pair("[1,2]", "(none)")),
            ("c".to_owned(), pair("(none)", "")),
            ("mounts./.0.options".to_owned(), pair("ro", "rw")),
        ]);
        assert_eq!(differences(&ours, &theirs), found);
    }

    #[test]
    fn a_refusal_is_one_difference() {
        let (ours, theirs) = (outcome(None, json!({ "a": 1 })), outcome(Some("no"), Value::Null));
        let found = differences(&ours, &theirs);
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            [("result".to_owned(), ("reported".to_owned(), "refused".to_owned()))]
        );
    }
}
