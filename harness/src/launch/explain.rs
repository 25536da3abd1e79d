//! A container's steps without the container: what is opened here is closed again.

use bumpalo::Bump;
use init_core::config::switch;

use super::way::Way;
use super::{Bundle, namespaces, sources};
use crate::cgroup;
use crate::error::Result;
use crate::plan::{self, Launch, Plan, Step, Wishes};

/// The way that a bundle's container would go, and every step of its init.
pub fn explain(bundle: &Bundle, wishes: Wishes) -> Result<(&'static str, Vec<Step>)> {
    let spec = bundle.parse()?;
    let facts = cgroup::facts()?;
    let arena = Bump::new();
    let plan = Plan::new(&arena, &spec, "ID", &facts, wishes)?;
    for warning in &plan.warnings {
        eprintln!("warning: {warning}");
    }
    let sources = sources::open(&arena, &plan, &facts, bundle)?;
    let joined = namespaces::open(&plan)?;
    let way = Way::forecast(&plan, &joined, sources.privileged && !facts.mapped, true)?;
    let config = plan.config(&Launch {
        parent: -1,
        page: -1,
        timing: false,
        keyring: c"_ses.ID",
        root: (None, sources.root_path),
        switch: way.switch,
        ahead: false,
        join_network: way.join_network,
        namespaces: way.namespaces(),
        mounts: &sources.mounts,
    });
    let name = match (way.switch, way.late.is_some()) {
        (switch::STACK, false) => "fast: init starts in the template mount namespace",
        (_, true) => "serial: init enters its namespaces itself",
        _ => "serial: init starts in a copy of the host's mount namespace",
    };
    Ok((name, plan::steps(&spec, &plan, &config)))
}
