//! Messages between a device and a cloud, of any bytes: what a cloud takes from devices, and what a
//! device takes from its cloud.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tricorn_core::HiddenCodec;
use tricorn_fuzz::messages::{assert_rows, received};
use tricorn_wire::{Description, Downlink, Uplink, proto};

const HIDDEN: usize = 8;

fuzz_target!(|bytes: &[u8]| {
    if let Some(Uplink::Append(append)) = received::<proto::Uplink, Uplink>(bytes) {
        assert!(append.header.end() >= append.header.pos);
        for codec in HiddenCodec::ALL {
            assert_rows(append.decode(codec, HIDDEN), append.rows.len());
        }
    }
    if let Some(Downlink::Deep(deep)) = received::<proto::Downlink, Downlink>(bytes) {
        for codec in HiddenCodec::ALL {
            assert_rows(deep.decode(codec, HIDDEN), deep.rows.len());
        }
    }
    received::<proto::DescribeResponse, Description>(bytes);
});
