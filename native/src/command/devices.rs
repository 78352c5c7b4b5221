//! `devices`: the graphics adapters of this machine, and what `--device auto` takes.

use anyhow::Result;
use serde_json::json;

use super::print;
use crate::cli::CommonArgs;
use crate::device::{self, Adapter, Wanted};

/// Lists.
pub fn run(args: &CommonArgs) -> Result<()> {
    let adapters = device::adapters();
    if args.json {
        let why = device::choose(Wanted::Auto, true)?;
        let report = json!({ "auto": device::name(), "why": why, "adapters": adapters });
        return print(&report.to_string());
    }
    for (number, adapter) in adapters.iter().enumerate() {
        print(&row(number, adapter))?;
    }
    if !device::HAS_GPU {
        print("built without the feature `gpu`, so no adapter was looked for")?;
    } else if adapters.is_empty() {
        print("no adapter for Vulkan, Metal or DirectX 12")?;
    }
    let why = device::choose(Wanted::Auto, true)?;
    print(&format!("--device auto takes: {}{}", device::name(), device::behind(&why)))
}

fn row(number: usize, adapter: &Adapter) -> String {
    let memory = match adapter.memory_bytes {
        Some(bytes) => format!("{} MB", bytes / 1_000_000),
        None => "memory unknown".to_owned(),
    };
    let mut features = vec![];
    features.extend(adapter.half_precision.then_some("half precision"));
    features.extend(adapter.subgroups.then_some("subgroups"));
    let features = if features.is_empty() { "none".to_owned() } else { features.join(", ") };
    format!(
        "gpu:{number}  {} ({}, {})\n       {memory}, largest tensor {} MB, features: {features}\n       \
         driver: {}",
        adapter.name,
        adapter.kind,
        adapter.interface,
        adapter.largest_tensor_bytes / 1_000_000,
        adapter.driver
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_is_three_lines() {
        let adapter = Adapter {
            name: "Card".to_owned(),
            kind: "discrete",
            number: 0,
            interface: "vulkan".to_owned(),
            driver: "maker 1.2".to_owned(),
            memory_bytes: Some(8_000_000_000),
            largest_tensor_bytes: 2_000_000_000,
            half_precision: true,
            subgroups: false,
        };
        let want = "gpu:3  Card (discrete, vulkan)\n       8000 MB, largest tensor 2000 MB, features: \
                    half precision\n       driver: maker 1.2";
        assert_eq!(row(3, &adapter), want);
    }
}
