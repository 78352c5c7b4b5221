//! Training: settings, schedule, optimiser, the one loop, and its scores.

pub mod adamw;
pub mod config;
pub mod evaluate;
pub mod fit;
pub mod plan;
pub mod schedule;
pub mod source;
pub mod state;
pub mod trainee;
