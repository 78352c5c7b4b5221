//! `tests::hostile::jsonl` on whatever libFuzzer thinks of.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tests::hostile::jsonl(bytes));
