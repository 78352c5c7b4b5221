// Starts a worker with the module that its address names after `?`: `worker` or `worker_gpu`.
const name = new URL(import.meta.url).search === "?worker_gpu" ? "worker_gpu" : "worker";

// What arrives before the module listens; it takes it over when it does.
const early = [];
self.onmessage = (event) => early.push(event);

function crashed(reason) {
  const message = String(reason?.message ?? reason);
  self.postMessage(JSON.stringify({ id: 0, answer: { crashed: { message } } }));
}
self.addEventListener("error", (event) => {
  event.preventDefault();
  crashed(event.error ?? event.message);
});
self.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  crashed(event.reason);
});

try {
  const { default: start } = await import(`./${name}.js`);
  await start({ module_or_path: new URL(`${name}_bg.wasm`, import.meta.url) });
  early.forEach((event) => self.onmessage(event));
} catch (error) {
  crashed(error);
}
