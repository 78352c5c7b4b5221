//! `tests::hostile::bundle` on whatever libFuzzer thinks of.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tests::hostile::bundle(bytes));
