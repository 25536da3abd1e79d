//! `run`: create, start, wait, delete.

use std::path::PathBuf;

use init_core::sys::monotonic;
use init_core::sys::page::Page;

use super::{delete, terminal};
use crate::bench::timeline::{self, Lane, Span, Timeline};
use crate::cli::{Args, Global};
use crate::error::{Context, Result};
use crate::launch::{self, Bundle, Container, Options};
use crate::sys;

/// Width of the waterfall.
const COLUMNS: usize = 100;

/// Runs a container; its exit status, or 128 + the signal that ended it.
pub fn run(global: &Global, args: &Args) -> Result<u8> {
    let timing = args.has("timing");
    let now = || if timing { monotonic() } else { 0 };
    let began = now();
    // Before anything is opened, which could pass for a descriptor of the caller's.
    let wishes = super::wishes(args)?;
    let id = args.id()?;
    let bundle = Bundle::open(&args.bundle())?;
    let detach = args.has("detach");
    let options = Options {
        pid_file: args.value("pid-file").map(PathBuf::from),
        console_socket: args.value("console-socket").map(PathBuf::from),
        pidfd_socket: args.value("pidfd-socket").map(PathBuf::from),
        stays: !detach,
        starts_at_once: true,
        timing,
        wishes,
    };
    let mut container = launch::create(&global.root(), id, &bundle, &options)?;
    let created = now();
    let tell = |container: &Container| {
        if timing {
            eprint!("{}", waterfall(container.page, [began, created, now()]));
        }
    };
    if detach {
        return started(&mut container).map(|()| tell(&container)).map(|()| 0);
    }
    container.settle();
    foreground(&mut container, !args.has("keep"), tell)
}

/// A start on one time axis: what this process did, and the phases that init has stamped.
fn waterfall(page: &Page, [began, created, started]: [u64; 3]) -> String {
    let origin = began as f64 / 1e3;
    let end = started as f64 / 1e3 - origin;
    let own = [("create", began), ("start", created)];
    let stamps = page.visits().map(|(phase, at)| (phase.name(), at));
    let lane = |name: &str, spans: Vec<Span>| {
        let first = spans.first().map_or(0.0, |span| span.begin);
        Lane { name: name.into(), alive: (first, end), spans }
    };
    let timeline = Timeline {
        subject: "harness".into(),
        title: "from the first instruction of run to the execve of the process".into(),
        lanes: vec![
            lane("harness", timeline::phases(own.into_iter(), origin, end)),
            lane("init", timeline::phases(stamps, origin, end)),
        ],
        wakes: Vec::new(),
    };
    timeline.text(COLUMNS)
}

/// Starts; a container that does not start is removed again.
fn started(container: &mut Container) -> Result<()> {
    launch::start::start_own(container).inspect_err(|_| {
        // The error that led here is what counts.
        let _gone = delete::remove(&container.directory, &container.state, true);
    })
}

/// Starts, tells about it, forwards signals, waits, and removes the container if asked to.
pub fn foreground(container: &mut Container, remove: bool, tell: impl FnOnce(&Container)) -> Result<u8> {
    // Before the start, so that neither the end of the process nor a signal for it is missed.
    let mask = container.mask.take().map_or_else(sys::block_signals, Ok).host("sigprocmask", "")?;
    started(container)?;
    tell(container);
    let master = container.master.take();
    let status = match &container.pidfd {
        Some(process) => terminal::foreground(process, container.state.pid, master, &container.state),
        None => Ok(0),
    };
    sys::restore_signals(mask).host("sigprocmask", "")?;
    let status = status?;
    if remove {
        delete::remove(&container.directory, &container.state, true)?;
    }
    Ok(status)
}
