//! The page: what is typed and clicked goes to a worker, and what the worker answers is shown. It
//! computes on no tensor.

#[path = "../app/mod.rs"]
mod app;

fn main() {
    app::start();
}
