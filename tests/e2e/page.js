// The page with its server; any console error, any uncaught one and any request elsewhere fails.
import { test as base, expect } from "@playwright/test";
import { serve } from "./server.js";

export const test = base.extend({
  // What a test expects to go wrong: parts of console errors.
  expectedErrors: [[], { option: true }],

  // Whether the models are those that ship, and not toys.
  shipped: [false, { option: true }],

  server: async ({ shipped }, use) => {
    const server = await serve(undefined, { shipped });
    await use(server);
    server.stop();
  },

  play: async ({ context, page, server, expectedErrors }, use) => {
    const faults = [];
    const report = (text) => {
      if (!expectedErrors.some((part) => text.includes(part))) faults.push(text);
    };
    // Of every tab.
    context.on("console", (message) => {
      if (message.type() === "error") report(`console: ${message.text()}`);
    });
    context.on("weberror", (error) => report(`uncaught: ${error.error()}`));
    context.on("request", (request) => {
      const url = request.url();
      const isOwn = url.startsWith(server.origin) || url.startsWith("blob:");
      if (!isOwn) faults.push(`request elsewhere: ${url}`);
    });
    await use(new Play(page, server));
    expect(faults).toEqual([]);
  },
});

export { expect };

class Play {
  constructor(page, server) {
    this.page = page;
    this.server = server;
    this.text = page.locator("#text");
    this.marks = (role) => page.locator(`#${role}-marks mark`);
    this.verdict = page.locator("#verdict");
  }

  /// Opens the page and waits for the student.
  async open(hash = "") {
    await this.page.goto(this.server.url + hash);
    await this.idle("student");
  }

  /// Waits until a model has tagged what is in the field.
  async idle(role) {
    const marks = this.page.locator(`#${role}-marks`);
    const isThere = marks.and(this.page.locator("[aria-busy=false]:not(.is-empty)"));
    await expect(isThere).toBeAttached({ timeout: 60_000 });
  }

  async compare() {
    await this.page.getByRole("button", { name: "Compare with the teacher" }).click();
    await this.idle("teacher");
    await this.idle("student");
  }

  async type(text) {
    await this.text.fill(text);
    await expect(this.page.locator("#student-marks")).toHaveText(plain(text), {
      useInnerText: false,
    });
    await this.idle("student");
  }

  /// The JSON view.
  async data() {
    const details = this.page.locator("#data");
    if (!(await details.evaluate((node) => node.open))) await details.locator("summary").click();
    const text = this.page.locator("#data-text");
    // The view is filled by an event that the browser sends a little later.
    await expect(text).toHaveText(/^\{[^]*\}\s*$/);
    return JSON.parse(await text.textContent());
  }

  /// Drops files, `[name, content]`, on the page.
  async drop(files) {
    const transfer = await this.page.evaluateHandle((files) => {
      const transfer = new DataTransfer();
      for (const [name, bytes] of files) {
        transfer.items.add(new File([Uint8Array.from(bytes)], name));
      }
      return transfer;
    }, files.map(([name, content]) => [name, [...Buffer.from(content)]]));
    await this.page.dispatchEvent("body", "drop", { dataTransfer: transfer });
  }
}

/// The marks' labels stand inside the text, so only its beginning can be compared as a whole.
function plain(text) {
  return new RegExp(`^${text.slice(0, 3).replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}`, "u");
}

/// A worker driven by its protocol, without the page's controls.
export async function startWorker(page, module, backend) {
  await page.evaluate(
    ([module, backend]) => {
      const worker = new Worker(`start_worker.js?${module}`, { type: "module" });
      const waiting = new Map();
      let next = 0;
      worker.onmessage = ({ data }) => {
        // `{"tagged": {…}}` becomes `{kind: "tagged", …}`.
        const { id, answer: named } = JSON.parse(data);
        const [kind, content] = typeof named === "string" ? [named] : Object.entries(named)[0];
        const answer = { kind, ...content };
        if (answer.kind === "crashed") {
          for (const done of waiting.values()) done(answer);
        } else if (answer.kind !== "progress") {
          waiting.get(id)?.(answer);
        }
      };
      window.ask = ({ kind, ...content }) => {
        const id = ++next;
        const answer = new Promise((done) => waiting.set(id, done));
        worker.postMessage([JSON.stringify({ id, command: { [kind]: content } })]);
        return answer;
      };
      return window.ask({ kind: "start", backend });
    },
    [module, backend],
  ).then((answer) => expect(answer).toMatchObject({ kind: "started", backend }));
  const manifest = await page.evaluate(async () => (await fetch("models/manifest.json")).json());
  for (const model of manifest.models.filter(({ folder }) => folder.startsWith("tiny-"))) {
    const answer = await page.evaluate(
      (model) =>
        window.ask({ kind: "load", role: model.role, model, base: new URL("models/", location).href }),
      model,
    );
    expect(answer).toMatchObject({ kind: "loaded", role: model.role });
  }
}
