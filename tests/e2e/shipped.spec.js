// The page as it is published: the teacher and the student that ship.
import { correct, finished, marks, start, value } from "./editor.js";
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

test("the student that ships learns from one correction, with the defaults", async ({ play, page }) => {
  const aim = ["Brazil/LOC", "Mercury/ORG", "Queen/ORG"];
  const found = async (text) => {
    await play.type(text);
    return (await marks(page, "#student-marks")).sort();
  };
  await play.open();
  const text = "Mercury and Queen toured Brazil together .";
  expect(await found(text)).not.toEqual(aim);
  await correct(play, page, text, [
    ["Mercury", "Mercury", "o"],
    ["Queen", "Queen", "o"],
    ["Brazil", "Brazil", "l"],
  ]);
  await start(page);
  await finished(page);
  await expect.poll(async () => (await marks(page, "#student-marks")).sort()).toEqual(aim);
  expect(await found("Queen played before Mercury in Brazil .")).toEqual(aim);
  expect(await found("Tickets for Queen are gone .")).toEqual(["Queen/ORG"]);
  expect(await value(page, "agreement with its former self")).toBeGreaterThanOrEqual(0.97);
});
