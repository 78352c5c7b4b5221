// What teaching costs in a tab on the CPU: a step of each way of training at 8 × 32, 50 steps with the
// defaults, memory, and what share of the time is matrix products (where the module still has its names:
// `wasm-bindgen` of target/wasm32-unknown-unknown/worker/worker.wasm, without wasm-opt).
//
//     node tests/e2e/lesson_bench.js STUDENT_FOLDER
//
// STUDENT_FOLDER is a bundle (`cargo run -p tests --example random_student` makes one of 20
// million parameters); the page is the built one in dist/. Prints Markdown.
import { chromium } from "@playwright/test";
import { readFile, readdir } from "node:fs/promises";
import http from "node:http";
import path from "node:path";
import { serve } from "./server.js";

const [folder] = process.argv.slice(2);
const server = await serve(undefined, { shipped: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
});
const page = await browser.newPage();
// The page itself has a worker with a model of its own; this is about one alone.
await page.goto(`${server.url}icon.svg`);
const NAMES = ["config.json", "tokenizer.json", "model.safetensors"];
const files = http.createServer(async (request, response) => {
  const body = await readFile(path.join(folder, path.basename(request.url)));
  response.writeHead(200, { "access-control-allow-origin": "*" }).end(body);
});
await new Promise((done) => files.listen(0, "127.0.0.1", done));
const origin = `http://127.0.0.1:${files.address().port}`;
const session = await page.context().newCDPSession(page);
const answers = new Map();
let [worker, sent] = [null, 0];
session.on("Target.attachedToTarget", ({ sessionId, targetInfo }) => {
  if (targetInfo.type === "worker") worker = sessionId;
});
session.on("Target.receivedMessageFromTarget", ({ message }) => {
  const { id, result } = JSON.parse(message);
  answers.get(id)?.(result);
});
const attach = { autoAttach: true, waitForDebuggerOnStart: false, flatten: false };
await session.send("Target.setAutoAttach", attach);

/// Asks the worker's profiler.
async function profiler(method) {
  sent += 1;
  const message = JSON.stringify({ id: sent, method: `Profiler.${method}` });
  const answer = new Promise((done) => answers.set(sent, done));
  await session.send("Target.sendMessageToTarget", { sessionId: worker, message });
  return answer;
}

/// The share of a profile's time that is matrix products, in percent; none in a module without names.
function products({ nodes, samples, timeDeltas }) {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, callFrame.functionName]));
  const sum = (counts) =>
    samples.reduce((sum, id, index) => sum + (counts(names.get(id)) ? timeDeltas[index] : 0), 0);
  const share = sum((name) => name.includes("gemm")) / sum((name) => name !== "(idle)");
  return share > 0 ? `${(100 * share).toFixed(0)} %` : "";
}

/// Seconds of processor time of all workers of this browser, on Linux: what a run takes on a machine
/// that has nothing else to do.
async function processorSeconds() {
  let ticks = 0;
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const tasks = await readdir(`/proc/${pid}/task`).catch(() => []);
    for (const task of tasks) {
      const stat = await readFile(`/proc/${pid}/task/${task}/stat`, "utf8").catch(() => "");
      const [, name, rest] = stat.match(/\((.*)\) (.*)/s) ?? [];
      if (!name?.startsWith("DedicatedWorker")) continue;
      const fields = rest.split(" ");
      ticks += Number(fields[11]) + Number(fields[12]);
    }
  }
  return ticks / 100;
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

async function open() {
  await page.evaluate(async ([origin, names]) => {
    window.worker?.terminate();
    const worker = new Worker("start_worker.js?worker", { type: "module" });
    const waiting = new Map();
    let next = 0;
    window.reports = [];
    worker.onmessage = ({ data }) => {
      const { id, answer } = JSON.parse(data);
      if (answer.progress) return;
      if (answer.trained) window.reports.push(answer.trained);
      if (["running", "paused"].includes(answer.trained?.state)) return;
      waiting.get(id)?.(answer);
    };
    window.worker = worker;
    window.ask = (command, buffers = []) => {
      const id = ++next;
      worker.postMessage([JSON.stringify({ id, command }), ...buffers], buffers);
      return new Promise((done) => waiting.set(id, done));
    };
    await window.ask({ start: { backend: "cpu" } });
    const fetched = names.map(async (name) => (await fetch(`${origin}/${name}`)).arrayBuffer());
    const buffers = await Promise.all(fetched);
    const load = { role: "student", name: "bench", files: names };
    window.loaded = (await window.ask({ load_files: load }, buffers)).loaded;
  }, [origin, NAMES]);
  return page.evaluate(() => window.loaded);
}

async function train(settings, lessons) {
  const run = ([settings, lessons]) => {
    window.reports = [];
    return window.ask({ train: { settings, lessons, text: "" } });
  };
  const over = page.evaluate(run, [settings, lessons]);
  // Steps alone are profiled, not what comes before the first and after the last.
  const reached = (step) =>
    page.waitForFunction((step) => window.reports.some((report) => report.step >= step), step);
  await reached(1);
  await profiler("enable");
  await profiler("start");
  await reached(settings.steps - 1);
  const { profile } = await profiler("stop");
  const { trained, failed } = await over;
  if (failed) throw new Error(failed.message);
  return { trained, reports: await page.evaluate(() => window.reports), share: products(profile) };
}

// 30 words that are one sub-word each: 32 with the special tokens.
const words = "the man who was in the house of his son on the day of the war had been told that she would not be there with them at all".split(" ");
const text = words.slice(0, 30).join(" ");
const lessons = Array.from({ length: 16 }, (_, index) => ({
  text,
  spans: [{ entity_type: "PER", start_byte: 4, end_byte: index % 2 ? 7 : 11 }],
}));

await open();
const measure = { role: "student", subwords: 32, sentences: 8, rounds: 7 };
const { measured } = await page.evaluate((measure) => window.ask({ measure }), measure);
const forward = median(measured.millis);
console.log(`A forward pass of 8 × 32: ${forward.toFixed(0)} ms\n`);
console.log(
  "| what is trained | median step, ms | forward passes | memory, MB | matrix products |",
);
console.log("| --- | --- | --- | --- | --- |");
for (const scope of ["head", "last:1", "last:2", "no-embeddings", "lora:8", "all"]) {
  const loaded = await open();
  const settings = { ...loaded.teaching, scope, steps: 12, batch_size: 8, rehearsal: 0 };
  const { reports, share } = await train(settings, lessons);
  const steps = reports.filter(({ loss }) => loss !== null).slice(2);
  const step = median(steps.map(({ millis }) => millis));
  const memory = Math.max(...reports.map(({ memory_bytes }) => memory_bytes)) / 1e6;
  const cells = [`\`${scope}\``, step.toFixed(0), (step / forward).toFixed(1), memory.toFixed(0), share];
  console.log(`| ${cells.join(" | ")} |`);
}

const loaded = await open();
const settings = { ...loaded.teaching, steps: 50 };
const [start, before] = [Date.now(), await processorSeconds()];
const { trained, reports } = await train(settings, lessons.slice(0, 3));
const seconds = (Date.now() - start) / 1000;
const processor = (await processorSeconds()) - before;
const stepping = reports.reduce((sum, { loss, millis }) => sum + (loss === null ? 0 : millis), 0);
console.log(
  `\n50 steps with the defaults (\`${settings.scope}\`), from the request to the end: ` +
    `${seconds.toFixed(1)} s, of which the steps ${(stepping / 1000).toFixed(1)} s; ` +
    `processor time ${processor.toFixed(1)} s; ` +
    `memory of the worker ${(trained.memory_bytes / 1e6).toFixed(0)} MB\n`,
);
await browser.close();
server.stop();
files.close();
