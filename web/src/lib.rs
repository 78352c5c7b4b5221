//! What the page, its workers and native tests share: plain data and plain functions.
//!
//! ```text
//! page (bin/app, app/) ── protocol: numbered requests ──▶ worker (bin/worker, worker/) ── shared
//!        ▲                                                          │
//!        └──────────── protocol: numbered responses ────────────────┘
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`protocol`] | what the page and a worker say to each other |
//! | [`manifest`] | the list of bundles that lie beside the page |
//! | [`position`] | from bytes to UTF-16, the browser's unit |
//! | [`diff`] | where the student differs from its teacher |
//! | [`distribution`] | softened probabilities and their KL divergence |
//! | [`latency`] | median, 95th percentile and speed |
//! | [`link`] | text and options in the part of the address after `#` |
//! | [`export`] | what was tagged as JSON, CoNLL columns or HTML |
//! | [`dropped`] | what a set of dropped files is |
//! | [`report`] | the F1 of a bundle's report |
//! | [`colour`] | one of eight colours for each entity type |
//!
//! Nothing here knows a browser, a tensor or a tokenizer, so the page links none of them.

pub mod colour;
pub mod diff;
pub mod distribution;
pub mod dropped;
pub mod export;
pub mod latency;
pub mod link;
pub mod manifest;
pub mod position;
pub mod protocol;
pub mod report;
