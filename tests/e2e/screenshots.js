// Pictures of the built page for the documentation: wide and narrow, light and dark.
//
//     DIST=folder node tests/e2e/screenshots.js OUT_FOLDER
//
// DIST is another built page than that in dist/.
import { chromium } from "@playwright/test";
import path from "node:path";
import { serve } from "./server.js";

const server = await serve("/", { shipped: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
});
for (const width of [1280, 390]) {
  for (const colorScheme of ["light", "dark"]) {
    const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
    await page.goto(`${server.url}#compare=1&temperature=2&backend=cpu`);
    await page.locator("#teacher-marks[aria-busy=false]:not(.is-empty)").waitFor({ timeout: 120_000 });
    // A few texts, so that medians are medians.
    for (const name of ["Sport", "Doubtful", "Unicode", "News"]) {
      await page.getByRole("button", { name }).click();
      await page.waitForTimeout(700);
      await page.locator("#teacher-marks[aria-busy=false]:not(.is-empty)").waitFor();
    }
    const file = path.join(process.argv[2] ?? ".", `page-${width}-${colorScheme}.png`);
    await page.screenshot({ path: file, fullPage: true });
    await page.close();
  }
}
await browser.close();
server.stop();
