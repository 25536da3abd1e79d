//! The log that engines read: records of level, message and time, as text or JSON. containerd's
//! shim shows the last error of it.

use std::io::Write;
use std::sync::OnceLock;
use std::time::SystemTime;

use crate::cli::Global;

/// The command line's, for who is not told.
static GLOBAL: OnceLock<Global> = OnceLock::new();

/// From here on warnings go to `--log`, if there is one.
pub fn open(global: &Global) {
    if global.log.is_some() {
        let _once = GLOBAL.set(global.clone());
    }
}

/// Tells of something that does not end the call: on stderr only without a log, as that of `create` and
/// `run` is the container's, too.
pub fn warning(message: &str) {
    match GLOBAL.get() {
        Some(global) => write(global, "warning", message),
        None => eprintln!("warning: {message}"),
    }
}

/// Appends an error to `--log`. A log that cannot be written is reported on stderr.
pub fn error(global: &Global, message: &str) {
    write(global, "error", message);
}

/// Appends a debug record, with `--debug`.
pub fn debug(global: &Global, message: &str) {
    if global.debug {
        write(global, "debug", message);
    }
}

fn write(global: &Global, level: &str, message: &str) {
    let Some(path) = &global.log else {
        if level == "debug" {
            eprintln!("debug: {message}");
        }
        return;
    };
    let time = humantime::format_rfc3339_nanos(SystemTime::now()).to_string();
    let line = if global.json {
        serde_json::json!({ "level": level, "msg": message, "time": time }).to_string()
    } else {
        format!("time={time:?} level={level} msg={message:?}")
    };
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    if let Err(error) = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())) {
        eprintln!("warning: --log {}: {error}", path.display());
    }
}
