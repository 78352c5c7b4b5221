// Models on their way: cache, offline, spoiled files, files of one's own.
import { readFile } from "node:fs/promises";
import { expect, test } from "./page.js";

const folder = new URL("../fixtures/models/tiny-student/", import.meta.url);
const bundle = async () =>
  Promise.all(
    ["config.json", "tokenizer.json", "model.safetensors"].map(async (name) => [
      name,
      await readFile(new URL(name, folder)),
    ]),
  );

test("the second visit takes the model from the cache", async ({ play, page, server }) => {
  await play.open();
  const weights = () => server.requests.filter((path) => path.endsWith(".safetensors")).length;
  expect(weights()).toBe(1);
  await page.reload();
  await play.idle("student");
  expect(weights()).toBe(1);
  await expect(page.locator("#numbers tr", { hasText: "Fetched" })).toContainText("cache");
});

test.describe("offline", () => {
  test.use({ expectedErrors: ["ERR_INTERNET_DISCONNECTED", "ERR_FAILED"] });

  test("a page that was visited works without a network", async ({ play, page, context, server }) => {
    await play.open();
    await page.evaluate(() => navigator.serviceWorker.ready);
    await context.setOffline(true);
    await page.reload();
    await play.idle("student");
    await play.type("Ralville coach Puthgayn Seskak spoke.");
    await expect(play.marks("student").first()).toBeVisible();
    await page.goto(`${server.url}index.html?from=elsewhere`);
    await play.idle("student");
  });
});

test.describe("a visit that broke off after the page was changed", () => {
  test.use({ expectedErrors: ["ERR_INTERNET_DISCONNECTED", "ERR_FAILED", "404"] });

  test("leaves what worked offline before", async ({ play, page, context, server }) => {
    await play.open();
    await page.evaluate(() => navigator.serviceWorker.ready);
    const isNew = () =>
      page.evaluate(() => getComputedStyle(document.body).getPropertyValue("--build") === "new");
    server.faults.set("style.css", (bytes) => Buffer.concat([bytes, Buffer.from("body{--build:new}")]));
    server.faults.set("worker_bg.wasm", "missing");
    // A server that is out of order for a moment: all of the page is the copy.
    const out = ["/where/", "models/manifest.json"];
    out.forEach((path) => server.faults.set(path, "unavailable"));
    await page.reload();
    await play.idle("student");
    expect(await isNew()).toBe(false);
    out.forEach((path) => server.faults.delete(path));
    await page.reload();
    await expect.poll(isNew).toBe(true);
    await expect(page.locator("#notices")).toContainText("Nothing computes");
    await context.setOffline(true);
    await page.reload();
    await play.idle("student");
    expect(await isNew()).toBe(false);

    await context.setOffline(false);
    server.faults.delete("worker_bg.wasm");
    await page.reload();
    await play.idle("student");
    const sets = () => page.evaluate(async () => (await caches.keys()).filter((name) => name.includes("page")));
    await expect.poll(async () => (await sets()).length).toBe(1);
    await context.setOffline(true);
    await page.reload();
    await play.idle("student");
    expect(await isNew()).toBe(true);
  });
});

test.describe("a visit that broke off after the model was changed", () => {
  test.use({ expectedErrors: ["ERR_INTERNET_DISCONNECTED", "ERR_FAILED"] });

  test("leaves the model that worked offline before", async ({ play, page, context, server }) => {
    await play.open();
    await page.evaluate(() => navigator.serviceWorker.ready);
    server.faults.set("models/manifest.json", (bytes) => {
      const list = JSON.parse(bytes);
      const { files } = list.models.find(({ folder }) => folder === "tiny-student");
      files.find(({ name }) => name === "model.safetensors").sha256 = "0".repeat(64);
      return Buffer.from(JSON.stringify(list));
    });
    await page.reload();
    await expect(page.locator("#student-load")).toContainText("expected 000000000000…");
    // A student from elsewhere does not say that the page's own works.
    await play.drop(await bundle());
    await play.idle("student");
    await context.setOffline(true);
    await page.reload();
    await play.idle("student");
    await expect(page.locator("#student-facts")).toContainText("tiny-student · ");
  });
});

test("without a cache, as on plain http of another host, the models are fetched", async ({ play, page }) => {
  // A worker has a scope of its own, which an init script does not reach.
  let workers = 0;
  await page.route("**/start_worker.js*", async (route) => {
    workers += 1;
    const response = await route.fetch();
    const body = `Object.defineProperty(self, "caches", { value: undefined });${await response.text()}`;
    await route.fulfill({ response, body });
  });
  await play.open();
  expect(workers).toBeGreaterThan(0);
  const kept = async () => (await (await caches.open("understudy-models-1")).keys()).length;
  expect(await page.evaluate(kept)).toBe(0);
});

test("without a student beside it nothing is waited for", async ({ play, page, server }) => {
  server.faults.set("models/manifest.json", () => Buffer.from('{"format": 1, "models": []}'));
  await page.goto(server.url);
  await expect(page.locator("#notices")).toContainText("There is no model beside this page");
  await expect(page.locator("#backend-why")).toContainText("The CPU");
  await expect(page.locator("#student-load")).toBeHidden();
  await expect(page.locator("#kept")).toContainText("None yet");
  await play.drop(await bundle());
  await play.idle("student");
});

test("what is typed before the page has started stays", async ({ play, page, server }) => {
  const free = holdBack(server, "app_bg.wasm");
  await page.goto(server.url, { waitUntil: "commit" });
  await play.text.fill("Ralville coach Puthgayn Seskak spoke.");
  free();
  await play.idle("student");
  await expect(play.text).toHaveValue("Ralville coach Puthgayn Seskak spoke.");
  await expect(play.marks("student").first()).toContainText("Ralville");
});

test("kept models that the list no longer names are deleted", async ({ play, page, server }) => {
  await play.open();
  await page.evaluate(() => navigator.serviceWorker.ready);
  const kept = () =>
    page.evaluate(async () => (await (await caches.open("understudy-models-1")).keys()).length);
  expect(await kept()).toBe(3);
  server.faults.set("models/manifest.json", () => Buffer.from('{"format": 1, "models": []}'));
  await page.reload();
  await expect(page.locator("#notices")).toContainText("There is no model beside this page");
  await expect.poll(kept).toBe(0);
});

for (const [fault, message] of [
  ["corrupt", /SHA-256 is [0-9a-f]{12}…, expected [0-9a-f]{12}…/],
  ["cut", /the connection was cut after \d+ of \d+ bytes/],
  ["missing", /the server answered 404/],
]) {
  test.describe(fault, () => {
    test.use({ expectedErrors: ["404", "ERR_CONTENT_LENGTH_MISMATCH", "ERR_INCOMPLETE_CHUNKED"] });

    test(`a ${fault} download is said, not kept, and can be tried again`, async ({
      play,
      page,
      server,
    }) => {
      server.faults.set("tiny-student/model.safetensors", fault);
      await page.goto(server.url);
      await expect(page.locator("#student-load")).toHaveText(message);
      const kept = await page.evaluate(async () => {
        const names = await caches.keys();
        const lists = await Promise.all(
          names.map(async (name) => (await caches.open(name)).keys()),
        );
        return lists.flat().map((request) => request.url);
      });
      expect(kept.filter((url) => url.includes("model.safetensors"))).toEqual([]);
      server.faults.clear();
      await page.getByRole("button", { name: "Try again" }).click();
      await play.idle("student");
    });
  });
}

test("models that were replaced on the server are found by trying again", async ({ play, page, server }) => {
  // The list names other weights than those that lie there, until it is written anew.
  server.faults.set("models/manifest.json", (bytes) =>
    Buffer.from(bytes.toString().replaceAll(/"sha256": *"[0-9a-f]{12}/g, '"sha256": "000000000000')),
  );
  await page.goto(server.url);
  await expect(page.locator("#student-load")).toContainText("expected 000000000000…");
  server.faults.clear();
  await page.getByRole("button", { name: "Try again" }).click();
  await play.idle("student");
});

test("a dropped bundle takes the student's place", async ({ play, page }) => {
  await play.open();
  await play.drop(await bundle());
  await expect(page.locator("#student-facts")).toContainText("own model");
  await play.idle("student");
  await play.type("Ralville coach Puthgayn Seskak spoke.");
  await expect(play.marks("student").first()).toBeVisible();
});

test("one of several students is chosen, and chosen again after a dropped one", async ({
  play,
  page,
  server,
}) => {
  // The same student once more under another name.
  server.faults.set("models/manifest.json", (bytes) => {
    const manifest = JSON.parse(bytes);
    const student = manifest.models.find(({ role }) => role === "student");
    manifest.models.push({ ...student, folder: "tiny-student-2" });
    return Buffer.from(JSON.stringify(manifest));
  });
  server.aliases.set("/tiny-student-2/", "/tiny-student/");
  await play.open();
  const choice = page.getByLabel("Which student");
  await expect(choice).toHaveValue("tiny-student");
  await expect(page.getByLabel("Which teacher")).toBeHidden();
  await choice.selectOption("tiny-student-2");
  await expect(page.locator("#student-facts")).toContainText("tiny-student-2 · ");
  await play.idle("student");
  await expect(play.marks("student").first()).toBeVisible();
  await play.drop(await bundle());
  await expect(choice).toHaveValue("own model");
  await choice.selectOption("tiny-student");
  await expect(page.locator("#student-facts")).toContainText("tiny-student · ");
  await play.idle("student");
});

/// Holds a file back until it is freed.
function holdBack(server, name) {
  let free;
  const gate = new Promise((done) => (free = done));
  server.faults.set(name, (bytes) => gate.then(() => bytes));
  return free;
}

test("a load that was overtaken does not replace the newer model", async ({ play, page, server }) => {
  const free = holdBack(server, "tiny-student/model.safetensors");
  await page.goto(server.url);
  const isAsked = () => server.requests.some((path) => path.endsWith("model.safetensors"));
  await expect.poll(isAsked).toBe(true);
  await play.drop(await bundle());
  const facts = page.locator("#student-facts");
  await expect(facts).toContainText("own model · ");
  await play.idle("student");
  free();
  await play.type("Ralville coach Puthgayn Seskak spoke.");
  await page.waitForTimeout(1000);
  await expect(facts).toContainText("own model · ");
  await expect(page.locator("#student-load")).toBeHidden();
  await expect(page.locator("#notices .notice")).toHaveCount(0);
});

test("a teacher that is on its way is not fetched again", async ({ play, page, server }) => {
  const free = holdBack(server, "tiny-teacher/model.safetensors");
  await play.open();
  await page.getByRole("button", { name: "Compare with the teacher" }).click();
  const weights = () =>
    server.requests.filter((path) => path.endsWith("tiny-teacher/model.safetensors")).length;
  await expect.poll(weights).toBe(1);
  await page.getByRole("button", { name: "Ask the teacher" }).click();
  await page.waitForTimeout(300);
  free();
  await expect(page.locator("#lesson-count")).toHaveText("1 lesson");
  expect(weights()).toBe(1);
});

test.describe("a worker", () => {
  test.use({ expectedErrors: ["404", "ERR_"] });

  test("whose script does not come is said, and can be started again", async ({ play, page, server }) => {
    server.faults.set("/start_worker.js", "missing");
    await page.goto(server.url);
    await expect(page.locator("#notices")).toContainText("its program could not be loaded");
    await expect(page.locator("#backend-why")).toContainText("Nothing computes");
    server.faults.clear();
    await page.getByRole("button", { name: "Try again" }).first().click();
    await play.idle("student");
  });

  test("is not needed to say that the page's program does not come", async ({ play, page, server }) => {
    server.faults.set("/app.js", "missing");
    await page.goto(server.url);
    await expect(page.locator("#unsupported")).toContainText("The page could not start");
  });
});

test("a bundle without its weights is refused by name", async ({ play, page }) => {
  await play.open();
  await play.drop((await bundle()).slice(0, 2));
  await expect(page.locator("#notices")).toContainText("lacks model.safetensors");
});

test("hostile bundles end in a message, and the page goes on", async ({ play, page }) => {
  const [config, tokenizer, weights] = await bundle();
  const header = (text) => {
    const bytes = Buffer.from(text);
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(bytes.length));
    return Buffer.concat([size, bytes]);
  };
  const huge = Buffer.alloc(64);
  huge.writeBigUInt64LE(0xffff_ffff_ffffn);
  const overlapping = Buffer.concat([
    header(
      '{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}}',
    ),
    Buffer.alloc(24),
  ]);
  const size = Number(weights[1].readBigUInt64LE());
  const names = JSON.parse(weights[1].subarray(8, 8 + size));
  const bias = names["classifier.bias"].data_offsets[0];
  const nan = Buffer.from(weights[1]);
  nan.writeFloatLE(NaN, 8 + size + bias);
  const settings = JSON.parse(config[1]);
  const other = (change) => ["config.json", JSON.stringify({ ...settings, ...change })];
  const cases = [
    [[config, tokenizer, ["model.safetensors", huge]], "safetensors"],
    [[config, tokenizer, ["model.safetensors", overlapping]], "safetensors"],
    [[config, tokenizer, ["model.safetensors", weights[1].subarray(0, 5000)]], "safetensors"],
    [[config, tokenizer, ["model.safetensors", nan]], "expected finite weights"],
    [[other({ hidden_size: 128 }), tokenizer, weights], "misshapen"],
    [[other({ num_hidden_layers: 3 }), tokenizer, weights], "missing"],
    [[other({ vocab_size: 9_000_000 }), tokenizer, weights], "tokenizer.json has"],
    [[other({ num_attention_heads: 7 }), tokenizer, weights], "num_attention_heads"],
    [[["config.json", "{"], tokenizer, weights], "config.json"],
    [[config, ["tokenizer.json", "[]"], weights], "tokenizer.json"],
  ];
  await play.open();
  for (const [files, message] of cases) {
    await play.drop(files);
    const notice = page.locator("#notices .notice");
    await expect(notice).toContainText(message);
    await expect(notice).toContainText("tiny-student stays.");
    await expect(page.locator("#student-facts")).toContainText("tiny-student · ");
    await play.idle("student");
    await notice.getByRole("button", { name: "Dismiss" }).click();
  }
  await play.type("Ralville coach Puthgayn Seskak spoke.");
  await expect(play.marks("student").first()).toBeVisible();
});

test("a labelled file is scored by type, for both models", async ({ play, page }) => {
  await play.open();
  await play.compare();
  const file = await readFile(new URL("../fixtures/tiny/test.txt", import.meta.url));
  await play.drop([["test.conll", file]]);
  await expect(page.locator("#score-text")).toContainText(/The teacher reaches an F1 of 0\.65\d/);
  await expect(page.locator("#score-text")).toContainText(/The student reaches an F1 of 0\.640/);
  const rows = page.locator("#scores tbody tr");
  await expect(rows).toHaveCount(5);
  await expect(rows.last()).toContainText("243");
});

test("another text ends the scoring of a file", async ({ play, page }) => {
  await play.open();
  const file = await readFile(new URL("../fixtures/tiny/test.txt", import.meta.url), "utf-8");
  await play.drop([["test.conll", file.repeat(20)]]);
  await expect(page.locator("#score-text")).toHaveText("Scoring…");
  await page.keyboard.press("Escape");
  await expect(page.locator("#score-text")).toHaveText(/^Not scored\. Open the file again/);
  await play.drop([["test.conll", file.repeat(20)]]);
  await expect(page.locator("#score-text")).toHaveText("Scoring…");
  await play.text.fill("Grenburg fans travelled to Gemora.");
  await expect(page.locator("#score-card")).toBeHidden();
  await play.idle("student");
  await expect(page.locator("#work")).toBeHidden();
});

test("a labelled file with an odd line, and one that is no UTF-8, are named", async ({ play, page }) => {
  await play.open();
  const before = await play.text.inputValue();
  await play.drop([["odd.conll", "Ada B-PER\nspoke\n"]]);
  await expect(page.locator("#notices")).toContainText("odd.conll: line 2: expected a word and");
  await play.drop([["latin.txt", Buffer.from("Ada\nJos\xe9\n", "latin1")]]);
  await expect(page.locator("#notices")).toContainText("latin.txt: line 2 is not written in UTF-8");
  await expect(play.text).toHaveValue(before);
});

test("a dropped text is tagged", async ({ play, page }) => {
  await play.open();
  await play.drop([["notes.txt", "Grenburg fans travelled to Gemora."]]);
  await expect(play.text).toHaveValue("Grenburg fans travelled to Gemora.");
  await expect(play.marks("student").first()).toContainText("Grenburg");
  await expect(page.locator("#score-card")).toBeHidden();
});

test("what is no text and no model is named", async ({ play, page }) => {
  await play.open();
  await play.drop([["photo.png", "x"]]);
  await expect(page.locator("#notices")).toContainText("photo.png");
});
