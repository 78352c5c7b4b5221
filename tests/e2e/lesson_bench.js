// What teaching costs in a tab on the CPU: a step of each way of training at 8 × 32, 50 steps with the
// defaults, and memory.
//
//     node tests/e2e/lesson_bench.js STUDENT_FOLDER
//
// STUDENT_FOLDER is a bundle (`cargo run -p tests --example random_student` makes one of 20
// million parameters); the page is the built one in dist/. Prints Markdown.
import { chromium } from "@playwright/test";
import { readFile } from "node:fs/promises";
import http from "node:http";
import path from "node:path";
import { serve } from "./server.js";

const [folder] = process.argv.slice(2);
const server = await serve();
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
  const { trained, failed } = await page.evaluate(run, [settings, lessons]);
  if (failed) throw new Error(failed.message);
  return { trained, reports: await page.evaluate(() => window.reports) };
}

// 30 words that are one sub-word each: 32 with the special tokens.
const words = "the man who was in the house of his son on the day of the war had been told that she would not be there with them at all".split(" ");
const text = words.slice(0, 30).join(" ");
const lessons = Array.from({ length: 16 }, (_, index) => ({
  text,
  spans: [{ entity_type: "PER", start_byte: 4, end_byte: index % 2 ? 7 : 11 }],
}));

console.log("| what is trained | median step, ms | steps a second | memory of the worker, MB |");
console.log("| --- | --- | --- | --- |");
for (const scope of ["head", "last:1", "last:2", "no-embeddings", "lora:8", "all"]) {
  const loaded = await open();
  const settings = { ...loaded.teaching, scope, steps: 12, batch_size: 8, rehearsal: 0 };
  const { reports } = await train(settings, lessons);
  const steps = reports.filter(({ loss }) => loss !== null).slice(2);
  const step = median(steps.map(({ millis }) => millis));
  const memory = Math.max(...reports.map(({ memory_bytes }) => memory_bytes)) / 1e6;
  console.log(
    `| \`${scope}\` | ${step.toFixed(0)} | ${(1000 / step).toFixed(1)} | ${memory.toFixed(0)} |`,
  );
}

const loaded = await open();
const settings = { ...loaded.teaching, steps: 50 };
const start = Date.now();
const { trained, reports } = await train(settings, lessons.slice(0, 3));
const seconds = (Date.now() - start) / 1000;
const stepping = reports.reduce((sum, { loss, millis }) => sum + (loss === null ? 0 : millis), 0);
console.log(
  `\n50 steps with the defaults (\`${settings.scope}\`), from the request to the end: ` +
    `${seconds.toFixed(1)} s, of which the steps ${(stepping / 1000).toFixed(1)} s; ` +
    `memory of the worker ${(trained.memory_bytes / 1e6).toFixed(0)} MB\n`,
);
await browser.close();
server.stop();
files.close();
