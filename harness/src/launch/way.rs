//! Which way a container's namespaces come about, chosen by facts.

use init_core::config::{self, Join, switch};
use rustix::fd::{AsRawFd, OwnedFd};

use super::template;
use crate::error::{Context, Result};
use crate::plan::{Kind, Plan};
use crate::state::Store;

/// How a child is started, and what is left to init.
#[derive(Default)]
pub struct Way {
    /// The template mount namespace: the fast path.
    pub template: Option<OwnedFd>,
    /// How init leaves the old root ([`switch`]).
    pub switch: u32,
    /// The harness makes the network namespace while init mounts.
    pub join_network: bool,
    /// Namespaces made by clone3.
    pub clone: u32,
    /// Namespaces made by the child.
    pub unshare: u32,
    /// Writes here let the child of a user namespace go on.
    pub gate: Option<(OwnedFd, OwnedFd)>,
    /// Init joins and makes all namespaces itself.
    pub late: Option<Late>,
}

/// Namespaces that init enters itself.
pub struct Late {
    joins: Vec<Join>,
    unshare: u64,
    spawn: bool,
}

impl Late {
    /// Joins those of one process, by its pidfd.
    pub fn of_process(pidfd: &OwnedFd, kinds: u32) -> Self {
        let joins =
            if kinds == 0 { Vec::new() } else { vec![Join { fd: pidfd.as_raw_fd(), kind: kinds.into() }] };
        Self { joins, unshare: 0, spawn: kinds & (Kind::Pid.flag() | Kind::Time.flag()) != 0 }
    }

    /// As init takes it.
    pub fn config(&self) -> config::Namespaces<'_> {
        config::Namespaces { join: &self.joins, unshare: self.unshare, spawn: self.spawn }
    }

    /// Whether init waits for id maps or offsets.
    pub fn is_mapped(&self) -> bool {
        self.unshare & u64::from(Kind::User.flag() | Kind::Time.flag()) != 0
    }
}

impl Way {
    /// Chooses. The fast path needs CAP_SYS_ADMIN over the host's mount namespace, no user namespace,
    /// no hooks that look at the container with the host's paths, and no file system that looks
    /// them up while it is mounted. What must be entered one after the other, or by a process with
    /// memory of its own, is left to init.
    pub fn choose(
        store: &Store,
        plan: &Plan<'_>,
        joined: &[(OwnedFd, Kind)],
        privileged: bool,
    ) -> Result<Self> {
        let mut way = Self::forecast(plan, joined, privileged, true)?;
        if way.switch == switch::STACK && way.late.is_none() {
            way.template = template::open(store)?;
            if way.template.is_none() {
                way = Self::forecast(plan, joined, privileged, false)?;
            }
        }
        Ok(way)
    }

    /// The choice, given whether there is a template mount namespace.
    pub fn forecast(
        plan: &Plan<'_>,
        joined: &[(OwnedFd, Kind)],
        privileged: bool,
        template: bool,
    ) -> Result<Self> {
        let namespaces = &plan.namespaces;
        let flags = namespaces.new_flags();
        let user = namespaces.is_new(Kind::User);
        let switch = if !namespaces.has(Kind::Mount) {
            switch::CHROOT
        } else if namespaces.is_joined(Kind::Mount) {
            switch::STACK
        } else if plan.wishes.no_pivot {
            switch::MOVE
        } else {
            switch::PIVOT
        };
        let joins = |kind| namespaces.is_joined(kind);
        if joins(Kind::User)
            || joins(Kind::Mount)
            || joins(Kind::Pid)
            || namespaces.has(Kind::Time)
            || user && !joined.is_empty()
        {
            let join =
                |(file, kind): &(OwnedFd, Kind)| Join { fd: file.as_raw_fd(), kind: kind.flag().into() };
            let late = Late {
                joins: joined.iter().map(join).collect(),
                unshare: flags.into(),
                spawn: namespaces.has(Kind::Pid) || namespaces.has(Kind::Time),
            };
            return Ok(Self { switch, late: Some(late), ..Self::default() });
        }
        let stacked = template
            && privileged
            && !user
            && switch == switch::PIVOT
            && !plan.hooks.at_create()
            && !plan.needs_host_paths();
        // Joining from a user namespace gives EPERM, and so does going back to the host's from there, so
        // the network is made by clone3.
        let join_network = namespaces.is_new(Kind::Network) && !user && privileged;
        let network = if join_network { Kind::Network.flag() } else { 0 };
        let late = Kind::Cgroup.flag();
        let clone = if stacked { flags & Kind::Pid.flag() } else { flags & !network & !late };
        Ok(Self {
            switch: if stacked { switch::STACK } else { switch },
            join_network,
            clone,
            unshare: flags & !clone & !network,
            template: None,
            gate: if user {
                Some(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).host("pipe", "")?)
            } else {
                None
            },
            late: None,
        })
    }

    /// Namespaces of init, as it takes them.
    pub fn namespaces(&self) -> config::Namespaces<'_> {
        self.late.as_ref().map(Late::config).unwrap_or_default()
    }

    /// What was opened for it.
    pub fn release(self) -> impl Iterator<Item = OwnedFd> {
        self.template.into_iter().chain(self.gate.into_iter().flat_map(|(read, write)| [read, write]))
    }
}
