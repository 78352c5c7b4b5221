// A service worker: the page's own files from the network while there is one, else from the cache.
// Models are not its business, but for those that the list no longer names: workers keep them under their
// hashes (worker/fetch.rs).
const PREFIX = "understudy-page-";
const CACHE = `${PREFIX}1`;
const MODELS = "understudy-models-1";
const LIST = "models/manifest.json";
// Each as it is asked for, so that a newer one takes its place.
const FILES = [
  "./",
  "style.css",
  "icon.svg",
  "start.js",
  "start_worker.js?worker",
  "app.js",
  "app_bg.wasm",
  "worker.js",
  "worker_bg.wasm",
  LIST,
  "rehearsal.txt",
];
const { scope } = self.registration;

self.addEventListener("install", (event) => {
  const all = async () => {
    const cache = await caches.open(CACHE);
    await cache.addAll(FILES.map((file) => new Request(file, { cache: "no-cache" })));
    await self.skipWaiting();
  };
  event.waitUntil(all());
});

self.addEventListener("activate", (event) => {
  const all = async () => {
    const names = await caches.keys();
    const old = names.filter((name) => name.startsWith(PREFIX) && name !== CACHE);
    await Promise.all(old.map((name) => caches.delete(name)));
    await self.clients.claim();
  };
  event.waitUntil(all());
});

// Deletes the kept models of this page, not of another one of the host, that its list does not name.
async function forgetOthers(list) {
  const named = await list.text();
  const cache = await caches.open(MODELS);
  for (const request of await cache.keys()) {
    const hash = new URL(request.url).searchParams.get("sha256");
    if (request.url.startsWith(scope) && !named.includes(hash)) await cache.delete(request);
  }
}

async function answer(request, keep) {
  const cache = await caches.open(CACHE);
  try {
    // `no-cache` asks the server whether the file has changed, and fetches no byte if not.
    const response = await fetch(request, { cache: "no-cache" });
    if (response.ok) {
      keep(cache.put(request, response.clone()));
      if (request.url === scope + LIST) keep(forgetOthers(response.clone()));
    }
    return response;
  } catch (error) {
    const found =
      (await cache.match(request)) ??
      (await cache.match(request, { ignoreSearch: true })) ??
      (request.mode === "navigate" ? await cache.match("./") : undefined);
    if (found) return found;
    throw error;
  }
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const isOwn = request.method === "GET" && request.url.startsWith(scope);
  const path = request.url.slice(scope.length);
  const isModel = path.startsWith("models/") && !path.startsWith(LIST);
  if (isOwn && !isModel) {
    event.respondWith(answer(request, (work) => event.waitUntil(work)));
  }
});
