// A service worker: the page's own files from the network while there is one, else from the cache.
// Models are not its business: workers keep them under their hashes (worker/fetch.rs).
const CACHE = "understudy-page-1";
const FILES = [
  "./",
  "style.css",
  "icon.svg",
  "start.js",
  "start_worker.js",
  "app.js",
  "app_bg.wasm",
  "worker.js",
  "worker_bg.wasm",
  "models/manifest.json",
  "rehearsal.txt",
];

self.addEventListener("install", (event) => {
  const all = async () => {
    const cache = await caches.open(CACHE);
    await cache.addAll(FILES.map((file) => new Request(file, { cache: "no-cache" })));
    await self.skipWaiting();
  };
  event.waitUntil(all());
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

async function answer(request, keep) {
  const cache = await caches.open(CACHE);
  try {
    // `no-cache` asks the server whether the file has changed, and fetches no byte if not.
    const response = await fetch(request, { cache: "no-cache" });
    if (response.ok) keep(cache.put(request, response.clone()));
    return response;
  } catch (error) {
    const found = await cache.match(request, { ignoreSearch: true });
    if (found) return found;
    throw error;
  }
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const scope = self.registration.scope;
  const isOwn = request.method === "GET" && request.url.startsWith(scope);
  const path = request.url.slice(scope.length);
  const isModel = path.startsWith("models/") && !path.startsWith("models/manifest.json");
  if (isOwn && !isModel) {
    event.respondWith(answer(request, (work) => event.waitUntil(work)));
  }
});
