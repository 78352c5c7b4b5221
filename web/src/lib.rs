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
//! | [`json`], [`wire`] | both as JSON, small enough for the page |
//! | [`position`] | from bytes to UTF-16, the browser's unit |
//! | [`diff`] | where the student differs from its teacher |
//! | [`distribution`] | softened probabilities and their KL divergence |
//! | [`latency`] | median, 95th percentile and speed |
//! | [`link`] | text and options in the part of the address after `#` |
//! | [`export`] | what was tagged as JSON, CoNLL columns or HTML |
//! | [`dropped`] | what a set of dropped files is |
//! | [`tar`] | a bundle as one file |
//! | [`number`], [`order`] | numbers as text, and one sort, small enough for the page |
//! | [`keys`] | the entity types of a model, and the key of each |
//! | [`correction`] | what stands marked in a text, edited by words |
//! | [`lessons`] | texts with all their entities, to learn from |
//! | [`history`] | undo and redo |
//! | [`settings`] | the settings of a run, and their limits |
//! | [`curve`] | the curves of a run |
//! | [`colour`] | one of eight colours for each entity type |
//!
//! Nothing here knows a browser, a tensor or a tokenizer, so the page links none of them.

pub mod colour;
pub mod correction;
pub mod curve;
pub mod diff;
pub mod distribution;
pub mod dropped;
pub mod export;
pub mod history;
pub mod json;
pub mod keys;
pub mod latency;
pub mod lessons;
pub mod link;
pub mod manifest;
pub mod number;
pub mod order;
pub mod position;
pub mod protocol;
pub mod settings;
pub mod tar;
pub mod wire;
