// Correcting the student: marks edited by mouse, touch and keys, lessons, undo, files, the teacher.
import { readFile } from "node:fs/promises";
import { marked, marks, unmark, word } from "./editor.js";
import { expect, test } from "./page.js";

const SENTENCE = "Ralville coach Puthgayn Seskak spoke at the University of Lamville.";

/// Opens the page with a text and takes all its marks away.
async function blank(play, page, text = SENTENCE) {
  await play.open();
  await play.type(text);
  await expect(page.locator("#teach-marks .word").first()).toBeVisible();
  await unmark(page);
}

test("the student's marks are there to be corrected", async ({ play, page }) => {
  await play.open();
  await play.type(SENTENCE);
  const own = await marks(page, "#student-marks");
  expect(own.length).toBeGreaterThan(0);
  await expect.poll(() => marked(page)).toEqual(own);
  await expect(page.locator("#lesson-count")).toHaveText("none yet");
  await expect(page.locator("#train-words")).toHaveText("Nothing to learn from yet.");
});

test("words are marked by a click and a key, and by a type's button", async ({ play, page }) => {
  await blank(play, page);
  await word(page, "Ralville").click();
  await page.keyboard.press("o");
  await expect.poll(() => marked(page)).toEqual(["Ralville/ORG"]);
  await word(page, "Ralville").click();
  await page.getByRole("button", { name: "LOC" }).click();
  await expect.poll(() => marked(page)).toEqual(["Ralville/LOC"]);
  await word(page, "Lamville").click();
  await page.keyboard.press("1");
  const first = (await page.locator("#type-keys .chip").first().textContent()).slice(1);
  await expect.poll(() => marked(page)).toEqual(["Ralville/LOC", `Lamville/${first}`]);
  await word(page, "Lamville").click();
  await page.getByRole("button", { name: "no name" }).click();
  await expect.poll(() => marked(page)).toEqual(["Ralville/LOC"]);
  await expect(page.locator("#lesson-count")).toHaveText("1 lesson");
});

test("a selection with the mouse snaps to words", async ({ play, page }) => {
  await blank(play, page);
  const from = await word(page, "Puthgayn").boundingBox();
  const to = await word(page, "Seskak").boundingBox();
  await page.mouse.move(from.x + from.width / 2, from.y + from.height / 2);
  await page.mouse.down();
  await page.mouse.move(to.x + to.width / 2, to.y + to.height / 2, { steps: 5 });
  await page.mouse.up();
  await expect(page.locator("#teach-marks .chosen")).toHaveText(["Puthgayn", "Seskak"]);
  await page.keyboard.press("p");
  await expect.poll(() => marked(page)).toEqual(["Puthgayn Seskak/PER"]);
});

test("an edge is dragged by the mouse", async ({ play, page }) => {
  await blank(play, page);
  await word(page, "Puthgayn").click();
  await page.keyboard.press("p");
  await word(page, "spoke").click();
  await page.keyboard.press("m");
  const drag = async (name, end, to) => {
    const edge = page.locator("#teach-marks mark", { hasText: name }).locator(`.edge.${end}`);
    const box = await edge.boundingBox();
    const target = await word(page, to).boundingBox();
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    await page.mouse.down();
    await page.mouse.move(target.x + target.width / 2, target.y + target.height / 2, { steps: 6 });
    await page.mouse.up();
  };
  await drag("Puthgayn", "end", "Seskak");
  await expect.poll(() => marked(page)).toEqual(["Puthgayn Seskak/PER", "spoke/MISC"]);
  await drag("spoke", "start", "Seskak");
  await expect.poll(() => marked(page)).toEqual(["Puthgayn/PER", "Seskak spoke/MISC"]);
  // One drag is one step back.
  await page.getByRole("button", { name: "Undo" }).click();
  await expect.poll(() => marked(page)).toEqual(["Puthgayn Seskak/PER", "spoke/MISC"]);
});

test("everything goes by keys", async ({ play, page }) => {
  await blank(play, page);
  const editor = page.locator("#teach-marks");
  await editor.focus();
  await page.keyboard.press("Home");
  for (let steps = 0; steps < 2; steps += 1) await page.keyboard.press("ArrowRight");
  await expect(editor).toHaveAttribute("aria-activedescendant", "word-2");
  await page.keyboard.press("Shift+ArrowRight");
  await page.keyboard.press("p");
  await expect.poll(() => marked(page)).toEqual(["Puthgayn Seskak/PER"]);
  await expect(page.locator("#teach-said")).toHaveText("Puthgayn Seskak is PER.");
  await page.keyboard.press("Alt+ArrowLeft");
  await expect.poll(() => marked(page)).toEqual(["Puthgayn/PER"]);
  await page.keyboard.press("Alt+Shift+ArrowLeft");
  await expect.poll(() => marked(page)).toEqual(["coach Puthgayn/PER"]);
  await page.keyboard.press("Alt+ArrowRight");
  await page.keyboard.press("Alt+Shift+ArrowRight");
  await expect.poll(() => marked(page)).toEqual(["Puthgayn Seskak/PER"]);
  await page.keyboard.press("l");
  await expect.poll(() => marked(page)).toEqual(["Puthgayn Seskak/LOC"]);
  await page.keyboard.press("Delete");
  await expect.poll(() => marked(page)).toEqual([]);
  await page.keyboard.press("Escape");
  await expect(page.locator("#teach-marks .chosen")).toHaveCount(0);
});

test("undo and redo, by buttons and by keys", async ({ play, page }) => {
  await blank(play, page);
  await word(page, "Ralville").click();
  await page.keyboard.press("l");
  await word(page, "Lamville").click();
  await page.keyboard.press("l");
  const both = ["Ralville/LOC", "Lamville/LOC"];
  await expect.poll(() => marked(page)).toEqual(both);
  await page.keyboard.press("Control+z");
  await expect.poll(() => marked(page)).toEqual(["Ralville/LOC"]);
  await page.getByRole("button", { name: "Undo" }).click();
  await expect.poll(() => marked(page)).toEqual([]);
  await page.keyboard.press("Control+Shift+z");
  await page.getByRole("button", { name: "Redo" }).click();
  await expect.poll(() => marked(page)).toEqual(both);
  await expect(page.getByRole("button", { name: "Redo" })).toBeDisabled();
  // In the text field the keys are the field's own.
  await play.text.focus();
  await page.keyboard.press("Control+z");
  expect(await marks(page, "#lessons")).toEqual(both);
  await expect(page.getByRole("button", { name: "Redo" })).toBeDisabled();
});

test("another tab's lessons are here too", async ({ play, page, context, server }) => {
  await blank(play, page);
  const other = await context.newPage();
  await other.goto(server.url);
  await expect(other.locator("#lesson-count")).toHaveText("1 lesson");
  await word(page, "Ralville").click();
  await page.keyboard.press("l");
  await expect.poll(() => marks(other, "#lessons")).toEqual(["Ralville/LOC"]);
  await other.getByRole("button", { name: "Remove all" }).click();
  await expect(page.locator("#lesson-count")).toHaveText("none yet");
});

test("a browser that stores no lessons says so, once", async ({ play, page }) => {
  await page.addInitScript(() => {
    Storage.prototype.setItem = () => {
      throw new DOMException("full", "QuotaExceededError");
    };
  });
  await blank(play, page);
  const problem = page.locator("#teach-problem");
  await expect(problem).toContainText("The lessons are not stored");
  await page.locator("#lessons-file").setInputFiles({
    name: "mine.conll",
    mimeType: "text/plain",
    buffer: Buffer.from("Ada B-PER\nspoke O\n"),
  });
  await expect(page.locator("#lesson-count")).toHaveText("2 lessons");
  await expect(problem).toBeHidden();
});

test("more lessons than there may be are refused, and nothing else is said", async ({ play, page }) => {
  await page.addInitScript(() => {
    const lessons = Array.from({ length: 1000 }, (_, i) => ({ text: `lesson ${i}`, spans: [] }));
    localStorage.setItem("understudy-lessons", JSON.stringify(lessons));
  });
  await play.open();
  await play.type(SENTENCE);
  const before = await marked(page);
  await word(page, "Ralville").click();
  await page.keyboard.press("m");
  await expect(page.locator("#teach-problem")).toContainText("more than 1000 lessons");
  await expect(page.locator("#teach-said")).not.toContainText("Ralville is");
  expect(await marked(page)).toEqual(before);
});

test("a lesson is a line, survives a reload, and is shown and removed", async ({ play, page }) => {
  await play.open();
  await play.type(`${SENTENCE}\nGrenburg fans travelled to Gemora.`);
  await word(page, "fans").click();
  await page.keyboard.press("m");
  const lesson = page.locator("#lessons li");
  await expect(lesson).toHaveCount(1);
  await expect(lesson).toContainText("fans");
  await expect(lesson).not.toContainText("Ralville");
  await page.getByRole("button", { name: "All of it is right" }).click();
  await expect(lesson).toHaveCount(2);
  await page.reload();
  await play.idle("student");
  await expect(lesson).toHaveCount(2);
  await page.getByRole("button", { name: /^Show the lesson Grenburg/ }).click();
  await expect(play.text).toHaveValue("Grenburg fans travelled to Gemora.");
  await play.idle("student");
  await expect.poll(() => marked(page)).toContain("fans/MISC");
  await page.getByRole("button", { name: /^Remove the lesson Grenburg/ }).click();
  await expect(lesson).toHaveCount(1);
  await expect(page.locator("#lessons-title")).toBeFocused();
  await page.getByRole("button", { name: "Remove all" }).click();
  await expect(page.locator("#lesson-count")).toHaveText("none yet");
  await expect(page.locator("#lessons-title")).toBeFocused();
});

test("lessons come from a labelled file, and a wrong one is explained", async ({ play, page }) => {
  await play.open();
  const columns = await readFile(new URL("../fixtures/tiny/valid.txt", import.meta.url), "utf-8");
  const sentences = columns.split(/\n\s*\n/).filter((part) => part.trim() && !/^-DOCSTART-/.test(part));
  const file = (name, text) => ({ name, mimeType: "text/plain", buffer: Buffer.from(text) });
  await page.locator("#lessons-file").setInputFiles(file("valid.conll", columns));
  const unique = new Set(
    sentences.map((part) => part.trim().split("\n").map((line) => line.split(/\s/)[0]).join(" ")),
  );
  await expect(page.locator("#lesson-count")).toHaveText(`${unique.size} lessons`);
  await page.getByRole("button", { name: "Undo" }).click();
  await expect(page.locator("#lesson-count")).toHaveText("none yet");
  await page.locator("#lessons-file").setInputFiles(file("genes.conll", "Ada B-PER\nTP53 B-GENE\n"));
  await expect(page.locator("#teach-problem")).toContainText("line 2: the type `GENE` is new");
  const row = { tokens: ["Ada", "spoke", "."], tags: ["B-PER", "O", "O"] };
  await page.locator("#lessons-file").setInputFiles(file("mine.jsonl", JSON.stringify(row)));
  await expect(page.locator("#lesson-count")).toHaveText("1 lesson");
  await page.getByRole("button", { name: "Undo" }).click();
  await page.locator("#lessons-file").setInputFiles(file("half.jsonl", '{"tokens": ["Ada"]}'));
  await expect(page.locator("#notices")).toContainText("half.jsonl: line 1: expected");
  // One odd line makes no text for the teacher of a labelled file.
  await page.locator("#lessons-file").setInputFiles(file("odd.conll", "Ada B-PER\nspoke PAST\n"));
  await expect(page.locator("#notices")).toContainText("odd.conll: line 2: expected a word and");
  await expect(page.locator("#teach-text")).toHaveValue("");
  // A file that was dropped on the page to be scored can be learned from too.
  await play.drop([["test.conll", columns]]);
  await page.getByRole("button", { name: "Learn from the file above" }).click();
  await expect(page.locator("#lesson-count")).toHaveText(`${unique.size} lessons`);
  await expect(page.locator("#teach-problem")).toBeHidden();
});

test("the teacher's marks become lessons", async ({ play, page }) => {
  await play.open();
  await play.type(SENTENCE);
  await page.getByRole("button", { name: "Ask the teacher" }).click();
  await expect(page.locator("#lesson-count")).toHaveText("1 lesson", { timeout: 60_000 });
  const { teacher } = await play.data();
  const spans = teacher.map(({ text, entity_type }) => `${text}/${entity_type}`);
  await expect.poll(() => marked(page)).toEqual(spans);
});

test("a setting out of its limits is named, and nothing starts", async ({ play, page }) => {
  await play.open();
  await page.getByRole("button", { name: "Start" }).click();
  await expect(page.locator("#teach-problem")).toContainText("nothing to learn from yet");
  await page.getByText("How it learns").click();
  await page.getByRole("spinbutton", { name: "Steps" }).fill("0");
  await page.getByRole("button", { name: "Start" }).click();
  await expect(page.locator("#teach-problem")).toHaveText("Steps: expected a whole number from 1 to 5000.");
  await page.getByRole("button", { name: "Back to the defaults" }).click();
  await expect(page.getByRole("spinbutton", { name: "Steps" })).not.toHaveValue("0");
});

test.describe("on a touch screen", () => {
  test.use({ hasTouch: true, viewport: { width: 390, height: 800 } });

  test("a tap chooses, a tap marks, and an edge follows the finger", async ({ play, page }) => {
    await blank(play, page);
    await word(page, "Puthgayn").tap();
    await page.getByRole("button", { name: "PER" }).tap();
    await expect.poll(() => marked(page)).toEqual(["Puthgayn/PER"]);
    await word(page, "Puthgayn").scrollIntoViewIfNeeded();
    const session = await page.context().newCDPSession(page);
    const middle = async (element) => {
      const box = await element.boundingBox();
      return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
    };
    const from = await middle(page.locator("#teach-marks .edge.end"));
    const to = await middle(word(page, "Seskak"));
    const touch = (type, touchPoints) =>
      session.send("Input.dispatchTouchEvent", { type, touchPoints });
    await touch("touchStart", [from]);
    await touch("touchMove", [{ x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 }]);
    await touch("touchMove", [to]);
    await touch("touchEnd", []);
    await expect.poll(() => marked(page)).toEqual(["Puthgayn Seskak/PER"]);
  });
});
