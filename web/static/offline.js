// A service worker: the page's own files from the network while there is one, else from the cache. What a visit
// brings takes the place of the last visit's all at once, so that what works offline is of one build.
// Models are not its business, but for those that the list no longer names: workers keep them under their
// hashes (worker/fetch.rs).
const PREFIX = "understudy-page-";
const CACHE = `${PREFIX}1`;
const NEXT = `${PREFIX}next`;
const MODELS = "understudy-models-1";
const LIST = "models/manifest.json";
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
// These are asked for late or never, and are fetched when all others are there.
const LATE = ["icon.svg", "rehearsal.txt"];
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

// Deletes the kept models of this page, not of another one of the host, whose folder its list does not name. A
// newer model takes an older one's place when it has come.
async function forgetOthers(list) {
  const { models } = await list.json();
  const folders = models.map(({ folder }) => `${scope}models/${folder}/`);
  const cache = await caches.open(MODELS);
  for (const request of await cache.keys()) {
    const isNamed = folders.some((folder) => request.url.startsWith(folder));
    if (request.url.startsWith(scope) && !isNamed) await cache.delete(request);
  }
}

// Keeps a file that has come. Each visit begins a new set, and once it is whole, it is the one that is kept.
async function keep(request, response) {
  if (request.mode === "navigate") {
    await caches.delete(NEXT);
    await (await caches.open(NEXT)).put("./", response);
    return;
  }
  const cache = await caches.open(CACHE);
  if (!(await caches.has(NEXT))) {
    await cache.put(request, response);
    return;
  }
  const next = await caches.open(NEXT);
  await next.put(request, response);
  for (const file of FILES) {
    if (!LATE.includes(file) && !(await next.match(file))) return;
  }
  await next.addAll(LATE.map((file) => new Request(file, { cache: "no-cache" })));
  for (const own of await next.keys()) await cache.put(own, await next.match(own));
  await caches.delete(NEXT);
  await forgetOthers(await cache.match(LIST));
}

// One after the other, for each looks at what the one before has left.
let keeping = Promise.resolve();

function keepInTurn(request, response) {
  // A full disk: what was kept before stays.
  keeping = keeping.then(() => keep(request, response)).catch(() => {});
  return keeping;
}

async function kept(request) {
  const cache = await caches.open(CACHE);
  return (
    (await cache.match(request)) ??
    (await cache.match(request, { ignoreSearch: true })) ??
    (request.mode === "navigate" ? await cache.match("./") : undefined)
  );
}

async function answer(request, wait) {
  let response;
  try {
    // `no-cache` asks the server whether the file has changed, and fetches no byte if not.
    response = await fetch(request, { cache: "no-cache" });
  } catch (error) {
    const found = await kept(request);
    if (found) return found;
    throw error;
  }
  if (response.ok) wait(keepInTurn(request, response.clone()));
  // A server that is out of order is no reason to have nothing.
  return response.status < 500 ? response : ((await kept(request)) ?? response);
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
