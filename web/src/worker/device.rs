//! The device of this worker, and a check that it computes what it should. No other file of the web
//! crate names a backend.

use burn::tensor::Device;
use understudy_shared::data::batch::BatchBudget;
use understudy_shared::data::example::Example;
use understudy_shared::infer::logits::for_each_logits;
use understudy_shared::model::{BertConfig, TokenClassifier};
use web::protocol::Backend;

use super::Stop;

/// Whether this module's models are in host memory.
const ON_HOST: bool = cfg!(not(feature = "webgpu"));

/// Opens the device of this module and checks it.
///
/// # Errors
///
/// A backend that this module does not have, no device, or one that computes something else.
pub async fn open(backend: Backend) -> Result<(Device, f32), Stop> {
    let device = open_unchecked(backend).await?;
    let difference = self_check(&device).await;
    if difference <= TOLERANCE {
        return Ok((device, difference));
    }
    Err(Stop::failed(format!(
        "{} computes logits that differ by {difference} from the stored ones; expected \
         {TOLERANCE} at most: a broken driver, most likely",
        backend.name()
    )))
}

#[cfg(not(feature = "webgpu"))]
async fn open_unchecked(backend: Backend) -> Result<Device, Stop> {
    match backend {
        Backend::Cpu => Ok(Device::flex()),
        Backend::Webgpu => Err(Stop::failed("this module has no WebGPU; expected worker_gpu")),
    }
}

#[cfg(feature = "webgpu")]
async fn open_unchecked(backend: Backend) -> Result<Device, Stop> {
    match backend {
        Backend::Cpu => Err(Stop::failed("this module is for WebGPU; expected worker")),
        Backend::Webgpu => Device::wgpu_options()
            .init_async()
            .await
            .map_err(|error| Stop::failed(format!("WebGPU: {error}"))),
    }
}

/// Tells a model what it needs to know of the device.
pub fn place(model: TokenClassifier) -> TokenClassifier {
    if ON_HOST { model.on_host() } else { model }
}

/// Largest difference of a logit that rounding explains: 24-bit significands through two layers leave
/// about 1e-6, and a GPU's approximate `exp` and `erf` about 1e-4.
const TOLERANCE: f32 = 2e-3;

/// Seed of the check's model.
const SEED: u64 = 7;

/// Logits of the check's model, `[4, 3]`, as Burn's flex computes them; the unit test below says so
/// when they change.
const EXPECTED: [f32; 12] = [
    1.1243466,
    3.2048998,
    -0.88466704,
    0.56011,
    2.7335346,
    -3.4881122,
    0.61846054,
    3.047946,
    -3.175023,
    0.0112953335,
    4.2703648,
    -2.1969576,
];

/// The largest difference of a small random model's logits from the stored ones. The weights are large
/// enough for attention and GELU to leave their linear range.
async fn self_check(device: &Device) -> f32 {
    let config = BertConfig { initializer_range: 0.4, ..BertConfig::tiny(32) };
    let model = place(TokenClassifier::init(&config, 3, SEED, device));
    let example = Example {
        sentence: 0,
        input_ids: vec![2, 17, 9, 3],
        word_ids: vec![None; 4],
        counted: vec![false; 4],
        label_ids: vec![0; 4],
    };
    let mut difference = f32::INFINITY;
    for_each_logits(&model, &[example], 0, BatchBudget::Sentences(1), |_, logits| {
        let pairs = logits.iter().zip(EXPECTED);
        // A NaN must not pass, and `f32::max` would drop it.
        difference = pairs
            .map(|(found, expected)| (found - expected).abs())
            .fold(0.0, |a, b| if b.is_nan() || b > a { b } else { a });
        true
    })
    .await;
    difference
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn the_stored_logits_are_those_of_the_processor() {
        // Burn's CPU backend never waits, so one poll is enough.
        let check = pin!(open(Backend::Cpu));
        let Poll::Ready(opened) = check.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("the processor made a test wait");
        };
        let (_, difference) = opened.expect("a device");
        assert!(difference <= 1e-4, "{difference}");
    }
}
