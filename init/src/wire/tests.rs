use core::mem::MaybeUninit;
use std::ffi::{CStr, CString};
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::config::{
    Capabilities, Device, InitConfig, Join, Labels, Layer, Link, MemoryPolicy, Mount, Namespaces, Network,
    ProcError, Process, Rlimit, Root, Setting, Sync, Terminal,
};
use crate::sys::arena::Arena;

struct Buffer(Vec<u8>);

impl Sink for Buffer {
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

fn encode(value: &impl Value) -> Vec<u8> {
    let mut buffer = Buffer(Vec::new());
    value.write(&mut buffer);
    buffer.0
}

/// Reads with an arena of `size` bytes and hands the result to `check`.
fn decode<R>(body: &[u8], size: usize, check: impl FnOnce(Result<InitConfig<'_>, Malformed>) -> R) -> R {
    let mut memory = std::vec![MaybeUninit::uninit(); size];
    let arena = Arena::new(&mut memory);
    check(read(body, &arena))
}

/// Every field differs from its default, so a field that one side forgets is found.
#[test]
fn every_field_survives_the_wire() {
    let setting = [Setting { key: c"mode", value: c"755", flag: true }];
    let mount = [Mount {
        target: c"/dev",
        kind: c"tmpfs",
        options: &setting,
        tree: Some(7),
        source: c"/src",
        recursive: true,
        set: 1 << 40,
        clear: 2,
        set_all: 3,
        clear_all: 4,
        copy_up: true,
        own: true,
        propagation: 1 << 18,
        seal: true,
        real: true,
        on_proc: true,
        file: true,
        plain: c",mode=755,",
    }];
    let layer = Layer { mounts: &mount, readonly_paths: &[c"/a", c"/b"], masked_paths: &[c"/c"] };
    let device =
        [Device { path: c"/dev/x", mode: 0o020_666, major: 1, minor: 2, uid: 3, gid: 4, source: c"/dev/y" }];
    let config = InitConfig {
        parent: 3,
        page: 4,
        timing: true,
        filter: true,
        netlink: true,
        namespaces: Namespaces { join: &[Join { fd: 6, kind: 1 << 28 }], unshare: 1 << 27, spawn: true },
        keyring: c"_ses.x",
        terminal: Terminal { open: true, console: true, rows: 24, columns: 80 },
        labels: Labels { apparmor: c"profile", selinux: c"a:b:c:s0" },
        root: Root { tree: Some(5), path: c"/r", switch: 1, propagation: 9, readonly: true },
        network: Network { wait: true, join: true, loopback: true },
        early: layer,
        late: layer,
        devices: &device,
        links: &[Link { path: c"/dev/fd", target: c"/proc/self/fd" }],
        ahead: true,
        hooks: true,
        hostname: c"h",
        domainname: c"d",
        sysctl: &setting,
        process: Process {
            args: &[c"sh", c""],
            env: &[c"A=\xc3\xa9\n\"\\"],
            cwd: c"/",
            uid: 1,
            gid: 2,
            groups: &[3, u32::MAX - 1],
            keep_groups: true,
            umask: 0o22,
            no_new_privs: true,
            capabilities: Capabilities {
                bounding: u64::MAX,
                effective: 1,
                permitted: 2,
                inheritable: 3,
                ambient: 4,
            },
            rlimits: &[Rlimit { resource: 7, soft: 1, hard: u64::MAX }],
            oom_score_adj: Some(-1000),
            parent_death_signal: 9,
            home: true,
            listen_pid: true,
            preserve: 2,
            personality: 9,
            memory_policy: MemoryPolicy { set: true, mode: 2, nodes: 3 },
        },
    };
    let text = std::string::String::from_utf8(encode(&config)).unwrap();
    decode(text.as_bytes(), 1 << 16, |back| assert_eq!(back.unwrap(), config));
    // No field at its default: the writer has left out nothing that the types have.
    for name in ["parent", "seal", "keep_groups", "oom_score_adj", "on_proc", "readonly_paths", "domainname"]
    {
        assert!(text.contains(&std::format!("\"{name}\":")), "{name}");
    }
}

#[test]
fn headers_round_trip_and_refuse_strangers() {
    for kind in [Kind::Config, Kind::ConfigFd, Kind::Sync, Kind::Error, Kind::Filter, Kind::Netlink] {
        let header = Header { kind, length: 17 };
        assert_eq!(Header::decode(header.encode()), Ok(header));
    }
    let good = Header { kind: Kind::Sync, length: 0 }.encode();
    assert_eq!(&good[..4], b"OCIi");
    let with = |at: usize, byte: u8| {
        let mut header = good;
        header[at] = byte;
        Header::decode(header)
    };
    assert_eq!(with(0, 0), Err(BadHeader::Magic));
    assert_eq!(with(4, 2), Err(BadHeader::Version(2)));
    assert_eq!(with(6, 9), Err(BadHeader::Kind(9)));
    assert_eq!(with(10, 1), Err(BadHeader::Length(65536)));
}

#[test]
fn refusals_have_a_reason_and_a_place() {
    for (body, reason, offset) in [
        ("", Reason::Syntax, 0),
        ("[]", Reason::Syntax, 0),
        ("{\"parent\":1} x", Reason::Syntax, 2),
        ("{\"colour\":1}", Reason::UnknownKey, 2),
        ("{\"parent\":1,\"parent\":1}", Reason::RepeatedKey, 13),
        ("{\"parent\":2147483648}", Reason::Syntax, 2),
        ("{\"process\":{\"uid\":4294967296}}", Reason::Range, 13),
        ("{\"hostname\":\"\\u0000\"}", Reason::Nul, 13),
        ("{\"hostname\":\"\\ud800\"}", Reason::Escape, 13),
        ("{\"hostname\":\"\\q\"}", Reason::Escape, 13),
        ("{\"parent\":1.5}", Reason::Syntax, 2),
        ("{\"parent\":01}", Reason::Syntax, 2),
        ("{\"process\":{\"args\":[[]]}}", Reason::Syntax, 13),
    ] {
        decode(body.as_bytes(), 4096, |back| {
            let bad = back.unwrap_err();
            // An overflow of i32 is the tokenizer's to find, of u32 ours; both are refusals.
            assert!(bad.reason == reason || bad.reason == Reason::Range, "{body}: {bad:?}");
            assert_eq!(bad.offset, offset, "{body}: {bad:?}");
        });
    }
    decode(b"{\"hostname\":\"aaaaaaaaaaaaaaaa\"}", 8, |back| {
        assert_eq!(back.unwrap_err().reason, Reason::Memory);
    });
}

#[test]
fn escapes_are_joined() {
    let body = br#"{"hostname":"\u00e9\ud83d\ude00\udcff\n\/\"\\"}"#;
    decode(body, 4096, |back| {
        assert_eq!(back.unwrap().hostname.to_bytes(), b"\xc3\xa9\xf0\x9f\x98\x80\xff\n/\"\\");
    });
}

fn text() -> impl Strategy<Value = CString> {
    proptest::collection::vec(1u8..=255, 0..40).prop_map(|bytes| CString::new(bytes).unwrap())
}

proptest! {
    #[test]
    fn any_bytes_survive(hostname in text(), args in proptest::collection::vec(text(), 0..20), uid: u32, score: Option<i32>, hard: u64) {
        let args: Vec<&CStr> = args.iter().map(CString::as_c_str).collect();
        let rlimits = [Rlimit { resource: 1, soft: 0, hard }];
        let config = InitConfig {
            hostname: &hostname,
            process: Process { args: &args, uid, oom_score_adj: score, rlimits: &rlimits, ..Process::default() },
            ..InitConfig::default()
        };
        decode(&encode(&config), 1 << 16, |back| assert_eq!(back.unwrap(), config));
    }

    #[test]
    fn garbage_never_panics(body in proptest::collection::vec(any::<u8>(), 0..200), size in 0usize..300) {
        decode(&body, size, |back| assert!(back.is_ok() || back.is_err()));
    }

    #[test]
    fn damaged_configurations_never_panic(at in 0usize..300, byte: u8, size in 0usize..2000) {
        let mut body = br#"{"parent":3,"root":{"path":"/r","switch":1},"early":{"mounts":[{"target":"/proc","kind":"proc","options":[{"key":"a","value":"b"}]}]},"process":{"args":["sh","-c","x\n"],"groups":[1,2,3],"rlimits":[{"resource":7,"soft":1,"hard":2}]}}"#.to_vec();
        if let Some(slot) = body.get_mut(at) {
            *slot = byte;
        }
        decode(&body, size, |back| assert!(back.is_ok() || back.is_err()));
    }

    #[test]
    fn reports_survive(phase: u32, op: u32, path in text(), errno in 0u32..4096) {
        let error = ProcError { phase, op, path: &path, errno };
        let body = encode(&error);
        let mut memory = [MaybeUninit::uninit(); 4096];
        let arena = Arena::new(&mut memory);
        prop_assert_eq!(read::<ProcError<'_>>(&body, &arena).unwrap(), error);
        prop_assert_eq!(encode(&Sync { step: c"procRun" }), b"{\"step\":\"procRun\"}".to_vec());
    }
}
