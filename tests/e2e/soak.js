// A thousand texts, typed into the page one after the other with both models that ship: how long they take, and
// after each hundred what the worker's memory, the page's heap, its elements and its listeners are.
//
//     node tests/e2e/soak.js [TEXTS]
//
// The page is the built one in dist/; TEXTS is a file of sentences, one a line, by default the one that is in
// the command line. Fails where any of the four grows after the first hundred.
import { chromium } from "@playwright/test";
import { readFile } from "node:fs/promises";
import { serve } from "./server.js";

const file = process.argv[2] ?? new URL("../../native/text/wiki_vital.txt", import.meta.url);
const lines = (await readFile(file, "utf-8")).split("\n").map((line) => line.trim());
// What is in the field already is not tagged again.
const isOther = (line, index) => line !== "" && line !== lines[index - 1];
const texts = lines.filter(isOther).slice(0, 1000);
const server = await serve("/", { shipped: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
});
const page = await browser.newPage();
const devtools = await page.context().newCDPSession(page);
await devtools.send("Performance.enable");
await page.goto(`${server.url}#backend=cpu`);

// How many texts a model has tagged, the student being the last column.
const row = (name) => page.locator("#numbers tr", { hasText: name }).locator("td");
async function tag(text) {
  const before = await row("Texts tagged").allTextContents();
  // Not by keys: the field's own memory of what was typed, for undoing it, holds a node for each text.
  await page.locator("#text").evaluate((field, text) => {
    field.value = text;
    field.dispatchEvent(new Event("input"));
  }, text);
  await page.waitForFunction(
    (before) => {
      const rows = [...document.querySelectorAll("#numbers tr")];
      const counts = rows.find((row) => row.textContent.startsWith("Texts tagged"));
      return [...counts.querySelectorAll("td")].every((cell, role) => cell.textContent !== before[role]);
    },
    before,
  );
}

/// With the same text in the field each time, and what nothing holds any more collected.
async function measure() {
  await tag("Ada Lovelace lived in London.");
  await devtools.send("HeapProfiler.collectGarbage");
  const { metrics } = await devtools.send("Performance.getMetrics");
  const metric = (name) => metrics.find((metric) => metric.name === name).value;
  return {
    worker: Number.parseFloat(await row("Memory, both").textContent()),
    heap: metric("JSHeapUsedSize") / 1e6,
    nodes: metric("Nodes"),
    listeners: metric("JSEventListeners"),
  };
}

await page.getByRole("button", { name: "Compare with the teacher" }).click();
await page.locator("#teacher-marks[aria-busy=false]:not(.is-empty)").waitFor();
console.log("| texts | seconds | worker, MB | heap of the page, MB | nodes | listeners |");
console.log("| --- | --- | --- | --- | --- | --- |");
const all = [];
const start = performance.now();
for (const [index, text] of texts.entries()) {
  await tag(text);
  if ((index + 1) % 100 === 0) {
    const seconds = ((performance.now() - start) / 1000).toFixed(0);
    const now = await measure();
    all.push(now);
    const { worker, heap, nodes, listeners } = now;
    console.log(
      `| ${index + 1} | ${seconds} | ${worker} | ${heap.toFixed(1)} | ${nodes} | ${listeners} |`,
    );
  }
}
await browser.close();
server.stop();
// The heap's size depends a little on when garbage was collected.
const first = all[0];
const last = all.at(-1);
const grown = Object.keys(first ?? {}).filter((key) => last[key] > 1.1 * first[key]);
if (all.length < 2 || grown.length > 0) {
  console.error(all.length < 2 ? "fewer than 200 texts" : `grew: ${grown.join(", ")}`);
  process.exitCode = 1;
}
