// The card where the student is taught, as a person uses it.
import { expect } from "./page.js";

/// The marks of the editor as `words/TYPE`.
export function marked(page) {
  return page.locator("#teach-marks mark").evaluateAll((marks) =>
    marks.map((mark) => {
      const words = [...mark.querySelectorAll(".word")].map((word) => word.textContent);
      return `${words.join(" ")}/${mark.querySelector("b").textContent}`;
    }),
  );
}

/// The marks of another area as `words/TYPE`.
export function marks(page, area) {
  return page.locator(`${area} mark`).evaluateAll((marks) =>
    marks.map((mark) => `${mark.firstChild.textContent}/${mark.querySelector("b").textContent}`),
  );
}

export const word = (page, text) =>
  page.locator("#teach-marks .word", { hasText: text }).first();

/// Takes all marks of the text away.
export async function unmark(page) {
  await page.locator("#teach-marks").focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("Shift+End");
  await page.keyboard.press("Delete");
  await expect.poll(() => marked(page)).toEqual([]);
}

/// Corrects a text to entities as `[first word, last word, key]`.
export async function correct(play, page, text, entities) {
  await play.type(text);
  await expect(page.locator("#teach-marks")).not.toHaveClass(/is-old/);
  await unmark(page);
  for (const [first, last, key] of entities) {
    await word(page, first).click();
    if (last !== first) await word(page, last).click({ modifiers: ["Shift"] });
    await page.keyboard.press(key);
  }
}

/// Sets fields of the run's settings.
export async function settings(page, fields) {
  const details = page.locator("#train-settings");
  if (!(await details.evaluate((node) => node.open))) await details.locator("summary").click();
  for (const [name, value] of Object.entries(fields)) {
    const field = page.locator(`#train-${name}`);
    await (name === "scope" ? field.selectOption(value) : field.fill(String(value)));
  }
}

export const says = (page) => page.locator("#train-words");
export const start = (page) => page.locator("#train-start").click();

/// Waits for the end of a run.
export async function finished(page) {
  await expect(says(page)).toHaveText(/^Finished \d+ steps/, { timeout: 90_000 });
}

/// Steps taken so far.
export async function steps(page) {
  const words = await says(page).textContent();
  return Number(words.match(/(?:step|Step|Finished) (\d+)/)?.[1] ?? 0);
}

/// The last value of a curve, by the words of the legend.
export async function value(page, name) {
  const entry = page.locator("#curves .line", { hasText: name });
  return Number((await entry.textContent()).slice(name.length));
}
