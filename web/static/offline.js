// A service worker: the page's own files from the network while there is one, else from the copy. The copy is a whole
// set of files, as one visit brought it that came as far as a student in its place, or the first installation; so what
// works offline is of one build, and has worked.
// Models are not its business, but for those that the copy's list no longer names: workers keep them under their
// hashes (worker/fetch.rs).
const { scope } = self.registration;
const ALL = "understudy-page-";
// The sets of this copy of the page, by the time at which each began.
const SETS = `${ALL}2 ${scope} `;
// The last entry of a whole set, which no file has.
const WHOLE = "whole-set";
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
// What only some browsers ask for.
const MORE = ["start_worker.js?worker_gpu", "worker_gpu.js", "worker_gpu_bg.wasm"];
const OWN = [...FILES, ...MORE].map((file) => new URL(file, scope).href);

const find = (set, request) => set.match(request, { ignoreVary: true });

async function names() {
  const all = (await caches.keys()).filter((name) => name.startsWith(SETS));
  return all.sort((left, right) => time(right) - time(left));
}

const time = (name) => Number(name.slice(SETS.length));

// Opens the newest set that is whole, or that is not.
async function newest(isWhole) {
  for (const name of await names()) {
    const set = await caches.open(name);
    if (((await find(set, WHOLE)) !== undefined) === isWhole) return { name, set };
  }
  return undefined;
}

async function forgetUnfinished() {
  for (let found; (found = await newest(false)); ) await caches.delete(found.name);
}

async function begin() {
  await forgetUnfinished();
  const [last] = await names();
  // A clock may be set back.
  const name = SETS + Math.max(Date.now(), last ? time(last) + 1 : 0);
  return { name, set: await caches.open(name) };
}

// Fetches what a set still lacks; then it is the one that is kept.
async function complete({ name, set }) {
  for (const file of FILES) {
    if (await find(set, file)) continue;
    // `no-cache` asks the server whether the file has changed, and fetches no byte if not.
    const response = await fetch(file, { cache: "no-cache" });
    if (!response.ok) throw new Error(`${file}: ${response.status}`);
    await set.put(file, await direct(response));
  }
  const list = await (await find(set, LIST)).json();
  await set.put(WHOLE, new Response());
  const others = (await names()).filter((other) => other !== name);
  await Promise.all(others.map((other) => caches.delete(other)));
  await forgetModels(list);
}

// A response that was redirected may answer no navigation.
async function direct(response) {
  if (!response.redirected) return response;
  return new Response(await response.blob(), { headers: response.headers });
}

// Deletes the kept models of this page, not of another one of the host, that the list does not name.
async function forgetModels({ models }) {
  const hashes = models.flatMap(({ files }) => files.map(({ sha256 }) => sha256));
  const cache = await caches.open(MODELS);
  for (const { url } of await cache.keys()) {
    const hash = new URL(url).searchParams.get("sha256");
    if (url.startsWith(`${scope}models/`) && !hashes.includes(hash)) await cache.delete(url);
  }
}

// Whether a request begins a visit.
function isPage(request) {
  const address = request.url.split(/[?#]/)[0];
  return request.mode === "navigate" && [scope, `${scope}index.html`].includes(address);
}

// The set that the last visit made, for files that it asks for late.
let latest;

// Keeps a file that has come in the set that a visit has begun.
async function keep(request, response) {
  if (isPage(request)) {
    latest = undefined;
    await (await begin()).set.put("./", await direct(response));
    return;
  }
  const set = (await newest(false))?.set;
  if (set) await set.put(request, response);
  else if (latest && !(await find(latest, request))) await latest.put(request, response);
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
  return set && find(set, isPage(request) ? "./" : request);
}

// Whether the last visit is of the copy. Then all of it is, but for the list, which may be asked for once more.
let isOfCopy = false;

async function answer(request, wait) {
  if (isOfCopy && !isPage(request) && request.url !== scope + LIST) {
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
  const isOut = fault || ((isPage(request) || isOfCopy) && response.status >= 500);
  const found = isOut ? await kept(request) : undefined;
  if (found && isPage(request)) {
    isOfCopy = true;
    wait(inTurn(forgetUnfinished));
  }
  if (found || response) return found ?? response;
  throw fault;
}

self.addEventListener("install", (event) => {
  const all = async () => {
    // Where there is a copy that works, the next visit brings a newer one.
    if (!(await newest(true))) await complete(await begin());
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

// The page says that it works (app/models.rs).
self.addEventListener("message", (event) => {
  const finish = async () => {
    const found = await newest(false);
    if (!found) return;
    await complete(found);
    latest = found.set;
  };
  if (event.data === "works") event.waitUntil(inTurn(finish));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && (isPage(request) || OWN.includes(request.url))) {
    event.respondWith(answer(request, (work) => event.waitUntil(work)));
  }
});
