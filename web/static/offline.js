// A service worker: the page's own files from the network while there is one, else from the copy. The copy is a whole
// set, as one visit or the installation brought it, so that what works offline is of one build.
// Models are not its business, but for those of folders that the list no longer names: workers keep them under
// their hashes (worker/fetch.rs).
const { scope } = self.registration;
const ALL = "understudy-page-";
// The sets of this copy of the page, by the time at which each began.
const SETS = `${ALL}2 ${scope} `;
// The last entry of a whole set, which no file has.
const WHOLE = "whole-set";
const MODELS = "understudy-models-1";
const LIST = "models/manifest.json";
// What the page fetches itself before it works, but for its worker.
const FIRST = ["./", "style.css", "start.js", "app.js", "app_bg.wasm", LIST];
const WORKERS = ["worker_bg.wasm", "worker_gpu_bg.wasm"];
const FILES = [
  ...FIRST,
  "start_worker.js?worker",
  "worker.js",
  "worker_bg.wasm",
  "icon.svg",
  "rehearsal.txt",
];

// Opens the newest set that is whole, or that is not.
async function newest(isWhole) {
  const names = (await caches.keys()).filter((name) => name.startsWith(SETS));
  for (const name of names.sort().reverse()) {
    const set = await caches.open(name);
    if (((await set.match(WHOLE)) !== undefined) === isWhole) return { name, set };
  }
  return undefined;
}

async function forgetUnfinished() {
  for (let found; (found = await newest(false)); ) await caches.delete(found.name);
}

async function begin() {
  await forgetUnfinished();
  return caches.open(SETS + Date.now());
}

// Fetches what a set still lacks; then it is the one that is kept.
async function complete(set) {
  const missing = [];
  for (const file of FILES) if (!(await set.match(file))) missing.push(file);
  // `no-cache` asks the server whether the file has changed, and fetches no byte if not.
  await set.addAll(missing.map((file) => new Request(file, { cache: "no-cache" })));
  await set.put(WHOLE, new Response());
  const { name } = await newest(true);
  const others = (await caches.keys()).filter((other) => other.startsWith(SETS) && other !== name);
  await Promise.all(others.map((other) => caches.delete(other)));
  await forgetModels(await set.match(LIST));
}

// Deletes the kept models of this page, not of another one of the host, whose folder its list does not name. A
// newer model takes an older one's place when it has come.
async function forgetModels(list) {
  const { models } = await list.json();
  const folders = models.map(({ folder }) => `${scope}models/${folder}/`);
  const cache = await caches.open(MODELS);
  for (const request of await cache.keys()) {
    const isNamed = folders.some((folder) => request.url.startsWith(folder));
    if (request.url.startsWith(scope) && !isNamed) await cache.delete(request);
  }
}

// Whether a request begins a visit.
function isPage(request) {
  const address = request.url.split(/[?#]/)[0];
  return request.mode === "navigate" && [scope, `${scope}index.html`].includes(address);
}

// Keeps a file that has come in the set that a visit has begun. Without one, as after it became whole, a file is
// kept only if none of its name is.
async function keep(request, response) {
  if (isPage(request)) {
    await (await begin()).put("./", response);
    return;
  }
  const found = await newest(false);
  if (!found) {
    const whole = await newest(true);
    if (whole && !(await whole.set.match(request))) await whole.set.put(request, response);
    return;
  }
  await found.set.put(request, response);
  const has = async (file) => (await found.set.match(file)) !== undefined;
  const first = await Promise.all(FIRST.map(has));
  const workers = await Promise.all(WORKERS.map(has));
  if (first.every(Boolean) && workers.some(Boolean)) await complete(found.set);
}

// One after the other, for each looks at what the one before has left.
let queue = Promise.resolve();

function inTurn(work) {
  // A full disk, or a connection that is lost: what was whole before stays.
  queue = queue.then(work).catch(() => {});
  return queue;
}

async function kept(request) {
  const set = (await newest(true))?.set;
  if (isPage(request)) return set?.match("./");
  return (await set?.match(request)) ?? set?.match(request, { ignoreSearch: true });
}

// Whether the last visit is of the copy. Then all of it is.
let isOfCopy = false;

async function answer(request, wait) {
  if (isOfCopy && !isPage(request)) {
    const found = await kept(request);
    if (found) return found;
  }
  let response;
  let fault;
  try {
    response = await fetch(request, { cache: "no-cache" });
  } catch (error) {
    fault = error;
  }
  if (response?.ok) {
    if (isPage(request)) isOfCopy = false;
    const copy = response.clone();
    wait(inTurn(() => keep(request, copy)));
    return response;
  }
  // A page that is not there is not there; a server that is out of order is no reason to have nothing.
  const found = fault || (isPage(request) && response.status >= 500) ? await kept(request) : undefined;
  if (found && isPage(request)) {
    isOfCopy = true;
    wait(inTurn(forgetUnfinished));
  }
  if (found || response) return found ?? response;
  throw fault;
}

self.addEventListener("install", (event) => {
  const all = async () => {
    await complete(await begin());
    await self.skipWaiting();
  };
  event.waitUntil(all());
});

self.addEventListener("activate", (event) => {
  const all = async () => {
    const names = await caches.keys();
    const old = names.filter((name) => name.startsWith(ALL) && !name.startsWith(`${ALL}2 `));
    await Promise.all(old.map((name) => caches.delete(name)));
    await self.clients.claim();
  };
  event.waitUntil(all());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const isOwn = request.method === "GET" && request.url.startsWith(scope);
  const path = request.url.slice(scope.length);
  const isModel = path.startsWith("models/") && !path.startsWith(LIST);
  if (isOwn && !isModel) {
    event.respondWith(answer(request, (work) => event.waitUntil(work)));
  }
});
