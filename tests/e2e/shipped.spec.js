// The page as it is published: the teacher and the student that ship.
import { expect, test } from "./page.js";

test.use({ shipped: true });

const TEXT = "Marie Curie moved from Warsaw to Paris and taught at the University of Paris.";

test("the student that ships tags, and so does its teacher", async ({ play, page }) => {
  await play.open();
  await expect(page.locator("#student-facts")).toContainText("student · ");
  await play.type(TEXT);
  await play.compare();
  const { student, teacher } = await play.data();
  for (const entities of [student, teacher]) {
    const found = entities.map(({ entity_type, text }) => `${entity_type} ${text}`);
    expect(found).toEqual(expect.arrayContaining(["PER Marie Curie", "LOC Warsaw", "LOC Paris"]));
  }
  await expect(play.verdict).toHaveText(/Agreement F1/);
  await expect(page.locator("#notices")).toBeEmpty();
});
