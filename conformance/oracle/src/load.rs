//! How long the kernel takes to load a filter, which it can never be rid of: each time a new thread
//! of another process does it.

use std::io::Write;
use std::process::{Command, Stdio};

use harness_oracle::clock;
use harness_oracle::seccomp::Instruction;
use seccompiler::sock_filter;

type Parts = (u16, u8, u8, u32);

/// Processor time of seccomp(2) in nanoseconds, each of `rounds` times.
pub fn measure(program: &[Instruction], rounds: usize) -> Result<Vec<u64>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("load: {error}");
    let mut child = Command::new(std::env::current_exe().map_err(|error| failed(&error))?)
        .arg("load")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&error))?;
    let parts: Vec<Parts> = program.iter().map(|one| (one.code, one.jt, one.jf, one.k)).collect();
    let text = serde_json::to_string(&(rounds, parts)).map_err(|error| failed(&error))?;
    let mut input = child.stdin.take().ok_or("load: no pipe")?;
    input.write_all(text.as_bytes()).map_err(|error| failed(&error))?;
    drop(input);
    let output = child.wait_with_output().map_err(|error| failed(&error))?;
    if !output.status.success() {
        return Err(failed(&output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(&error))
}

/// The other process.
pub fn serve() -> Result<(), String> {
    let (rounds, parts): (usize, Vec<Parts>) =
        serde_json::from_reader(std::io::stdin()).map_err(|error| error.to_string())?;
    let program: Vec<sock_filter> =
        parts.into_iter().map(|(code, jt, jf, k)| sock_filter { code, jt, jf, k }).collect();
    let mut times = Vec::new();
    for _ in 0..rounds {
        let one = || {
            let start = clock::now();
            let done = seccompiler::apply_filter(&program);
            done.map(|()| clock::now() - start)
        };
        let time = std::thread::scope(|scope| scope.spawn(one).join());
        times.push(time.map_err(|_| "a thread ended")?.map_err(|error| error.to_string())?);
    }
    let text = serde_json::to_string(&times).map_err(|error| error.to_string())?;
    writeln!(std::io::stdout(), "{text}").map_err(|error| error.to_string())
}
