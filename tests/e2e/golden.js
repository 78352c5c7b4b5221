// The native command line's entities for 200 texts (golden/make.py), and the comparison with a worker's.
import { readFile } from "node:fs/promises";
import { expect } from "./page.js";

/// Scores are rounded to four digits there, and sums are taken in another order here.
const SCORE_TOLERANCE = 2e-3;

export async function golden() {
  const file = new URL("golden/tags.jsonl", import.meta.url);
  const lines = (await readFile(file, "utf-8")).trim().split("\n");
  return lines.map((line) => JSON.parse(line));
}

/// Every entity at the same bytes, of the same type, and cut out by its UTF-16 units.
export async function expectGolden(page, cases) {
  for (const { role, text, options, entities } of cases) {
    const answer = await page.evaluate((command) => window.ask(command), {
      kind: "tag",
      role,
      text,
      options,
    });
    expect(answer.kind, JSON.stringify(answer).slice(0, 300)).toBe("tagged");
    const found = answer.entities.map(({ entity_type, place: { start_byte, end_byte } }) => ({
      entity_type,
      start_byte,
      end_byte,
    }));
    const wanted = entities.map(({ entity_type, start_byte, end_byte }) => ({
      entity_type,
      start_byte,
      end_byte,
    }));
    expect(found, JSON.stringify({ role, options, text: text.slice(0, 200) })).toEqual(wanted);
    answer.entities.forEach((entity, index) => {
      const cut = text.slice(entity.place.start_utf16, entity.place.end_utf16);
      expect(cut).toBe(entities[index].text);
      expect(Math.abs(entity.score - entities[index].score)).toBeLessThan(SCORE_TOLERANCE);
    });
  }
}
