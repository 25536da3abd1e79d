//! Compiled filters against the rules, on all processors.

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};

use harness_oracle::engines::{self, CAPABILITIES, PROFILES};
use harness_oracle::random::{self, Class};
use harness_oracle::samples::{self, Breadth};
use harness_oracle::seccomp::Arch;

/// At least `wanted` samples; a difference is a panic that names the call.
pub fn run(wanted: u64) -> Result<(), String> {
    let mut real = 0;
    for (_, text) in PROFILES {
        for arch in Arch::ALL {
            for capabilities in CAPABILITIES {
                let filter = engines::compile(text, &engines::target(arch, capabilities));
                real += samples::check(&filter.map_err(|error| error.to_string())?, Breadth::Wide);
            }
        }
    }
    println!("profiles of engines: {real} samples, no difference");
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(real));
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(|| {
                while done.load(Ordering::Relaxed) < wanted {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    done.fetch_add(one(number), Ordering::Relaxed);
                }
            });
        }
    });
    let total = done.into_inner();
    println!("random: {} profiles, {} samples, no difference", next.into_inner(), total - real);
    println!("total: {total} samples");
    if total < wanted { Err(format!("less than {wanted}")) } else { Ok(()) }
}

fn one(number: u64) -> u64 {
    let text = random::profile(Class::Any, number).to_string();
    // Every architecture has its turn as the native one.
    let arch = Arch::ALL[number as usize % Arch::ALL.len()];
    let filter = engines::compile(&text, &engines::target(arch, &[]));
    let filter = filter.unwrap_or_else(|error| panic!("random profile {number}: {error}\n{text}"));
    samples::check(&filter, Breadth::Near)
}
