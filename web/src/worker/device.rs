//! The device of this worker, and a check that it computes what it should. No other file of the web
//! crate names a backend.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Int, Tensor, Transaction};
use understudy_shared::data::batch::BatchBudget;
use understudy_shared::data::example::Example;
use understudy_shared::infer::logits::for_each_logits;
use understudy_shared::model::{BertConfig, Noise, TokenClassifier};
use understudy_shared::train::adamw::Placement;
use web::protocol::Backend;

use super::Stop;

/// Whether this module's models are in host memory.
const ON_HOST: bool = cfg!(not(feature = "webgpu"));

/// Opens the device of this module and checks it.
///
/// # Errors
///
/// A backend that this module does not have, no device, or one that computes something else.
pub async fn open(backend: Backend) -> Result<Device, Stop> {
    let device = open_unchecked(backend).await?;
    let difference = self_check(&device).await;
    if difference <= TOLERANCE {
        return Ok(device);
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

/// Where the optimiser computes.
pub fn placement() -> Placement {
    if ON_HOST { Placement::Host } else { Placement::Device }
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

/// The check's model: weights large enough for attention and GELU to leave their linear range.
fn check_model(device: &Device) -> TokenClassifier {
    let config = BertConfig { initializer_range: 0.4, ..BertConfig::tiny(32) };
    place(TokenClassifier::init(&config, 3, SEED, device))
}

/// What the check's model reads.
const IDS: [u32; 4] = [2, 17, 9, 3];

/// The largest difference of a small random model's logits from the stored ones.
async fn self_check(device: &Device) -> f32 {
    let model = check_model(device);
    let example = Example {
        sentence: 0,
        input_ids: IDS.to_vec(),
        word_ids: vec![None; 4],
        counted: vec![false; 4],
        label_ids: vec![0; 4],
    };
    let mut difference = f32::INFINITY;
    for_each_logits(&model, &[example], 0, BatchBudget::Sentences(1), |_, logits| {
        difference = largest(logits.iter().zip(EXPECTED).map(|(found, want)| (found - want).abs()));
        true
    })
    .await;
    difference
}

/// The largest; a NaN must not pass, and `f32::max` would drop it.
fn largest(differences: impl Iterator<Item = f32>) -> f32 {
    differences.fold(0.0, |a, b| if b.is_nan() || b > a { b } else { a })
}

/// Largest relative difference of a gradient that is no fault: a GPU's derivative of GELU is that of
/// its approximation by tanh, up to 1e-3 beside the exact one.
const GRADIENT_TOLERANCE: f32 = 2e-2;

/// Of each of the check's parameters the sum of its gradient times `cos(index)`, as Burn's flex
/// computes it without fused operations.
const EXPECTED_GRADIENTS: [f32; 39] = [
    -5.9119415,
    0.35917974,
    -0.4054314,
    -4.3659616,
    0.7949828,
    2.1155343,
    0.47490075,
    -13.287645,
    -1.3431973e-7,
    -1.5056872,
    -1.5674939,
    -10.265659,
    -0.24400048,
    0.5678939,
    -1.2184399,
    2.3593261,
    -0.7690851,
    -13.687767,
    0.065419205,
    2.9812438,
    0.27896416,
    2.9136784,
    -0.021295026,
    -4.6923504,
    -6.0662256e-7,
    1.2668831,
    0.8279817,
    -0.44121408,
    0.030539244,
    -0.78574216,
    0.17251849,
    7.174462,
    1.1487269,
    -1.8012614,
    0.06973656,
    1.4133236,
    0.20357716,
    -3.2573187,
    0.06563251,
];

/// Checks that the device computes the gradients it should, before anything is trained on it.
///
/// # Errors
///
/// Gradients that differ from the stored ones.
pub async fn check_gradients(device: &Device) -> Result<(), Stop> {
    let found = gradients(check_model(device)).await;
    let pairs = found.iter().zip(EXPECTED_GRADIENTS);
    let difference = largest(pairs.map(|(found, want)| (found - want).abs() / want.abs().max(1.0)));
    if found.len() == EXPECTED_GRADIENTS.len() && difference <= GRADIENT_TOLERANCE {
        return Ok(());
    }
    Err(Stop::failed(format!(
        "this device computes gradients that differ by a share of {difference} from the stored ones; \
         expected {GRADIENT_TOLERANCE} at most: train on the CPU"
    )))
}

/// The projections of all gradients of the check.
async fn gradients(model: TokenClassifier) -> Vec<f32> {
    let model = model.train();
    let device = model.device();
    let ids = IDS.map(|id| id as i32);
    let ids = Tensor::<1, Int>::from_ints(ids, &device).reshape([1, 4]);
    let mask = ids.clone().greater_elem(0);
    let logits = model.forward(ids, mask, false, &mut Noise::off());
    let weights = Tensor::<1, Int>::arange(0..12, &device).float().cos().reshape([1, 4, 3]);
    let gradients = (logits * weights).sum().backward();
    let mut project = Project { gradients: &gradients, sums: vec![] };
    model.visit(&mut project);
    let register = |all: Transaction, sum: Tensor<1>| all.register(sum);
    let data = project.sums.into_iter().fold(Transaction::default(), register);
    let data = data.execute_async().await.unwrap_or_default();
    data.iter().flat_map(|data| data.iter::<f32>()).collect()
}

struct Project<'a> {
    gradients: &'a Gradients,
    sums: Vec<Tensor<1>>,
}

impl ModuleVisitor for Project<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            let gradient = gradient.reshape([-1]);
            let count = gradient.dims()[0] as i64;
            let weights = Tensor::<1, Int>::arange(0..count, &gradient.device()).float().cos();
            self.sums.push((gradient * weights).sum());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn ready<T>(work: impl Future<Output = T>) -> T {
        // Burn's CPU backend never waits, so one poll is enough.
        match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => done,
            Poll::Pending => panic!("the processor made a test wait"),
        }
    }

    #[test]
    fn the_stored_gradients_are_those_of_the_processor() {
        let plain = TokenClassifier::init(
            &BertConfig { initializer_range: 0.4, ..BertConfig::tiny(32) },
            3,
            SEED,
            &Device::flex(),
        );
        let found = ready(gradients(plain));
        assert_eq!(found.len(), EXPECTED_GRADIENTS.len());
        for (found, want) in found.iter().zip(EXPECTED_GRADIENTS) {
            assert!((found - want).abs() <= 1e-4 * want.abs().max(1.0), "{found}, stored {want}");
        }
        ready(check_gradients(&Device::flex())).expect("fused operations give the same");
    }

    #[test]
    fn the_stored_logits_are_those_of_the_processor() {
        let device = ready(open(Backend::Cpu)).expect("a device that passes");
        let difference = ready(self_check(&device));
        assert!(difference <= 1e-4, "{difference}");
    }
}
