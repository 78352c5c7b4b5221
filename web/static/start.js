// Starts the page. A file of its own, because the page's policy allows no script inside it.

// Functions of type () -> v128 and () -> externref, which browsers without SIMD or without references refuse.
const simd = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15,
  253, 98, 11,
);
const references = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 111, 3, 2, 1, 0, 10, 6, 1, 4, 0, 208, 111, 11,
);

function unsupported(text) {
  const notice = document.getElementById("unsupported");
  notice.textContent = text;
  notice.hidden = false;
}

// A page whose module broke off reacts to nothing any more. Faults of others, as of extensions, are not ours.
function ended(fault) {
  if (fault instanceof WebAssembly.RuntimeError) {
    unsupported(`The page broke off: ${fault.message}. Reload it; lessons and kept students are still there.`);
  }
}

if (typeof WebAssembly !== "object" || ![simd, references].every((code) => WebAssembly.validate(code))) {
  unsupported(
    "This browser has no WebAssembly with SIMD and references, which the page needs. It runs in Chrome and Edge since 96, in Firefox since 114, in Safari since 16.4.",
  );
} else {
  addEventListener("error", (event) => ended(event.error));
  addEventListener("unhandledrejection", (event) => ended(event.reason));
  try {
    const { default: start } = await import("./app.js");
    await start({ module_or_path: new URL("app_bg.wasm", import.meta.url) });
  } catch (error) {
    unsupported(`The page could not start: ${error.message ?? error}. Reload to try again.`);
  }
}

if ("serviceWorker" in navigator) {
  // Without it, as on plain http of another host, the page works all the same, but not offline.
  navigator.serviceWorker.register(new URL("offline.js", import.meta.url)).catch(() => {});
}
