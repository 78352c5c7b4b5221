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
  // One may be the machine's.
  expect(tasks.length, `long tasks: ${tasks} ms`).toBeLessThanOrEqual(1);
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
  // The list has come.
  await expect(page.locator("#kept")).toHaveAttribute("aria-busy", "false");
  await expect(page.locator("#unfinished")).toBeHidden();
});

test("a taught student is kept, renamed, downloaded, dropped back and deleted", async ({ play, page }) => {
  await play.open();
  await correct(play, page, SENTENCE, CORRECT);
  await start(page);
  await finished(page);
  const rows = page.locator("#kept li");
  // Enter that ends the writing of a letter keeps nothing yet.
  await page.locator("#keep-name").dispatchEvent("keydown", { key: "Enter", isComposing: true });
  await page.getByRole("button", { name: "Keep this student" }).click();
  await expect(rows).toHaveCount(1);
  await expect(rows).toContainText("tiny-student, taught");
  await expect(page.locator("#keep")).toBeFocused();
  await page.getByRole("button", { name: "Rename tiny-student, taught" }).click();
  await page.getByLabel("New name of").fill("Knows Kuel");
  await page.keyboard.press("Enter");
  await expect(rows).toContainText("Knows Kuel");
  await expect(page.locator("#kept")).toBeFocused();

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

test("what was taught and not kept is not left without a question", async ({ play, page }) => {
  const asked = [];
  let isMeant = false;
  page.on("dialog", (dialog) => {
    asked.push(dialog.type());
    return isMeant ? dialog.accept() : dialog.dismiss();
  });
  await play.open();
  await correct(play, page, SENTENCE, CORRECT);
  await settings(page, { learning_rate: 1e-3 });
  await start(page);
  await finished(page);
  await expect.poll(() => marks(page, "#student-marks")).toEqual(AIM);
  const facts = page.locator("#student-facts");
  const folder = new URL("../fixtures/models/tiny-student/", import.meta.url);
  const names = ["config.json", "tokenizer.json", "model.safetensors"];
  const bundle = await Promise.all(
    names.map(async (name) => [name, await readFile(new URL(name, folder))]),
  );
  await play.drop(bundle);
  await expect.poll(() => asked).toEqual(["confirm"]);
  await expect(facts).toContainText("tiny-student");

  // The device that computes already is no other one.
  await page.locator("#backend").selectOption("cpu");
  await expect(page.locator("#backend-why")).toContainText("Chosen by you: cpu");
  expect(asked.length).toBe(1);
  // Closing the tab is asked about too.
  await page.close({ runBeforeUnload: true });
  await expect.poll(() => asked).toEqual(["confirm", "beforeunload"]);

  // A student that cannot be loaded takes nothing away.
  isMeant = true;
  await play.drop([...bundle.slice(0, 2), ["model.safetensors", "x"]]);
  await expect(page.locator("#notices")).toContainText("tiny-student stays.");
  expect(asked.length).toBe(3);
  await expect(facts).toContainText("tiny-student");
  await expect.poll(() => marks(page, "#student-marks")).toEqual(AIM);
  await expect(page.getByRole("button", { name: "Reset the student" })).toBeEnabled();

  // What is kept may go.
  await page.getByRole("button", { name: "Keep this student" }).click();
  await expect(page.locator("#kept li")).toContainText("tiny-student, taught");
  await play.drop(bundle);
  await expect(facts).toContainText("own model");
  expect(asked.length).toBe(3);
});

test("a run that goes on in another tab is not offered here", async ({ play, page, context, server }) => {
  await long(play, page);
  await expect.poll(() => steps(page), { timeout: 60_000 }).toBeGreaterThan(11);
  const other = await context.newPage();
  await other.goto(server.url);
  const isListed = (page) =>
    expect(page.locator("#kept")).toHaveAttribute("aria-busy", "false", { timeout: 60_000 });
  await isListed(other);
  await expect(other.locator("#unfinished")).toBeHidden();
  // A run in the other tab leaves the first one's files alone.
  await settings(other, { steps: 2000 });
  await start(other);
  await expect(other.locator("#teach-problem")).toContainText("is not kept: another tab");
  await other.getByRole("button", { name: "Stop" }).click();
  await expect(says(other)).toHaveText(/^Stopped after step/);
  await expect.poll(() => steps(page)).toBeGreaterThan(0);
  await page.reload();
  await isListed(page);
  await expect(page.locator("#unfinished-words")).toHaveText(/after step \d+ of 2000/);
});

test("a kept student whose record cannot be read is kept", async ({ play, page }) => {
  await play.open();
  await page.evaluate(async () => {
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("understudy-1");
    const kept = await root.getDirectoryHandle("kept");
    // Both were begun in 2001; one was never whole.
    for (const [id, file] of [["1000000000000", "kept.json"], ["1000000000001", "config.json"]]) {
      const folder = await kept.getDirectoryHandle(id, { create: true });
      const handle = await folder.getFileHandle(file, { create: true });
      const stream = await handle.createWritable();
      await stream.write('{"name": "cut');
      await stream.close();
    }
  });
  await page.reload();
  const rows = page.locator("#kept li");
  await expect(rows).toHaveCount(1);
  await expect(rows).toContainText("a student whose name was lost");
  await page.getByRole("button", { name: "Rename a student" }).click();
  await page.getByLabel("New name of").fill("Found again");
  await page.keyboard.press("Enter");
  await expect(rows).toContainText("Found again");
});

test("a run without room for its files goes on, and says what to do", async ({ play, page, server }) => {
  await play.open();
  const session = await page.context().newCDPSession(page);
  const limit = { origin: server.origin, quotaSize: 5000 };
  await session.send("Storage.overrideQuotaForOrigin", limit);
  await correct(play, page, SENTENCE, CORRECT);
  await settings(page, { steps: 2000 });
  await start(page);
  const problem = page.locator("#teach-problem");
  await expect(problem).toContainText("The run goes on, but is not kept: ");
  await expect(problem).toContainText("there is no room left in this browser; delete a kept student");
  await expect.poll(() => steps(page)).toBeGreaterThan(2);
  await page.getByRole("button", { name: "Stop" }).click();
  await expect(says(page)).toHaveText(/^Stopped after step/);
  await page.reload();
  await expect(page.locator("#kept")).toHaveAttribute("aria-busy", "false");
  await expect(page.locator("#unfinished")).toBeHidden();
});

test("nothing else begins while the teacher of a run is on its way", async ({ play, page, server }) => {
  let free;
  const gate = new Promise((done) => (free = done));
  server.faults.set("tiny-teacher/model.safetensors", (bytes) => gate.then(() => bytes));
  await play.open();
  await page.getByText("Learn from the teacher on new text").click();
  await page.locator("#teach-text").fill("Grenburg fans left.\nThey came back.\nAda stayed.");
  await start(page);
  await page.getByRole("button", { name: "Load the teacher and start" }).click();
  await expect(page.locator("#train-start")).toBeDisabled();
  await expect(page.locator("#backend")).toBeDisabled();
  free();
  await finished(page);
  await expect(page.locator("#train-start")).toBeEnabled();
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
