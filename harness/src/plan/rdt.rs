//! Intel RDT: a group of resctrl and the lines of its schemata.

use crate::error::{Error, Result};
use crate::spec::Linux;

/// A group of resctrl.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rdt {
    /// Its name below /sys/fs/resctrl; empty for the root group.
    pub group: String,
    /// Whether config.json names it: then it may exist already, and outlives the container.
    pub named: bool,
    /// Lines of its schemata file.
    pub schemata: Vec<String>,
    /// Make a monitoring group of the container's own.
    pub monitoring: bool,
}

/// Plans the group.
pub fn plan(linux: &Linux<'_>, id: &str) -> Result<Option<Rdt>> {
    let Some(spec) = &linux.intel_rdt else { return Ok(None) };
    let name = spec.clos_id.as_deref().filter(|name| !name.is_empty());
    if name.is_some_and(|name| name.contains('/') && name != "/" || name == "." || name == "..") {
        return Err(Error::config("/linux/intelRdt/closID", "must be a single name, or /"));
    }
    let single = [&spec.l3_cache_schema, &spec.mem_bw_schema];
    let single = single.into_iter().flatten().flat_map(|text| text.lines());
    let list = spec.schemata.iter().flatten().map(|line| &**line);
    let schemata: Vec<String> =
        single.chain(list).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if schemata.iter().any(|line| line.contains(['\n', '\0'])) {
        return Err(Error::config("/linux/intelRdt/schemata", "one line each"));
    }
    Ok(Some(Rdt {
        group: name.unwrap_or(id).trim_matches('/').to_owned(),
        named: name.is_some(),
        schemata,
        monitoring: spec.enable_monitoring.unwrap_or(false),
    }))
}
