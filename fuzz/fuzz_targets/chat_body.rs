//! Bodies of requests to the endpoint, of any bytes: read, rendered, tokenised, their grammars
//! compiled. Good seeds: bodies of chats as clients send them, with tools and `response_format`.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// Bytes of an error's body: what it repeats of a request is cut.
const MAX_ERROR: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    for prepare in [tricorn_api::fuzzing::chat, tricorn_api::fuzzing::completion] {
        if let Err(refused) = prepare(bytes) {
            assert!((400..500).contains(&refused.status), "{refused:?}");
            assert!(refused.body.len() <= MAX_ERROR, "{refused:?}");
        }
    }
});
