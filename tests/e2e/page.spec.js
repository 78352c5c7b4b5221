// The page itself: links, data, backends, accessibility, policy.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { expect, test } from "./page.js";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf-8");

/// Findings that keep people out, as axe ranks them.
async function serious(page) {
  const results = await page.evaluate(() => window.axe.run());
  const found = results.violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  return found.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" | ")}`);
}

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 320]) {
    test.describe(`${colorScheme}, ${width} px`, () => {
      test.use({ colorScheme, viewport: { width, height: 900 }, bypassCSP: true });

      test("axe finds nothing serious, and nothing is cut off", async ({ play, page }) => {
        await play.open();
        await play.compare();
        await page.locator("#data summary").click();
        await page.addScriptTag({ content: axe });
        expect(await serious(page)).toEqual([]);
        const overflow = () => document.documentElement.scrollWidth - window.innerWidth;
        expect(await page.evaluate(overflow)).toBeLessThanOrEqual(0);
      });
    });
  }
}

test("a link brings text and options back", async ({ play, page }) => {
  await play.open();
  const text = "Zoë & \u{1f680} #1 %\nGrenburg = 東京";
  await play.type(text);
  await page.locator("#aggregation").selectOption("max");
  await page.locator("#constrained").check();
  await page.locator("#threshold").fill("0.25");
  await page.getByRole("button", { name: "Copy a link" }).click();
  await expect(page.locator("#notices")).toContainText("link");
  const address = page.url();
  expect(address).toContain("#text=Zo%C3%AB");
  const other = await page.context().newPage();
  await other.goto(address);
  await expect(other.locator("#text")).toHaveValue(text);
  await expect(other.locator("#aggregation")).toHaveValue("max");
  await expect(other.locator("#constrained")).toBeChecked();
  await expect(other.locator("#threshold")).toHaveValue("0.25");
});

test("entities are downloaded as JSON, CoNLL and HTML", async ({ play, page }) => {
  await play.open();
  await play.type("Grenburg fans <b> travelled to Gemora.");
  await page.locator("#data summary").click();
  for (const [name, part] of [
    ["JSON", '"start_utf16"'],
    ["CoNLL", "Grenburg B-"],
    ["HTML", "&lt;"],
  ]) {
    await page.getByRole("button", { name, exact: true }).click();
    const waiting = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download" }).click();
    const download = await waiting;
    expect(download.suggestedFilename()).toBe(`entities.${name.toLowerCase()}`);
    expect(await readFile(await download.path(), "utf-8")).toContain(part);
  }
});

test("a message is seen wherever the page is, once, and goes by itself", async ({ play, page }) => {
  await play.open();
  await page.clock.install();
  const share = page.getByRole("button", { name: "Copy a link" });
  await share.click();
  await share.click();
  const notice = page.locator("#notices .notice");
  await expect(notice).toHaveCount(1);
  await page.locator("footer").scrollIntoViewIfNeeded();
  await expect(notice).toBeInViewport();
  await page.clock.runFor(11_000);
  await expect(notice).toHaveCount(0);
});

test("without WebGPU the page says so and uses the CPU", async ({ play, page }) => {
  await page.addInitScript(() => {
    Object.defineProperty(Navigator.prototype, "gpu", { get: () => undefined });
  });
  await play.open("#backend=webgpu");
  await expect(page.locator("#notices")).toContainText("this browser has no WebGPU");
  await expect(page.locator("#backend-why")).toContainText("The CPU");
});

test("an adapter that lacks what is needed is not used", async ({ play, page, server }) => {
  await page.addInitScript(() => {
    const adapter = { features: new Set(), limits: {}, info: { vendor: "acme" } };
    const gpu = { requestAdapter: async () => adapter };
    Object.defineProperty(Navigator.prototype, "gpu", { get: () => gpu });
  });
  await play.open();
  await expect(page.locator("#backend-why")).toContainText("lacks `timestamp-query`");
  expect(server.requests.filter((path) => path.includes("worker_gpu"))).toEqual([]);
});

test("a forced CPU is said", async ({ play, page }) => {
  await play.open("#backend=cpu");
  await expect(page.locator("#backend-why")).toContainText("Chosen by you: cpu");
  await expect(page.locator("#backend")).toHaveValue("cpu");
});

test.describe("without JavaScript", () => {
  test.use({ javaScriptEnabled: false });

  test("the page says what it needs", async ({ page, server }) => {
    await page.goto(server.url);
    // Where scripts run, what stands in `noscript` is text and no element.
    await expect(page.locator("noscript > p.notice")).toBeVisible();
  });
});

test("without SIMD the page says what it needs", async ({ play, page, server }) => {
  await page.addInitScript(() => {
    WebAssembly.validate = () => false;
  });
  await page.goto(server.url);
  await expect(page.locator("#unsupported")).toContainText("WebAssembly with SIMD");
});

test("the policy allows nothing inline and nothing from elsewhere", async ({ play, page }) => {
  await play.open();
  const policy = await page.locator("meta[http-equiv]").getAttribute("content");
  expect(policy).not.toMatch(/unsafe-inline|'unsafe-eval'|https?:|\*/);
  await expect(page.locator("script:not([src]), [style], [onclick]")).toHaveCount(0);
});

test("the link to the text goes there and changes nothing", async ({ play, page }) => {
  await play.open();
  await play.type("Ralville coach Puthgayn Seskak spoke.");
  await page.locator(".skip").focus();
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/#text$/);
  await expect(play.text).toHaveValue("Ralville coach Puthgayn Seskak spoke.");
  await page.goBack();
  await expect(page).not.toHaveURL(/#/);
  await expect(play.text).toHaveValue("Ralville coach Puthgayn Seskak spoke.");
  await page.goForward();
  await page.reload();
  await play.idle("student");
  await expect(play.text).not.toHaveValue("");
});

test("everything can be reached by keys", async ({ play, page }) => {
  await play.open();
  const reached = new Set();
  for (let presses = 0; presses < 40; presses += 1) {
    await page.keyboard.press("Tab");
    reached.add(await page.evaluate(() => document.activeElement.id));
  }
  for (const id of ["text", "open", "share", "compare", "aggregation", "backend", "strip"]) {
    expect([...reached]).toContain(id);
  }
});
