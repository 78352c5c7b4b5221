//! The device training and tagging run on. Nothing else in the command line names a backend.

use burn::tensor::Device;
use understudy_shared::model::TokenClassifier;
use understudy_shared::train::adamw::Placement;

/// The CPU, through Burn's flex backend.
pub fn device() -> Device {
    Device::flex()
}

/// Tells a model what it needs to know of the device.
pub fn place(model: TokenClassifier) -> TokenClassifier {
    model.on_host()
}

/// What to call it in reports.
pub fn name() -> String {
    format!("cpu (flex, {} threads)", rayon::current_num_threads())
}

/// Where the optimiser runs: flex tensors are host memory.
pub fn placement() -> Placement {
    Placement::Host
}
