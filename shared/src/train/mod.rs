//! Training: settings, schedule, optimiser, the one loop, and its scores.

pub mod adamw;
pub mod config;
pub mod course;
pub mod evaluate;
pub mod exam;
pub mod fit;
pub mod lesson;
pub mod lesson_source;
pub mod plan;
pub mod schedule;
pub mod scope;
pub mod source;
pub mod state;
mod step;
pub mod trainee;
