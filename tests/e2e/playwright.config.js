// Debian's Chromium on the built page in ../../dist. One worker: the page measures times, and CI has
// two cores.
import { defineConfig } from "@playwright/test";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const webgpu = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

export default defineConfig({
  testDir: ".",
  outputDir: "results",
  workers: 1,
  forbidOnly: true,
  timeout: 120_000,
  expect: { timeout: 30_000 },
  reporter: [["list"]],
  projects: [
    {
      name: "cpu",
      testIgnore: "webgpu.spec.js",
      use: { browserName: "chromium", launchOptions: { executablePath } },
    },
    {
      name: "webgpu",
      testMatch: "webgpu.spec.js",
      use: { browserName: "chromium", launchOptions: { executablePath, args: webgpu } },
    },
  ],
});
