// What is tagged, and how it is shown.
import { expectGolden, golden } from "./golden.js";
import { expect, startWorker, test } from "./page.js";

const SENTENCE = "Ralville coach Puthgayn Seskak spoke at the University of Lamville.";

test("the CPU tags 200 texts as the command line does, span for span", async ({ play, page }) => {
  await play.open();
  await startWorker(page, "worker", "cpu");
  const cases = await golden();
  expect(cases).toHaveLength(200);
  await expectGolden(page, cases);
});

test("what is typed is tagged with exact positions", async ({ play }) => {
  await play.open();
  const text = `\u{1f469}\u200d\u{1f680} ${SENTENCE}`;
  await play.type(text);
  const { student } = await play.data();
  expect(student.length).toBeGreaterThan(0);
  for (const entity of student) {
    expect(text.slice(entity.start_utf16, entity.end_utf16)).toBe(entity.text);
    expect([...text].slice(entity.start_char, entity.end_char).join("")).toBe(entity.text);
    const bytes = Buffer.from(text).subarray(entity.start_byte, entity.end_byte);
    expect(bytes.toString()).toBe(entity.text);
  }
});

test("an entity at position 0 is marked", async ({ play }) => {
  await play.open();
  await play.type(SENTENCE);
  await expect(play.marks("student").first()).toContainText("Ralville");
});

test("text is never taken for HTML", async ({ play, page }) => {
  await play.open();
  await play.type(`<img src=x onerror="alert(1)"> ${SENTENCE} <script>alert(2)</script>`);
  await expect(page.locator("#student-marks")).toContainText("<img src=x");
  await expect(page.locator("#student-marks img, #student-marks script")).toHaveCount(0);
});

test("teacher and student are compared by kind of disagreement", async ({ play, page }) => {
  await play.open();
  await page.getByRole("button", { name: "Invented" }).click();
  await play.compare();
  await expect(play.verdict).toHaveText(
    /Agreement F1 \d\.\d{3} · \d+ same · \d+ missed · \d+ extra · \d+ other type · \d+ other boundary/,
  );
  const { student, teacher } = await play.data();
  const key = (entity) => [entity.entity_type, entity.start_byte, entity.end_byte].join();
  const same = student.filter((entity) => teacher.some((other) => key(other) === key(entity)));
  await expect(play.verdict).toContainText(`${same.length} same`);
  const f1 = (2 * same.length) / (student.length + teacher.length);
  await expect(play.verdict).toContainText(`F1 ${f1.toFixed(3)}`);
});

test("aggregation, legality and threshold decode again without computing", async ({ play, page }) => {
  await play.open();
  await play.type(SENTENCE);
  await page.locator("#aggregation").selectOption("none");
  await expect(play.marks("student").first().locator("b")).toHaveText(/^[BI]-/);
  await page.locator("#constrained").check();
  await play.idle("student");
  await page.locator("#threshold").fill("1");
  await expect(play.marks("student")).toHaveCount(0);
  const tagged = page.locator("#numbers tr", { hasText: "Texts tagged" }).locator("td").last();
  await expect(tagged).toHaveText("2");
});

test("the strip shows all probabilities, and temperature softens them", async ({ play, page }) => {
  await play.open();
  await play.type(SENTENCE);
  await play.compare();
  const strip = page.getByRole("listbox", { name: "What the student learns from" });
  await strip.focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowRight");
  await expect(page.locator("#token-1")).toHaveAttribute("aria-selected", "true");
  await expect(strip).toHaveAttribute("aria-activedescendant", "token-1");
  await expect(page.locator("#lens .pair")).toHaveCount(9);
  const top = async () => {
    const shares = await page.locator("#lens .pair > span").allTextContents();
    return Math.max(...shares.map(parseFloat));
  };
  const sharp = await top();
  await page.locator("#temperature").fill("10");
  expect(await top()).toBeLessThan(sharp);
  const [, kl, scaled] = (await page.locator("#kl").textContent()).match(/KL ([\d.]+) .* ([\d.]+)$/);
  expect(Math.abs(kl * 100 - scaled)).toBeLessThan(0.006);
});

test("a long text goes by windows, and a shorter one supersedes it", async ({ play, page }) => {
  await play.open();
  const long = Array.from({ length: 2000 }, (_, i) => `${SENTENCE} ${i}`).join("\n");
  await play.text.fill(long);
  await expect(page.locator("#work")).toBeVisible();
  await expect(page.locator("#work-text")).toHaveText(/has read \d+ of \d+ windows/);
  await play.type(SENTENCE);
  await expect(page.locator("#work")).toBeHidden();
  const { text } = await play.data();
  expect(text).toBe(SENTENCE);
});

test("a long text is cancelled", async ({ play, page }) => {
  await page.addInitScript(() => {
    window.requests = [];
    const post = Worker.prototype.postMessage;
    Worker.prototype.postMessage = function (message, ...rest) {
      window.requests.push(JSON.parse(message[0]));
      return post.call(this, message, ...rest);
    };
  });
  await play.open();
  await play.text.fill(Array.from({ length: 2000 }, () => SENTENCE).join(" "));
  await page.getByRole("button", { name: "Cancel" }).click();
  await expect(page.locator("#work")).toBeHidden();
  const area = page.locator("#student-marks");
  await expect(area).toHaveText("Not tagged. Change the text, and it is tagged again.");
  await expect(area).toHaveAttribute("aria-busy", "false");
  const requests = await page.evaluate(() => window.requests);
  const long = requests.find(({ command }) => command.tag?.text.length > 10_000);
  expect(requests.at(-1).command).toEqual({ cancel: { request: long.id } });
  await play.type(SENTENCE);
  await expect(play.marks("student").first()).toContainText("Ralville");
});

test("a long text is tagged whole", async ({ play, page }) => {
  await play.open();
  await play.text.fill(Array.from({ length: 300 }, () => SENTENCE).join("\n"));
  await play.idle("student");
  await expect(page.locator("#strip-help")).toContainText("The first 512 of");
  const { student, text } = await play.data();
  expect(student.length).toBeGreaterThan(300);
  expect(text.slice(student.at(-1).start_utf16, student.at(-1).end_utf16)).toBe(student.at(-1).text);
});
