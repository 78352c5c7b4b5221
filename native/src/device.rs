//! The device training and tagging run on, and the parallel kernels for host memory. Nothing else in
//! the command line names a backend.

use burn::tensor::Device;
use rayon::prelude::*;
use understudy_shared::model::TokenClassifier;
use understudy_shared::train::adamw::{
    HostKernels, Placement, Update, sum_of_squares, update_slices,
};

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
    Placement::Host(HostKernels { update, sum_of_squares: parallel_sum_of_squares })
}

/// Values a thread works on at a time: three slices of this size fit a core's L2 cache.
const CHUNK: usize = 32 * 1024;

fn update(
    update: &Update,
    parameters: &mut [f32],
    gradients: &[f32],
    first: &mut [f32],
    second: &mut [f32],
) {
    parameters
        .par_chunks_mut(CHUNK)
        .zip(gradients.par_chunks(CHUNK))
        .zip(first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK)))
        .for_each(|((parameters, gradients), (first, second))| {
            update_slices(update, parameters, gradients, first, second);
        });
}

/// Chunks are summed in order, so that the sum does not depend on the threads.
fn parallel_sum_of_squares(values: &[f32]) -> f64 {
    values.par_chunks(CHUNK).map(sum_of_squares).collect::<Vec<_>>().iter().sum()
}
