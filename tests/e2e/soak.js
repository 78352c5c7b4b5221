// A thousand texts, one after the other, in one tab: how long they take and what the worker's memory is
// after each hundred.
//
//     node tests/e2e/soak.js [TEXTS]
//
// The page is the built one in dist/, with the student that ships; TEXTS is a file of sentences, one a line,
// by default the one that is in the command line. Fails where memory grows after the first hundred.
import { chromium } from "@playwright/test";
import { readFile } from "node:fs/promises";
import { serve } from "./server.js";

const file = process.argv[2] ?? new URL("../../native/text/wiki_vital.txt", import.meta.url);
const texts = (await readFile(file, "utf-8")).split("\n").filter((line) => line).slice(0, 1000);
const server = await serve("/", { shipped: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
});
const page = await browser.newPage();
await page.goto(`${server.url}icon.svg`);
await page.evaluate(async () => {
  const worker = new Worker("start_worker.js?worker", { type: "module" });
  const waiting = new Map();
  let next = 0;
  worker.onmessage = ({ data }) => {
    const { id, answer } = JSON.parse(data);
    const [kind, content] = typeof answer === "string" ? [answer] : Object.entries(answer)[0];
    if (kind !== "progress") waiting.get(id)?.({ kind, ...content });
  };
  window.ask = (command) => {
    const id = ++next;
    const answer = new Promise((done) => waiting.set(id, done));
    worker.postMessage([JSON.stringify({ id, command })]);
    return answer;
  };
  await window.ask({ start: { backend: "cpu" } });
  const manifest = await (await fetch("models/manifest.json")).json();
  const model = manifest.models.find(({ role }) => role === "student");
  const base = new URL("models/", location).href;
  const loaded = await window.ask({ load: { role: "student", model, base } });
  if (loaded.kind !== "loaded") throw new Error(JSON.stringify(loaded));
});
const options = { aggregation: "first", constrained: false, threshold: 0 };
const memory = [];
const start = performance.now();
for (let first = 0; first < texts.length; first += 100) {
  const bytes = await page.evaluate(
    async ([texts, options]) => {
      let last = 0;
      for (const text of texts) {
        const tagged = await window.ask({ tag: { role: "student", text, options } });
        if (tagged.kind !== "tagged") throw new Error(JSON.stringify(tagged));
        last = tagged.memory_bytes;
      }
      return last;
    },
    [texts.slice(first, first + 100), options],
  );
  memory.push(bytes);
  const seconds = (performance.now() - start) / 1000;
  console.log(`${first + 100} texts, ${seconds.toFixed(1)} s, ${(bytes / 1e6).toFixed(1)} MB`);
}
await browser.close();
server.stop();
if (memory.length < 2 || memory.at(-1) > memory[0]) {
  console.error("memory grew, or there were too few texts");
  process.exitCode = 1;
}
