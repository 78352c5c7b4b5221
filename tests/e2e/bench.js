// The page's figures: latency against onnxruntime-web in one browser, module sizes, time to first tag.
//
//     node tests/e2e/bench.js STUDENT_FOLDER STUDENT.onnx
//
// STUDENT_FOLDER is a bundle in f32 and STUDENT.onnx the same weights (tests/bench/export_onnx.py). The
// page is the built one in dist/. Both run on one thread with SIMD; each round measures both, so that
// noise of the machine meets both. Prints Markdown.
import { chromium } from "@playwright/test";
import { createHash } from "node:crypto";
import { readFile, readdir } from "node:fs/promises";
import http from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const [bundle, onnx] = process.argv.slice(2);
const dist = fileURLToPath(new URL("../../dist", import.meta.url));
const peer = fileURLToPath(new URL("node_modules/onnxruntime-web/dist", import.meta.url));
const ROUNDS = 15;
const FILES = ["config.json", "tokenizer.json", "model.safetensors"];

async function manifest() {
  const files = await Promise.all(
    FILES.map(async (name) => {
      const bytes = await readFile(path.join(bundle, name));
      return { name, size: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
    }),
  );
  const model = { folder: "bench", role: "student", parameters: 2e7, f1: null, files };
  return JSON.stringify({ format: 1, models: [model] });
}

const types = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".css": "text/css", ".svg": "image/svg+xml" };
const listed = await manifest();
const server = http.createServer(async (request, response) => {
  const name = new URL(request.url, "http://host").pathname.slice(1) || "index.html";
  const places = [
    [/^models\/manifest\.json$/, () => Buffer.from(listed)],
    [/^models\/bench\/(.*)$/, (file) => readFile(path.join(bundle, file))],
    [/^peer\/model\.onnx$/, () => readFile(onnx)],
    [/^peer\/$/, () => Buffer.from("<!doctype html><title>peer</title>")],
    [/^peer\/(.*)$/, (file) => readFile(path.join(peer, file))],
    [/^(.*)$/, (file) => readFile(path.join(dist, file))],
  ];
  try {
    const [pattern, read] = places.find(([pattern]) => pattern.test(name));
    const bytes = await read(name.match(pattern)[1]);
    const type = name.endsWith("/") ? "text/html" : types[path.extname(name)];
    response.writeHead(200, { "content-type": type ?? "application/octet-stream" }).end(bytes);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const url = `http://127.0.0.1:${server.address().port}/`;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
});
const context = await browser.newContext();
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

const page = await context.newPage();
await page.goto(`${url}#backend=cpu`);
await page.locator("#student-marks[aria-busy=false]:not(.is-empty)").waitFor();
await page.evaluate(async (model) => {
  const worker = new Worker("start_worker.js?worker", { type: "module" });
  const waiting = new Map();
  let next = 0;
  worker.onmessage = ({ data }) => {
    const { id, answer } = JSON.parse(data);
    if (!answer.progress) waiting.get(id)(answer);
  };
  window.ask = (command) => {
    const id = ++next;
    worker.postMessage([JSON.stringify({ id, command })]);
    return new Promise((done) => waiting.set(id, done));
  };
  await window.ask({ start: { backend: "cpu" } });
  const base = new URL("models/", location).href;
  await window.ask({ load: { role: "student", model, base } });
}, JSON.parse(listed).models[0]);

const other = await context.newPage();
await other.goto(`${url}peer/`);
await other.evaluate(async () => {
  const ort = await import("/peer/ort.wasm.min.mjs");
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = "/peer/";
  const session = await ort.InferenceSession.create("/peer/model.onnx", {
    executionProviders: ["wasm"],
    graphOptimizationLevel: "all",
  });
  window.forward = async (subwords, sentences) => {
    const count = subwords * sentences;
    const ids = BigInt64Array.from({ length: count }, (_, i) => BigInt((i * 7919) % 28996));
    const mask = new BigInt64Array(count).fill(1n);
    const tensor = (data) => new ort.Tensor("int64", data, [sentences, subwords]);
    const start = performance.now();
    await session.run({ input_ids: tensor(ids), attention_mask: tensor(mask) });
    return performance.now() - start;
  };
});

console.log("| sub-words | sentences | Understudy, ms | onnxruntime-web, ms | ratio |");
console.log("| --- | --- | --- | --- | --- |");
for (const subwords of [8, 32, 128]) {
  for (const sentences of [1, 8]) {
    const [ours, theirs] = [[], []];
    for (let round = 0; round < ROUNDS; round += 1) {
      await page.bringToFront();
      const command = { measure: { role: "student", subwords, sentences, rounds: 1 } };
      const { measured } = await page.evaluate((command) => window.ask(command), command);
      ours.push(measured.millis[0]);
      await other.bringToFront();
      const run = ([subwords, sentences]) =>
        window.forward(subwords, sentences).then(() => window.forward(subwords, sentences));
      theirs.push(await other.evaluate(run, [subwords, sentences]));
    }
    const [mine, peers] = [median(ours), median(theirs)];
    const cells = [subwords, sentences, mine.toFixed(1), peers.toFixed(1), (peers / mine).toFixed(2)];
    console.log(`| ${cells.join(" | ")} |`);
  }
}
await other.close();
await page.close();

const waits = [];
for (let visit = 0; visit < 5; visit += 1) {
  const page = await context.newPage();
  await page.goto(url);
  await page.locator("#student-marks[aria-busy=false]:not(.is-empty)").waitFor();
  const cell = page.locator("#numbers tr", { hasText: "Click to first tag" }).locator("td");
  const [, number, unit] = (await cell.textContent()).match(/([\d.]+) (m?s)/);
  waits.push(unit === "s" ? number * 1000 : Number(number));
  await page.close();
}
console.log(`\nFrom the click to the first tag, model in the cache: ${median(waits).toFixed(0)} ms\n`);
await browser.close();
server.close();

console.log("| file | bytes | gzip -9 | brotli 11 |");
console.log("| --- | --- | --- | --- |");
for (const name of (await readdir(dist)).filter((name) => /\.(js|wasm|css)$/.test(name))) {
  const bytes = await readFile(path.join(dist, name));
  const brotli = { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } };
  const sizes = [bytes, gzipSync(bytes, { level: 9 }), brotliCompressSync(bytes, brotli)];
  console.log(`| \`${name}\` | ${sizes.map(({ length }) => length.toLocaleString("en")).join(" | ")} |`);
}
