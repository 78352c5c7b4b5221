//! A graphics driver that needs no graphics card: SwiftShader, which comes with Chromium.

use std::path::Path;

/// Where distributions put Chromium.
const FOLDERS: [&str; 4] = [
    "/usr/lib/chromium",
    "/usr/lib/chromium-browser",
    "/usr/lib64/chromium-browser",
    "/opt/google/chrome",
];

/// The variable that names a Vulkan driver, and SwiftShader's description; `None` where the variable is
/// set already or there is none: the tests then take whatever adapter the machine has.
pub fn software_vulkan() -> Option<(&'static str, String)> {
    let name = "VK_ICD_FILENAMES";
    if std::env::var_os(name).is_some() {
        return None;
    }
    let files = FOLDERS.map(|folder| Path::new(folder).join("vk_swiftshader_icd.json"));
    let file = files.into_iter().find(|file| file.is_file())?;
    Some((name, file.display().to_string()))
}
