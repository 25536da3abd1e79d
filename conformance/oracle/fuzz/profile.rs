//! Any bytes as a profile, of an engine or of config.json: it is refused or compiled, and what is
//! compiled means what the profile says, on every architecture, and can be shown.
#![no_main]

use std::path::Path;

use harness_oracle::engines::{self, CAPABILITIES};
use harness_oracle::samples::{self, Breadth};
use harness_oracle::seccomp::{Arch, Filter, engine, text};
use harness_oracle::spec::{Seccomp, parse_part};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("profile");
    if let Ok(profile) = parse_part::<Seccomp<'_>>(path, bytes) {
        check(&profile, Arch::X86_64);
    }
    let mut arches = Arch::ALL.into_iter().cycle().skip(bytes.len());
    for capabilities in CAPABILITIES {
        let Some(arch) = arches.next() else { return };
        let Ok(profile) = engine::parse(path, bytes, &engines::target(arch, capabilities)) else { return };
        check(&profile, arch);
    }
});

fn check(profile: &Seccomp<'_>, arch: Arch) {
    let Ok(filter) = Filter::new(profile, arch, "/linux/seccomp") else { return };
    assert!(filter.program.len() <= 4096);
    assert_eq!(filter.section().len(), 16 + 8 * filter.program.len());
    assert_eq!(text::listing(&filter).lines().count(), filter.program.len());
    let _any_lints = text::lints(&filter);
    let _any_answer = filter.preflight(false, "/linux/seccomp");
    samples::check(&filter, Breadth::Near);
}
