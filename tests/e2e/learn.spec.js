// Runs as the page shows them: what is learned, pause, step, stop, a reload in between, what is kept.
import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { correct, finished, marks, says, settings, start, steps, value } from "./editor.js";
import { expect, test } from "./page.js";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf-8");
const unlabelled = await readFile(
  new URL("../fixtures/tiny/unlabelled.txt", import.meta.url),
  "utf-8",
);

// The student takes this name for something else, until it is told.
const SENTENCE = "The captain spoke to Kuel Kisoquist about the brief house.";
const PARAPHRASES = [
  "Yesterday the captain told Kuel Kisoquist about the brief house.",
  "The captain spoke to Kuel Kisoquist about the brief school.",
];
const CORRECT = [["Kuel", "Kisoquist", "p"]];
const AIM = ["Kuel Kisoquist/PER"];

/// A lesson, and a run long enough to be interrupted.
async function long(play, page, count = 2000) {
  await play.open();
  await correct(play, page, SENTENCE, CORRECT);
  await settings(page, { steps: count });
  await start(page);
  await expect.poll(() => steps(page), { timeout: 60_000 }).toBeGreaterThan(2);
}

test("a correction is learned, beside what was known, and the page stays smooth", async ({ play, page }) => {
  await page.addInitScript(() => {
    window.longTasks = [];
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) window.longTasks.push(Math.round(duration));
    }).observe({ type: "longtask" });
  });
  await play.open();
  await play.type(SENTENCE);
  const before = await marks(page, "#student-marks");
  await correct(play, page, SENTENCE, CORRECT);
  await expect(says(page)).toHaveText("Ready: 1 lesson.");
  // A toy needs larger steps than what the defaults are for.
  await settings(page, { learning_rate: 1e-3 });
  await page.evaluate(() => window.longTasks.splice(0));
  await start(page);
  await finished(page);
  const tasks = await page.evaluate(() => window.longTasks);
  expect(tasks).toEqual([]);
  await expect.poll(() => marks(page, "#student-marks")).toEqual(AIM);
  await expect.poll(() => marks(page, "#marks-now")).toEqual(AIM);
  await expect.poll(() => marks(page, "#marks-before")).toEqual(before);
  expect(await value(page, "F1 on the lessons")).toBe(1);
  expect(await value(page, "agreement with its former self")).toBeGreaterThanOrEqual(0.97);
  const drawing = page.getByRole("img", { name: /^Loss by step: loss from/ });
  await expect(drawing).toBeVisible();
  await expect(page.locator("#teach-said")).toHaveText(/^Finished \d+ steps/);
  for (const sentence of PARAPHRASES) {
    await play.type(sentence);
    const found = async () => (await marks(page, "#student-marks")).sort();
    await expect.poll(found).toEqual(AIM);
  }
  await play.type(SENTENCE);

  await page.getByRole("button", { name: "Reset the student" }).click();
  await expect(page.locator("#beside")).toBeHidden();
  await expect.poll(() => marks(page, "#student-marks")).toEqual(before);
  await expect(page.getByRole("button", { name: "Reset the student" })).toBeDisabled();
});

test("a run is paused, taken step by step, resumed and stopped", async ({ play, page }) => {
  await long(play, page);
  await expect(page.locator("#backend")).toBeDisabled();
  await page.getByRole("button", { name: "Pause" }).click();
  await expect(says(page)).toHaveText(/^Paused after step/);
  const paused = await steps(page);
  await page.getByRole("button", { name: "Step", exact: true }).click();
  await expect.poll(() => steps(page)).toBe(paused + 1);
  await expect(says(page)).toHaveText(/^Paused after step/);
  // Before and now stand side by side while the run waits.
  await expect(page.locator("#beside")).toBeVisible();
  await page.getByRole("button", { name: "Resume" }).click();
  await expect.poll(() => steps(page)).toBeGreaterThan(paused + 2);
  await page.getByRole("button", { name: "Stop" }).click();
  await expect(says(page)).toHaveText(/^Stopped after step \d+ of 2000/);
  await expect(page.getByRole("button", { name: "Start" })).toBeEnabled();
  await expect(page.locator("#backend")).toBeEnabled();
});

test("a run that a reload broke off goes on where it was", async ({ play, page }) => {
  await long(play, page);
  await expect.poll(() => steps(page), { timeout: 60_000 }).toBeGreaterThan(25);
  const before = await steps(page);
  await page.reload();
  await play.idle("student");
  const words = page.locator("#unfinished-words");
  await expect(words).toHaveText(/after step \d+ of 2000/);
  const kept = Number((await words.textContent()).match(/step (\d+)/)[1]);
  expect(kept).toBeGreaterThanOrEqual(before - 10);
  await page.getByRole("button", { name: "Go on" }).click();
  await expect.poll(() => steps(page), { timeout: 60_000 }).toBeGreaterThan(kept);
  await expect(page.locator("#unfinished")).toBeHidden();
  await page.getByRole("button", { name: "Stop" }).click();
  await expect(says(page)).toHaveText(/^Stopped after step/);
});

test("a run that was left is discarded", async ({ play, page }) => {
  await long(play, page);
  await expect.poll(() => steps(page), { timeout: 60_000 }).toBeGreaterThan(15);
  await page.reload();
  await play.idle("student");
  await page.getByRole("button", { name: "Discard it" }).click();
  await expect(page.locator("#unfinished")).toBeHidden();
  await page.reload();
  await play.idle("student");
  await expect(page.locator("#kept")).toBeVisible();
  await expect(page.locator("#unfinished")).toBeHidden();
});

test("a taught student is kept, renamed, downloaded, dropped back and deleted", async ({ play, page }) => {
  await play.open();
  await correct(play, page, SENTENCE, CORRECT);
  await start(page);
  await finished(page);
  const rows = page.locator("#kept li");
  await page.getByRole("button", { name: "Keep this student" }).click();
  await expect(rows).toContainText("tiny-student, taught");
  await page.getByRole("button", { name: "Rename tiny-student, taught" }).click();
  await page.getByLabel("New name of").fill("Knows Kuel");
  await page.keyboard.press("Enter");
  await expect(rows).toContainText("Knows Kuel");

  await page.reload();
  await play.idle("student");
  await expect(rows).toContainText("Knows Kuel");
  await play.type(SENTENCE);
  await expect.poll(() => marks(page, "#student-marks")).not.toEqual(AIM);
  await page.getByRole("button", { name: "Load Knows Kuel", exact: true }).click();
  await expect(page.locator("#student-facts")).toContainText("Knows Kuel");
  await expect.poll(() => marks(page, "#student-marks")).toEqual(AIM);

  const waiting = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download Knows Kuel" }).click();
  const download = await waiting;
  expect(download.suggestedFilename()).toBe("Knows-Kuel.tar");
  const archive = await download.path();
  const folder = await mkdtemp(path.join(os.tmpdir(), "kept-"));
  execFileSync("tar", ["--extract", "--file", archive, "--directory", folder]);
  expect(await readdir(folder)).toEqual(
    expect.arrayContaining(["config.json", "model.safetensors", "tokenizer.json"]),
  );
  expect(JSON.parse(await readFile(path.join(folder, "config.json")))).toHaveProperty("id2label");

  await page.getByRole("button", { name: "Delete Knows Kuel" }).click();
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  await expect(rows).toHaveText(/^None yet/);
  await page.getByRole("button", { name: "Reset the student" }).click();
  await expect(page.locator("#student-facts")).toContainText("tiny-student");
  await expect.poll(() => marks(page, "#student-marks")).not.toEqual(AIM);

  await play.drop([["Knows-Kuel.tar", await readFile(archive)]]);
  await expect(page.locator("#student-facts")).toContainText("Knows-Kuel");
  await expect.poll(() => marks(page, "#student-marks")).toEqual(AIM);
});

test("a damaged archive is refused", async ({ play, page }) => {
  await play.open();
  await play.drop([["broken.tar", Buffer.alloc(700, "a")]]);
  await expect(page.locator("#notices")).toContainText("broken.tar: it is no tar archive");
  await play.drop([["empty.tar", Buffer.alloc(1024)]]);
  await expect(page.locator("#notices")).toContainText("empty.tar: ");
});

test("the teacher labels new text, and the student comes nearer to it", async ({ play, page }) => {
  await play.open();
  await page.getByText("Learn from the teacher on new text").click();
  const lines = unlabelled.split("\n").filter(Boolean).slice(120);
  await page.locator("#teach-text").fill(lines.join("\n"));
  await expect(says(page)).toHaveText(`Ready: ${lines.length} lines for the teacher to label.`);
  await settings(page, { steps: 60, scope: "all", alpha: 0.9, rehearsal: 0.125 });
  await start(page);
  await expect(page.locator("#teach-problem")).toContainText("The teacher labels your text");
  await page.getByRole("button", { name: "Load the teacher and start" }).click();
  await finished(page);
  const words = await page.getByRole("img", { name: /^Scores by step/ }).getAttribute("aria-label");
  const [, first, last] = words.match(/agreement with the teacher from ([\d.]+) to ([\d.]+)/);
  expect(Number(last)).toBeGreaterThan(Number(first));
});

test("a text that is dropped on the card is for the teacher to label", async ({ play, page }) => {
  await play.open();
  const transfer = await page.evaluateHandle((text) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([text], "new.txt"));
    return transfer;
  }, "Grenburg fans left.\nThey came back.\n");
  const before = await play.text.inputValue();
  await page.dispatchEvent("#teach", "dragover", { dataTransfer: transfer });
  await expect(page.locator("#drop")).toBeVisible();
  // What says “drop it here” catches no drop itself.
  await page.locator("#teach-title").scrollIntoViewIfNeeded();
  const below = await page.locator("#teach-title").evaluate((title) => {
    const { left, top } = title.getBoundingClientRect();
    return document.elementFromPoint(left + 2, top + 2)?.closest("#teach") !== null;
  });
  expect(below).toBe(true);
  await page.dispatchEvent("#teach", "drop", { dataTransfer: transfer });
  await expect(page.locator("#teach-text")).toHaveValue("Grenburg fans left.\nThey came back.");
  await expect(says(page)).toHaveText("Ready: 2 lines for the teacher to label.");
  await expect(play.text).toHaveValue(before);
});

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 320]) {
    test.describe(`${colorScheme}, ${width} px`, () => {
      test.use({ colorScheme, viewport: { width, height: 900 }, bypassCSP: true });

      test("axe finds nothing serious in a card in use", async ({ play, page }) => {
        await long(play, page);
        await page.getByRole("button", { name: "Pause" }).click();
        await expect(page.locator("#beside")).toBeVisible();
        await page.getByRole("button", { name: "Keep this student" }).click();
        await expect(page.locator("#kept li")).toContainText("taught");
        await page.getByRole("button", { name: /^Rename/ }).click();
        await page.addScriptTag({ content: axe });
        const results = await page.evaluate(() => window.axe.run());
        const found = results.violations.filter(({ impact }) =>
          ["serious", "critical"].includes(impact),
        );
        const words = found.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" | ")}`);
        expect(words).toEqual([]);
        const overflow = () => document.documentElement.scrollWidth - window.innerWidth;
        expect(await page.evaluate(overflow)).toBeLessThanOrEqual(0);
        await page.getByRole("button", { name: "Stop" }).click();
      });
    });
  }
}
