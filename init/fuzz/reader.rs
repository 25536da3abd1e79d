//! Any bytes as a configuration: the reader refuses or accepts, and what it accepts it writes and
//! reads again to the same value.
#![no_main]

use std::mem::MaybeUninit;

use init_core::config::InitConfig;
use init_core::sys::arena::Arena;
use init_core::wire::{Header, Sink, Value, read};

struct Buffer(Vec<u8>);

impl Sink for Buffer {
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    if let Some((header, _)) = body.split_first_chunk() {
        let _any_answer = Header::decode(*header);
    }
    let mut memory = vec![MaybeUninit::uninit(); 256 * 1024];
    let arena = Arena::new(&mut memory);
    let Ok(config) = read::<InitConfig<'_>>(body, &arena) else { return };
    let mut text = Buffer(Vec::new());
    config.write(&mut text);
    let mut memory = vec![MaybeUninit::uninit(); 256 * 1024];
    let again = Arena::new(&mut memory);
    assert_eq!(read::<InitConfig<'_>>(&text.0, &again), Ok(config));
});
