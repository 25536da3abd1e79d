//! Writes `start-path.ld`: the order in which the linker lays out what the verbs of a start run.
//!
//! Such a command runs some 400 of several thousand functions, and each 64 KiB of the binary in which
//! one of them lies costs it a page fault. So each verb is followed step by step, and what it ran
//! goes to the front: what most verbs run first, so that the short ones find all of theirs together.
//! The file is a wish: a name that a later compiler does not make is passed over.
//!
//! usage: order HARNESS BUNDLE >harness/start-path.ld (as root, x86-64; `just order` does it)

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// What is followed, with BUNDLE for the bundle. On cgroup v2, as most hosts have it.
const COMMANDS: [&str; 13] = [
    "create --bundle BUNDLE order",
    "start order",
    "delete --force order",
    "create --bundle BUNDLE --pid-file BUNDLE/pid order",
    "exec order /bin/true",
    "exec --detach --pid-file BUNDLE/pid order /bin/true",
    "state order",
    "kill order KILL",
    "delete --force order",
    "run --bundle BUNDLE order",
    "--log BUNDLE/log --log-format json create --bundle BUNDLE order",
    "start order",
    "delete --force order",
];

/// The verbs that are to be fast. What others run as well goes behind.
const VERBS: [&str; 5] = ["create", "start", "delete", "exec", "run"];

/// Functions of libraries that come without a section for each.
const ASSEMBLY: [&str; 5] =
    ["*crt1.o", "*:memcpy.lo", "*:memmove.lo", "*:memset.lo", "*:__set_thread_area.lo"];

/// What traced runs have left out and others run. For the first everything that it waits for has happened already
/// under a tracer; why the second is left out is not known.
const UNSEEN: [&str; 2] =
    ["_RNvNtNtCs*_7harness6launch5start4wait", "_RINvNtCs*_4core3ptr13drop_in_placeNtCs*_6lexopt5StateEBI_"];

/// Functions by their address: the end and the names, of which those that are alike have many.
type Functions = BTreeMap<u64, (u64, Vec<String>)>;

/// What was run, first things first, and by which of `VERBS`, a bit for each.
type Order = Vec<(u64, u32)>;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [traced, program, rest @ ..] if traced == "--traced" => {
            ptrace::traceme().expect("ptrace");
            panic!("{}", Command::new(program).args(rest).exec());
        }
        [harness, bundle] => {
            let functions = functions(harness);
            let mut order = Order::new();
            for command in COMMANDS {
                follow(harness, &command.replace("BUNDLE", bundle), &functions, &mut order);
            }
            // A stable sort: among equals, first things first.
            order.sort_by_key(|(_, verbs)| (std::cmp::Reverse(verbs.count_ones()), *verbs));
            print(&functions, &order);
        }
        _ => panic!("usage: order HARNESS BUNDLE"),
    }
}

fn functions(harness: &str) -> Functions {
    let table = Command::new("nm").args(["-S", harness]).output().expect("nm").stdout;
    let mut functions = Functions::new();
    for line in String::from_utf8(table).expect("names are ASCII").lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        if let [start, size, "t" | "T" | "w" | "W", name] = fields[..] {
            let number = |text| u64::from_str_radix(text, 16).expect("a number");
            let (start, size) = (number(start), number(size));
            functions.entry(start).or_insert((start + size, Vec::new())).1.push(name.to_owned());
        }
    }
    assert!(!functions.is_empty(), "{harness} has no symbols");
    functions
}

/// Runs a command step by step and notes each function of its own, the first time it is entered.
fn follow(harness: &str, command: &str, functions: &Functions, order: &mut Order) {
    let mut known: HashMap<u64, usize> =
        order.iter().enumerate().map(|(index, (start, _))| (*start, index)).collect();
    let verb = VERBS.iter().position(|verb| command.split(' ').any(|word| word == *verb));
    let bit = verb.map_or(0, |verb| 1 << verb);
    let own = std::env::current_exe().expect("a path");
    let mut child = Command::new(own)
        .args(["--traced", harness, "--root", "/run/harness-order"])
        .args(command.split(' '))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("a process");
    let pid = Pid::from_raw(child.id() as i32);
    let mut here = 0..0;
    let mut signal = None;
    loop {
        match waitpid(pid, None).expect("waitpid") {
            WaitStatus::Stopped(_, stopped) => {
                ptrace::setoptions(pid, Options::PTRACE_O_EXITKILL).expect("setoptions");
                signal = Some(stopped).filter(|stopped| *stopped != nix::sys::signal::Signal::SIGTRAP);
            }
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => break,
            _ => {}
        }
        let at = ptrace::getregs(pid).expect("registers").rip;
        if !here.contains(&at)
            && let Some((start, (end, _))) = functions.range(..=at).next_back()
        {
            here = *start..*end;
            if here.contains(&at) {
                let index = *known.entry(*start).or_insert_with(|| {
                    order.push((*start, 0));
                    order.len() - 1
                });
                order[index].1 |= bit;
            }
        }
        ptrace::step(pid, signal.take()).expect("step");
    }
    let _has_ended = child.wait();
    eprintln!("{} functions after {command}", order.len());
}

/// A name as it is in the next build: without the disambiguators of crates (Cs.._), the crate at the end
/// for which a generic function was made first, and the suffixes of link-time optimization, which every
/// change makes new.
fn pattern(name: &str) -> String {
    let digits = |suffix: &str| suffix.bytes().all(|byte| byte.is_ascii_digit());
    let name = match (name.split_once(".llvm."), name.split_once('.')) {
        (Some((name, _)), _) => format!("{name}*"),
        (None, Some((name, suffix))) if digits(suffix) => format!("{name}.*"),
        _ => name.to_owned(),
    };
    if !name.starts_with("_R") {
        return name;
    }
    let mut parts = name.split("Cs");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |whole, part| match part.split_once('_') {
        Some((_, behind)) if is_name(behind) => format!("{whole}Cs*"),
        Some((_, behind)) => format!("{whole}Cs*_{behind}"),
        None => format!("{whole}Cs{part}"),
    })
}

/// Whether this is an identifier of a mangled name, with its length in front, and nothing else.
fn is_name(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (length, name) = text.split_at(digits);
    length.parse() == Ok(name.len())
}

fn print(functions: &Functions, order: &Order) {
    println!("/* What the verbs of a start run, first what most of them do. Made by `just order`. */");
    println!("SECTIONS\n{{\n  .text.start_path :\n  {{");
    for file in ASSEMBLY {
        println!("    {file}(.text)");
    }
    let mut printed = HashSet::new();
    let unseen = UNSEEN.iter().map(|name| (*name).to_owned());
    let seen = order.iter().flat_map(|(start, _)| &functions[start].1).map(|name| pattern(name));
    for line in unseen.chain(seen) {
        if printed.insert(line.clone()) {
            println!("    *(.text.{line} .text.unlikely.{line})");
        }
    }
    println!("  }}\n}}\nINSERT BEFORE .text;");
    // The few variables that a start has lie in front of it, on one page; those that it has not, behind it.
    println!("SECTIONS\n{{\n  .bss.arena :\n  {{\n    *(.bss.*5alloc9ALLOCATOR)");
    println!("    *(.bss.*DwarfFDECache* .bss.keys .bss.__pthread_tsd_main .bss.__malloc_context)");
    println!("  }}\n}}\nINSERT AFTER .bss;");
}
