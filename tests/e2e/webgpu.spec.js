// WebGPU on Chromium's software adapter, with the tiny models: slow, but the same entities.
import { Classroom, lesson, sentences } from "./classroom.js";
import { expectGolden, golden } from "./golden.js";
import { expect, startWorker, test } from "./page.js";

test.setTimeout(600_000);

test("WebGPU tags 200 texts as the command line does, span for span", async ({ play, page }) => {
  await play.open("#backend=cpu");
  await startWorker(page, "worker_gpu", "webgpu");
  await expectGolden(page, await golden());
});

for (const scope of ["last:1", "lora:4"]) {
  test(`on WebGPU the loss falls as on the CPU (${scope})`, async ({ play, page }) => {
    await play.open("#backend=cpu");
    const lessons = (await sentences("valid.txt")).slice(0, 6).map(lesson);
    const losses = async (module, backend) => {
      const room = await Classroom.open(page, { module, backend });
      // Without rehearsal all six are in every batch, so that one loss can be compared with the next.
      await room.train(lessons, { steps: 8, scope, learning_rate: 3e-3, rehearsal: 0 });
      const { last, reports } = await room.over();
      expect(last).toMatchObject({ state: "finished", step: 8 });
      return reports.filter(({ loss }) => loss !== null).map(({ loss }) => loss);
    };
    const onGpu = await losses("worker_gpu", "webgpu");
    const onCpu = await losses("worker", "cpu");
    expect(onGpu.at(-1)).toBeLessThan(0.8 * onGpu[0]);
    onGpu.forEach((loss, step) => {
      // The derivative of GELU is that of its approximation there, so runs part slowly.
      expect(Math.abs(loss / onCpu[step] - 1), `step ${step + 1}`).toBeLessThan(0.02);
    });
  });
}

test("WebGPU can be forced, and says its adapter", async ({ play, page }) => {
  await page.goto(`${play.server.url}#backend=webgpu`);
  await expect(page.locator("#backend-why")).toContainText("WebGPU on", { timeout: 120_000 });
  await play.idle("student");
  await expect(play.marks("student").first()).toBeVisible();
});

test("left to itself, the page never takes a software adapter", async ({ play, page, server }) => {
  await play.open();
  await expect(page.locator("#backend-why")).toContainText("is software, so it is not tried");
  expect(server.requests.filter((path) => path.includes("worker_gpu"))).toEqual([]);
});

test("a real adapter is measured against the CPU, and both figures are shown", async ({
  play,
  page,
}) => {
  // The software adapter under another name.
  await page.addInitScript(() => {
    const info = { vendor: "acme", architecture: "fast", device: "", description: "" };
    Object.defineProperty(GPUAdapter.prototype, "info", { get: () => info });
  });
  await play.open();
  const why = page.locator("#backend-why");
  await expect(why).toContainText(/cpu: [\d.]+ ms for 32/, { timeout: 240_000 });
  await expect(why).toContainText(/webgpu: [\d.]+ ms for 32/);
});

test("a lost device goes on with the CPU", async ({ play, page }) => {
  await page.goto(`${play.server.url}#backend=webgpu`);
  await expect(page.locator("#backend-why")).toContainText("WebGPU on", { timeout: 120_000 });
  await play.idle("student");
  const worker = page.workers().find((worker) => worker.url().includes("worker_gpu"));
  await worker.evaluate(() => {
    const encode = GPUDevice.prototype.createCommandEncoder;
    GPUDevice.prototype.createCommandEncoder = function (...settings) {
      this.destroy();
      return encode.apply(this, settings);
    };
  });
  await play.text.fill("Grenburg fans travelled to Gemora.");
  await expect(page.locator("#notices")).toContainText("The graphics device was lost");
  await expect(page.locator("#backend-why")).toContainText("The CPU");
  await play.idle("student");
  await expect(play.marks("student").first()).toContainText("Grenburg");
});
