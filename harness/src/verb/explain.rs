//! `explain`: what init would do for a bundle.

use std::path::Path;

use serde_json::json;

use crate::cli::{Args, Global};
use crate::error::Result;
use crate::launch::{self, Bundle};

/// Prints every step in order: as a table, or with `--json` as a list. Makes nothing.
pub fn run(_: &Global, args: &Args) -> Result<u8> {
    let bundle = Bundle::open(Path::new(args.text(0)?.unwrap_or_default()))?;
    let (way, steps) = launch::explain(&bundle, super::wishes(args)?)?;
    if args.has("json") {
        let value = json!({ "way": way, "steps": steps });
        super::print_json(&value)?;
        return Ok(0);
    }
    let mut text = format!("{way}\n");
    for step in &steps {
        let pointer = step.pointer.as_deref().unwrap_or("every container");
        text.push_str(&format!("{:14} {:14} {:52} {pointer}\n", step.phase, step.op, step.what));
    }
    super::print(&text).map(|()| 0)
}
