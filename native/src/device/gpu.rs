//! Graphics adapters, through wgpu.

use anyhow::{Context, Result, bail};
use burn::tensor::wgpu::{WgpuBackend, wgpu};
use burn::tensor::{Device, DeviceKind};

use super::Adapter;

/// Interfaces that have compute shaders worth training on, in the order in which they are preferred.
const INTERFACES: [wgpu::Backend; 3] =
    [wgpu::Backend::Metal, wgpu::Backend::Vulkan, wgpu::Backend::Dx12];

/// All adapters: discrete, integrated, virtual and other ones, then software.
pub(super) fn adapters() -> Vec<Adapter> {
    let mut all = Vec::new();
    for interface in INTERFACES {
        let descriptor = wgpu::InstanceDescriptor {
            backends: interface.into(),
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        };
        let instance = wgpu::Instance::new(descriptor);
        let found = pollster::block_on(instance.enumerate_adapters(interface.into()));
        let mut counts = [0; KINDS.len()];
        for adapter in &found {
            let adapter = describe(adapter);
            let kind = place(adapter.kind);
            all.push(Adapter { number: counts[kind], ..adapter });
            counts[kind] += 1;
        }
    }
    // Stable: of two equal ones the preferred interface's comes first.
    all.sort_by_key(|adapter| place(adapter.kind));
    all
}

const KINDS: [&str; 5] = ["discrete", "integrated", "virtual", "other", "software"];

fn place(kind: &str) -> usize {
    KINDS.iter().position(|other| *other == kind).unwrap_or(KINDS.len() - 1)
}

fn describe(adapter: &wgpu::Adapter) -> Adapter {
    let info = adapter.get_info();
    let (features, limits) = (adapter.features(), adapter.limits());
    Adapter {
        name: info.name,
        kind: match info.device_type {
            wgpu::DeviceType::DiscreteGpu => "discrete",
            wgpu::DeviceType::IntegratedGpu => "integrated",
            wgpu::DeviceType::VirtualGpu => "virtual",
            wgpu::DeviceType::Cpu => "software",
            wgpu::DeviceType::Other => "other",
        },
        number: 0,
        interface: info.backend.to_string(),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        memory_bytes: memory(adapter),
        largest_tensor_bytes: limits.max_buffer_size.min(limits.max_storage_buffer_binding_size),
        half_precision: features.contains(wgpu::Features::SHADER_F16),
        subgroups: features.contains(wgpu::Features::SUBGROUP),
    }
}

/// The largest heap of an adapter's own memory. wgpu tells of none; Vulkan does.
#[cfg(any(target_os = "linux", target_os = "windows", target_os = "android"))]
#[expect(unsafe_code, reason = "there is no safe way to ask Vulkan")]
fn memory(adapter: &wgpu::Adapter) -> Option<u64> {
    // SAFETY: the adapter's handles are only read while the guard keeps the adapter alive.
    let heaps = unsafe {
        let adapter = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        let instance = adapter.shared_instance().raw_instance();
        instance.get_physical_device_memory_properties(adapter.raw_physical_device())
    };
    let heaps = heaps.memory_heaps.iter().take(heaps.memory_heap_count as usize);
    // VK_MEMORY_HEAP_DEVICE_LOCAL_BIT
    heaps.filter(|heap| heap.flags.as_raw() & 1 == 1).map(|heap| heap.size).max()
}

#[cfg(not(any(target_os = "linux", target_os = "windows", target_os = "android")))]
fn memory(_: &wgpu::Adapter) -> Option<u64> {
    None
}

/// Opens an adapter.
///
/// # Errors
///
/// A kind that Burn cannot address, or a driver that refuses.
pub(super) fn open(adapter: &Adapter) -> Result<Device> {
    let kind = match adapter.kind {
        "discrete" => DeviceKind::DiscreteGpu(adapter.number),
        "integrated" => DeviceKind::IntegratedGpu(adapter.number),
        "virtual" => DeviceKind::VirtualGpu(adapter.number),
        "software" if adapter.number == 0 => DeviceKind::Cpu,
        "software" => bail!(
            "{}: only the first software adapter of {} can be opened; VK_ICD_FILENAMES chooses a driver",
            adapter.name,
            adapter.interface
        ),
        _ => bail!("{}: an adapter of no known kind", adapter.name),
    };
    let interface = match adapter.interface.as_str() {
        "metal" => WgpuBackend::Metal,
        "dx12" => WgpuBackend::Dx12,
        _ => WgpuBackend::Vulkan,
    };
    let options = Device::wgpu_options().device_kind(kind).graphics_api(interface);
    let opened = options.init();
    opened.with_context(|| format!("{} ({})", adapter.name, adapter.interface))
}
