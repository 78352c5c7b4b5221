// Serves the built page under a path of its own, as a host of static files would, and spoils files on
// demand.
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import http from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";

const inRepository = (name) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const root = path.resolve(process.env.DIST ?? inRepository("dist"));
/// The toys, which are small and fast, and what they rehearse.
const toys = [
  [/^models\//, inRepository("tests/fixtures/models/")],
  [/^rehearsal\.txt$/, inRepository("tests/fixtures/tiny/unlabelled.txt")],
];
const types = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};

/// Of the models beside the page those that ship, whatever else lies there.
function onlyShipped(bytes) {
  const manifest = JSON.parse(bytes);
  manifest.models = manifest.models.filter(({ folder }) => ["teacher", "student"].includes(folder));
  return Buffer.from(JSON.stringify(manifest));
}

/// `faults` maps the end of a path to `corrupt`, `cut`, `missing`, `unavailable`, or a function of the bytes, which may
/// take its time; `aliases` a part of a path to another that holds its files. The models are toys, or with
/// `shipped` those that ship.
export async function serve(prefix = "/some/where/", { shipped = false } = {}) {
  const faults = new Map();
  const aliases = new Map();
  const requests = [];
  const server = http.createServer(async (request, response) => {
    const address = new URL(request.url, "http://host");
    requests.push(address.pathname);
    const fault = [...faults].find(([end]) => address.pathname.endsWith(end))?.[1];
    let name = decodeURIComponent(address.pathname.slice(prefix.length)) || "index.html";
    for (const [from, to] of aliases) name = name.replace(from, to);
    const toy = shipped ? undefined : toys.find(([pattern]) => pattern.test(name));
    const file = toy ? name.replace(...toy) : path.join(root, name);
    let bytes;
    try {
      if (!address.pathname.startsWith(prefix) || fault === "missing") throw new Error("missing");
      if (!toy && !file.startsWith(root)) throw new Error("outside");
      bytes = await readFile(file);
      if (shipped && name === "models/manifest.json") bytes = onlyShipped(bytes);
    } catch {
      response.writeHead(404).end();
      return;
    }
    if (fault === "unavailable") {
      response.writeHead(503).end();
      return;
    }
    if (typeof fault === "function") bytes = await fault(bytes);
    if (fault === "corrupt") bytes[bytes.length >> 1] ^= 1;
    const tag = `"${createHash("sha256").update(bytes).digest("hex").slice(0, 16)}"`;
    const headers = {
      "content-type": types[path.extname(file)] ?? "application/octet-stream",
      "content-length": bytes.length,
      etag: tag,
    };
    if (request.headers["if-none-match"] === tag) {
      response.writeHead(304, { etag: tag }).end();
    } else if (fault === "cut") {
      response.writeHead(200, headers);
      response.write(bytes.subarray(0, bytes.length >> 1), () => response.destroy());
    } else {
      response.writeHead(200, headers).end(bytes);
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const origin = `http://127.0.0.1:${server.address().port}`;
  return {
    origin,
    url: origin + prefix,
    faults,
    aliases,
    requests,
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
}
