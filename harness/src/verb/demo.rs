//! `demo`: a real container from nothing, and what its process sees.

use std::fmt::Write;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use init_core::failure::Phase;
use rustix::fd::OwnedFd;
use serde_json::Value;

use super::{run, spec};
use crate::cli::{Args, Global};
use crate::error::{Context, Error, Result};
use crate::launch::{self, Bundle, Container, Options, image, template};
use crate::state::Store;
use crate::sys;

/// Starts the container in a directory of its own, shows it, and leaves nothing.
pub fn run(_: &Global, _: &Args) -> Result<u8> {
    let place = Place::make()?;
    let mut config = spec::default(&["/witness"]);
    let root = rustix::process::geteuid().is_root();
    if !root {
        spec::rootless(&mut config, rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    }
    let bundle = Bundle::with_config(&place.path, config.to_string().into_bytes());
    let options = Options { timing: true, stays: true, ..Options::default() };
    let state = place.path.join("state");
    let (mut container, output) = with_stdout_in_pipe(|| launch::create(&state, "demo", &bundle, &options))?;
    let (status, seen) = witness(&mut container, output)?;
    if status != 0 {
        return Err(Error::State(format!("the demo's program ended with status {status}")));
    }
    super::print(&render(&config, &seen, &container, root))?;
    Ok(0)
}

/// A temporary directory with a root file system of one program.
struct Place {
    path: PathBuf,
}

impl Place {
    fn make() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("harness-demo-{}", std::process::id()));
        let rootfs = path.join("rootfs");
        std::fs::create_dir(&path).host("mkdir", path.display())?;
        let place = Self { path };
        std::fs::create_dir(&rootfs).host("mkdir", rootfs.display())?;
        let open = |path: &Path| std::fs::set_permissions(path, PermissionsExt::from_mode(0o755));
        let program = rootfs.join("witness");
        std::fs::write(&program, image::WITNESS).host("write", program.display())?;
        for path in [&place.path, &rootfs, &program] {
            open(path).host("chmod", path.display())?;
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Ok(store) = Store::open(&self.path.join("state")) {
            let _none_made = template::remove(&store);
        }
        let _left_in_tmp = std::fs::remove_dir_all(&self.path);
    }
}

/// The container inherits standard output, which is a pipe meanwhile.
fn with_stdout_in_pipe(create: impl FnOnce() -> Result<Container>) -> Result<(Container, OwnedFd)> {
    let own = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3).host("dup", "stdout")?;
    let (output, input) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).host("pipe", "")?;
    rustix::stdio::dup2_stdout(&input).host("dup", "stdout")?;
    let created = create();
    rustix::stdio::dup2_stdout(&own).host("dup", "stdout")?;
    Ok((created?, output))
}

/// Runs the program and reads what it says.
fn witness(container: &mut Container, output: OwnedFd) -> Result<(u8, String)> {
    // In the reader too: a SIGCHLD that it took would be missed here.
    let mask = sys::block_signals().host("sigprocmask", "")?;
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        std::fs::File::from(output).read_to_string(&mut text).map(|_| text)
    });
    let status = run::foreground(container, true, |_| ())?;
    sys::restore_signals(mask).host("sigprocmask", "")?;
    let text = reader.join().map_err(|_| Error::State("the reader failed".into()))?;
    Ok((status, text.host("read", "pipe")?))
}

/// The lines of a section that the witness printed.
fn section<'s>(seen: &'s str, name: &str) -> Vec<&'s str> {
    let lines = seen.lines().skip_while(|line| line.strip_prefix("== ") != Some(name)).skip(1);
    lines.take_while(|line| !line.starts_with("== ")).collect()
}

fn render(config: &Value, seen: &str, container: &Container, root: bool) -> String {
    let status = section(seen, "status");
    let field = |name: &str| {
        let value = status.iter().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        value.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let process = &config["process"];
    let set = |name: &str| {
        let names = process["capabilities"][name].as_array().map(Vec::as_slice).unwrap_or_default();
        let bits =
            names.iter().filter_map(Value::as_str).filter_map(|name| name.parse::<caps::Capability>().ok());
        format!("{:016x}", bits.fold(0u64, |bits, one| bits | 1 << one.index()))
    };
    let ids = |id: &Value| [id.to_string().as_str(); 4].join(" ");
    let flag = |value: &Value| i32::from(value.as_bool() == Some(true)).to_string();
    let mut rows = vec![
        ("pid", "1".into(), section(seen, "pid").concat()),
        (
            "hostname",
            config["hostname"].as_str().unwrap_or_default().into(),
            section(seen, "hostname").concat(),
        ),
        ("cwd", process["cwd"].as_str().unwrap_or_default().into(), section(seen, "cwd").concat()),
        ("uid", ids(&process["user"]["uid"]), field("Uid:")),
        ("gid", ids(&process["user"]["gid"]), field("Gid:")),
    ];
    for (set_name, line) in [
        ("inheritable", "CapInh:"),
        ("permitted", "CapPrm:"),
        ("effective", "CapEff:"),
        ("bounding", "CapBnd:"),
        ("ambient", "CapAmb:"),
    ] {
        rows.push((set_name, set(set_name), field(line)));
    }
    rows.push(("NoNewPrivs", flag(&process["noNewPrivileges"]), field("NoNewPrivs:")));
    rows.push(("open fds", "0 1 2".into(), section(seen, "fds").join(" ")));
    let mut text = format!(
        "a container, {}\n\n  {:<12} {:<20} {}\n",
        if root { "made as root" } else { "made as an ordinary user in a user namespace" },
        "",
        "asked for",
        "seen by its process"
    );
    for (name, asked, seen) in rows {
        let mark = if asked == seen { "" } else { "   <-- differs" };
        let _to_a_string = writeln!(text, "  {name:<12} {asked:<20} {seen}{mark}");
    }
    text += "\n  mounts seen, and as asked for\n";
    for line in section(seen, "mountinfo") {
        text += &mount(config, line);
    }
    text += "\n  microseconds in each phase of init\n";
    for phase in Phase::ALL {
        let spent = container.page.spent(*phase);
        if spent != 0 && *phase != Phase::Gate {
            let _to_a_string = writeln!(text, "  {:<16}{:>8.1}", phase.name(), spent as f64 / 1e3);
        }
    }
    text
}

/// A line of mountinfo next to the entry of config.json that caused it (proc(5)).
fn mount(config: &Value, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let (Some(target), Some(options)) = (words.get(4), words.get(5)) else { return String::new() };
    let kind = line.split(" - ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    let named = |list: &str| {
        config["linux"][list].as_array().is_some_and(|paths| paths.iter().any(|path| path == target))
    };
    let asked = config["mounts"]
        .as_array()
        .and_then(|mounts| mounts.iter().find(|one| one["destination"] == *target));
    let asked = match asked {
        _ if *target == "/" => {
            if config["root"]["readonly"] == true {
                "root, readonly".into()
            } else {
                "root".into()
            }
        }
        Some(mount) => {
            let options = mount["options"].as_array().map(Vec::as_slice).unwrap_or_default();
            let options: Vec<&str> = options.iter().filter_map(Value::as_str).collect();
            format!("{} {}", mount["type"].as_str().unwrap_or_default(), options.join(","))
        }
        None if named("maskedPaths") => "masked".into(),
        None if named("readonlyPaths") => "read-only".into(),
        None => "part of the above, or a device of the host".into(),
    };
    format!("  {target:<24} {kind:<8} {options:<34} {asked}\n")
}
