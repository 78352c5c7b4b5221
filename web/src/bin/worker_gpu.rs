//! The same worker with models on the GPU.

#[path = "../worker/mod.rs"]
mod worker;

fn main() {
    worker::start();
}
