//! Hooks: checked here, run by the launch.

use crate::error::{Error, Result};
use crate::spec::{Hooks, Spec};

/// The hooks of a configuration, each proved fit to be run.
pub fn plan(spec: &Spec<'_>) -> Result<Hooks> {
    let Some(hooks) = &spec.hooks else { return Ok(Hooks::default()) };
    for (kind, list) in hooks.lists() {
        for (index, hook) in list.iter().enumerate() {
            let wrong = |field: &str, reason: String| {
                Err(Error::config(format!("/hooks/{kind}/{index}/{field}"), reason))
            };
            if !hook.path.starts_with('/') {
                return wrong("path", format!("{:?} must be absolute", hook.path));
            }
            if hook.timeout.is_some_and(|seconds| seconds <= 0) {
                return wrong("timeout", "must be greater than 0".into());
            }
            let texts = [("path", std::slice::from_ref(&hook.path))];
            let lists = [("args", &hook.args), ("env", &hook.env)];
            let lists = lists.map(|(field, list)| (field, list.as_deref().unwrap_or_default()));
            for (field, list) in texts.into_iter().chain(lists) {
                if list.iter().any(|text| text.contains('\0')) {
                    return wrong(field, "contains a NUL".into());
                }
            }
            if let Some(entry) = hook.env.iter().flatten().find(|entry| !entry.contains('=')) {
                return wrong("env", format!("{entry:?} has no '='"));
            }
        }
    }
    Ok(Hooks::clone(hooks))
}
