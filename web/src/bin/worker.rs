//! The worker that keeps models in the CPU's memory.

#[path = "../worker/mod.rs"]
mod worker;

fn main() {
    worker::start();
}
