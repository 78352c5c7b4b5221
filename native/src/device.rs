//! The device training and tagging run on. Nothing else in the command line names a backend.
//!
//! It is chosen once, from `--device`, before anything is computed.

#[cfg(feature = "gpu")]
mod gpu;
mod guard;

use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, bail};
use burn::tensor::Device;
use serde::Serialize;
use understudy_shared::data::batch::{Feed, Shapes};
use understudy_shared::model::TokenClassifier;
use understudy_shared::train::adamw::Placement;

use crate::progress::print_line;
pub use guard::{Fault, inject_fault, retry};

/// What `--device` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A real GPU if there is one, else the CPU.
    Auto,
    /// The best GPU, if need be a software adapter; or that of a number in `understudy devices`.
    Gpu(Option<usize>),
    /// The CPU.
    Cpu,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_prefix("gpu:").map(str::parse);
        match (text, number) {
            ("auto", _) => Ok(Self::Auto),
            ("cpu", _) => Ok(Self::Cpu),
            ("gpu", _) => Ok(Self::Gpu(None)),
            (_, Some(Ok(number))) => Ok(Self::Gpu(Some(number))),
            _ => Err("expected auto, gpu, cpu, or gpu:N with a number of `understudy devices`"
                .to_owned()),
        }
    }
}

/// A graphics adapter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Adapter {
    /// As its driver calls it.
    pub name: String,
    /// `discrete`, `integrated`, `virtual`, `software` or `other`.
    pub kind: &'static str,
    /// Which one of its kind under its interface, counted from 0.
    #[serde(skip)]
    pub number: usize,
    /// `vulkan`, `metal`, `dx12` or `gl`.
    pub interface: String,
    /// Name and version of the driver.
    pub driver: String,
    /// Memory of its own, or its share of the machine's, where the driver tells.
    pub memory_bytes: Option<u64>,
    /// The largest tensor it can hold.
    pub largest_tensor_bytes: u64,
    /// Whether it computes in half precision.
    pub half_precision: bool,
    /// Whether its threads can work in groups, which makes sums and products faster.
    pub subgroups: bool,
}

impl Adapter {
    /// Whether a graphics card does its work.
    pub fn is_real(&self) -> bool {
        ["discrete", "integrated", "virtual"].contains(&self.kind)
    }
}

struct Chosen {
    device: Device,
    name: String,
    is_gpu: bool,
}

static CHOSEN: OnceLock<Chosen> = OnceLock::new();

/// In how many parts a training step is computed, for memory.
static PARTS: AtomicUsize = AtomicUsize::new(1);

/// All graphics adapters, real ones first, as `gpu:N` counts them.
pub fn adapters() -> Vec<Adapter> {
    #[cfg(feature = "gpu")]
    return gpu::adapters();
    #[cfg(not(feature = "gpu"))]
    return vec![];
}

/// Whether this program can compute on a GPU.
pub const HAS_GPU: bool = cfg!(feature = "gpu");

/// Chooses the device of this process, says which one and why, and gives the reason where there is one.
///
/// # Errors
///
/// An adapter that is asked for and not there, or that cannot be opened.
pub fn choose(wanted: Wanted, quiet: bool) -> Result<String> {
    let (adapter, why) = pick(wanted, adapters)?;
    let (chosen, why) = match &adapter {
        None => (cpu(), why.to_owned()),
        Some(adapter) => match (open(adapter), wanted) {
            (Ok(chosen), _) => (chosen, why.to_owned()),
            (Err(error), Wanted::Auto) => (cpu(), format!("a GPU could not be opened: {error:#}")),
            (Err(error), _) => {
                return Err(error.context("--device gpu: expected an adapter that opens, or cpu"));
            }
        },
    };
    if !quiet {
        let more = if chosen.is_gpu || why.is_empty() { "" } else { " (`understudy devices`)" };
        print_line(&format!("device: {}{}{more}", chosen.name, behind(&why)));
    }
    // A second choice cannot happen: a process runs one command.
    let _ = CHOSEN.set(chosen);
    Ok(why)
}

/// A reason behind what it is one for.
pub fn behind(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!("; {why}") }
}

#[cfg(feature = "gpu")]
fn open(adapter: &Adapter) -> Result<Chosen> {
    let name = format!("gpu ({}, {}, {})", adapter.name, adapter.kind, adapter.interface);
    Ok(Chosen { device: gpu::open(adapter)?, name, is_gpu: true })
}

#[cfg(not(feature = "gpu"))]
fn open(_: &Adapter) -> Result<Chosen> {
    bail!("this program was built without the feature `gpu`")
}

/// Which adapter, or the CPU, and the reason in words.
fn pick(
    wanted: Wanted,
    adapters: impl Fn() -> Vec<Adapter>,
) -> Result<(Option<Adapter>, &'static str)> {
    if wanted == Wanted::Cpu {
        return Ok((None, ""));
    }
    if !HAS_GPU {
        let why = match wanted {
            Wanted::Auto => "this program was built without the feature `gpu`",
            _ => bail!(
                "--device gpu: this program was built without the feature `gpu`; expected a build \
                 without --no-default-features, or --device cpu"
            ),
        };
        return Ok((None, why));
    }
    let mut found = adapters();
    let count = found.len();
    let first_is_real = found.first().is_some_and(Adapter::is_real);
    match wanted {
        Wanted::Auto if first_is_real => Ok((Some(found.swap_remove(0)), "")),
        Wanted::Auto if count > 0 => Ok((None, "no adapter is a graphics card")),
        Wanted::Auto => Ok((None, "no GPU was found")),
        Wanted::Gpu(None) if count == 0 => bail!(
            "--device gpu: no adapter was found; expected a driver for Vulkan, Metal or DirectX 12, \
             or --device cpu"
        ),
        Wanted::Gpu(None) => {
            let why = if first_is_real { "" } else { "not a graphics card, for there is none" };
            Ok((Some(found.swap_remove(0)), why))
        }
        Wanted::Gpu(Some(number)) if number < count => Ok((Some(found.swap_remove(number)), "")),
        Wanted::Gpu(Some(number)) => bail!(
            "--device gpu:{number}: `understudy devices` lists {count}; expected a number below that"
        ),
        Wanted::Cpu => unreachable!("answered above"),
    }
}

fn cpu() -> Chosen {
    let name = format!("cpu (flex, {} threads)", rayon::current_num_threads());
    Chosen { device: Device::flex(), name, is_gpu: false }
}

fn chosen() -> &'static Chosen {
    CHOSEN.get_or_init(cpu)
}

/// The device of this process: the CPU through Burn's flex backend, or a GPU through wgpu.
pub fn device() -> Device {
    chosen().device.clone()
}

/// Whether it is a GPU.
pub fn is_gpu() -> bool {
    chosen().is_gpu
}

/// What to call it in reports.
pub fn name() -> &'static str {
    &chosen().name
}

/// How a model is best given its examples there.
pub fn feed() -> Feed {
    let parts = PARTS.load(Ordering::Relaxed);
    match is_gpu() {
        false => Feed::default(),
        true => Feed { shapes: Shapes::Few, subwords: (16_384 / parts).max(512), parts },
    }
}

/// Forgets that an earlier part of this process, such as labelling by a larger model, had too little
/// memory.
pub fn start_in_one_part() {
    PARTS.store(1, Ordering::Relaxed);
}

/// Tells a model what it needs to know of the device.
pub fn place(model: TokenClassifier) -> TokenClassifier {
    if is_gpu() { model.with_feed(feed()) } else { model.on_host() }
}

/// Where the optimiser runs: flex tensors are host memory.
pub fn placement() -> Placement {
    if is_gpu() { Placement::Device } else { Placement::Host }
}

/// Steps whose losses are read together: a GPU would wait for each of them.
pub fn log_every() -> usize {
    if is_gpu() { 16 } else { 1 }
}

/// Whether a model that only reads should do so in half precision.
pub fn prefers_half() -> bool {
    is_gpu() && device().supports_dtype(burn::tensor::FloatDType::F16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(name: &str, kind: &'static str) -> Adapter {
        Adapter {
            name: name.to_owned(),
            kind,
            number: 0,
            interface: "vulkan".to_owned(),
            driver: String::new(),
            memory_bytes: None,
            largest_tensor_bytes: 1,
            half_precision: false,
            subgroups: false,
        }
    }

    fn picked(wanted: Wanted, adapters: &[Adapter]) -> Result<Option<String>> {
        let (adapter, _) = pick(wanted, || adapters.to_vec())?;
        Ok(adapter.map(|adapter| adapter.name))
    }

    #[test]
    fn a_device_is_typed_in_four_ways() {
        assert_eq!("auto".parse(), Ok(Wanted::Auto));
        assert_eq!("cpu".parse(), Ok(Wanted::Cpu));
        assert_eq!("gpu".parse(), Ok(Wanted::Gpu(None)));
        assert_eq!("gpu:2".parse(), Ok(Wanted::Gpu(Some(2))));
        for wrong in ["", "GPU", "gpu:", "gpu:-1", "gpu:x", "cuda"] {
            assert!(wrong.parse::<Wanted>().is_err(), "{wrong}");
        }
    }

    #[cfg(feature = "gpu")]
    #[test]
    fn a_software_adapter_is_taken_only_if_asked_for() {
        let software = [adapter("soft", "software")];
        assert_eq!(picked(Wanted::Auto, &software).ok(), Some(None));
        assert_eq!(picked(Wanted::Auto, &[adapter("odd", "other")]).ok(), Some(None));
        assert_eq!(picked(Wanted::Gpu(None), &software).ok(), Some(Some("soft".to_owned())));
        let both = [adapter("card", "discrete"), adapter("soft", "software")];
        for (wanted, name) in
            [(Wanted::Auto, "card"), (Wanted::Gpu(None), "card"), (Wanted::Gpu(Some(1)), "soft")]
        {
            assert_eq!(picked(wanted, &both).ok(), Some(Some(name.to_owned())));
        }
    }

    #[test]
    fn what_is_not_there_is_an_error_but_for_auto() {
        assert_eq!(picked(Wanted::Auto, &[]).ok(), Some(None));
        for wanted in [Wanted::Gpu(None), Wanted::Gpu(Some(1))] {
            let error = picked(wanted, &[]).expect_err("no adapter").to_string();
            assert!(error.contains("expected"), "{error}");
        }
        assert_eq!(picked(Wanted::Cpu, &[adapter("card", "discrete")]).ok(), Some(None));
    }
}
