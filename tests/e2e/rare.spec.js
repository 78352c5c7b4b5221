// What seldom happens to a run, and what the page says and does then.
import { readFile } from "node:fs/promises";
import { says, start, word } from "./editor.js";
import { expect, test } from "./page.js";

const fake = await readFile(new URL("fake_worker.js", import.meta.url), "utf-8");
const protocol = await readFile(new URL("../../web/src/protocol/mod.rs", import.meta.url), "utf-8");
const version = protocol.match(/VERSION: u32 = (\d+)/)[1];

/// Opens the page with a worker that plays a scene, and starts a run.
async function playScene(play, page, scene, hash = "") {
  const script = fake.replace('"SCENE"', `"${scene}"`).replace("version: VERSION", `version: ${version}`);
  play.server.faults.set("/worker.js", () => Buffer.from(script));
  await play.open(hash);
  await play.type("Ada Lovelace wrote");
  await word(page, "Ada").click();
  await page.keyboard.press("p");
  await start(page);
}

const problem = (page) => page.locator("#teach-problem");

test("a loss that is no number stops a run", async ({ play, page }) => {
  await playScene(play, page, "not_finite");
  await expect(problem(page)).toContainText("the loss of step 4 is no number");
  await expect(problem(page)).toContainText("The last good weights are kept");
  await expect(says(page)).toHaveText(/^Broke off after step 3 of 10/);
  await expect(page.getByRole("button", { name: "Start" })).toBeEnabled();
});

test("a new worker goes on where one with full memory stopped", async ({ play, page }) => {
  const workers = [];
  page.on("worker", (worker) => workers.push(worker));
  await playScene(play, page, "memory_full");
  await expect(says(page)).toHaveText(/^Finished 10 steps/);
  const loss = page.getByRole("img", { name: "Loss by step: loss from 1.000 to 0.100." });
  await expect(loss).toBeVisible();
  expect(workers).toHaveLength(2);
  await expect(problem(page)).toBeHidden();
  await expect(page.locator("#unfinished")).toBeHidden();
});

test("the teacher is back after a new worker went on", async ({ play, page }) => {
  await playScene(play, page, "memory_full", "#compare=1");
  await expect(says(page)).toHaveText(/^Finished 10 steps/);
  await expect(page.locator("#teacher-facts")).toContainText("tiny-teacher · 1 k parameters · 4 kB");
  await expect(page.locator("#teacher-load")).toBeHidden();
  await expect(page.getByRole("button", { name: "Start" })).toBeEnabled();
});

test("a run goes on after its worker was lost", async ({ play, page }) => {
  await playScene(play, page, "crash");
  await expect(problem(page)).toContainText("Teaching broke off: ");
  await expect(page.locator("#notices")).toContainText("out of memory");
  await expect(page.locator("#student-load")).toContainText("out of memory");
  for (const name of ["Start", "Keep this student"]) {
    await expect(page.getByRole("button", { name, exact: true })).toBeDisabled();
  }
  await page.getByRole("button", { name: "Start again" }).click();
  await expect(page.locator("#unfinished-words")).toHaveText(
    "A run of fake was left after step 3 of 10.",
  );
  await page.getByRole("button", { name: "Go on" }).click();
  await expect(says(page)).toHaveText(/^Finished 10 steps/);
  await expect(page.locator("#unfinished")).toBeHidden();
});

test("a browser that stores nothing says so", async ({ play, page }) => {
  await playScene(play, page, "no_storage");
  await expect(says(page)).toHaveText(/^Finished 10 steps/);
  await expect(page.locator("#kept-note")).toHaveText(
    "This browser keeps no students here: the file system of this page is switched off.",
  );
  await page.getByRole("button", { name: "Keep this student" }).click();
  await expect(problem(page)).toContainText("switched off");
});

test("a run that is stopped before it began is not still labelling", async ({ play, page }) => {
  await playScene(play, page, "labelling");
  await expect(says(page)).toHaveText("The teacher has labelled 3 of 40 windows");
  await page.getByRole("button", { name: "Stop" }).click();
  await expect(says(page)).toHaveText("Ready: 1 lesson.");
  await expect(page.getByRole("button", { name: "Start" })).toBeEnabled();
});

test("an answer of another version ends its request", async ({ play, page }) => {
  await playScene(play, page, "newer");
  await expect(problem(page)).toContainText("of another version; reload the page");
  await expect(page.getByRole("button", { name: "Start" })).toBeEnabled();
});

test("a run that cannot begin says why", async ({ play, page }) => {
  await playScene(play, page, "refused");
  await expect(problem(page)).toHaveText(
    "The student cannot be taught: the lesson of line 1 is longer than 128 sub-words.",
  );
  await expect(page.getByRole("button", { name: "Start" })).toBeEnabled();
});
