// A worker that teaches a student, driven by its protocol without the page's controls.
import { readFile } from "node:fs/promises";
import { expect } from "./page.js";

export const settings = {
  scope: "last:1",
  learning_rate: 1e-3,
  steps: 20,
  batch_size: 8,
  rehearsal: 0.5,
  temperature: 2,
  alpha: 0.5,
  seed: 1,
};

const fixture = (path) => readFile(new URL(`../${path}`, import.meta.url));

/// `[[token, tag], …]` of each sentence of a file in CoNLL columns.
export async function sentences(name) {
  const text = (await fixture(`fixtures/tiny/${name}`)).toString();
  const blocks = text.split("\n\n").map((block) => block.split("\n").filter(Boolean));
  const rows = blocks.map((lines) => lines.map((line) => line.split(" ")));
  return rows
    .map((lines) => lines.map((columns) => [columns[0], columns.at(-1)]))
    .filter((lines) => lines.length > 0 && lines[0][0] !== "-DOCSTART-");
}

const bytes = (text) => Buffer.byteLength(text);

/// A lesson from words and tags.
export function lesson(rows) {
  const spans = [];
  let text = "";
  for (const [token, tag] of rows) {
    text += text ? ` ${token}` : token;
    const place = { start_byte: bytes(text) - bytes(token), end_byte: bytes(text) };
    if (tag.startsWith("B-")) spans.push({ entity_type: tag.slice(2), ...place });
    if (tag.startsWith("I-")) spans.at(-1).end_byte = place.end_byte;
  }
  return { text, spans };
}

/// A lesson from a text and its entities as `[type, part of the text]`.
export function corrected(text, entities) {
  const spans = entities.map(([entity_type, part]) => {
    const start_byte = bytes(text.slice(0, text.indexOf(part)));
    return { entity_type, start_byte, end_byte: start_byte + bytes(part) };
  });
  return { text, spans };
}

export class Classroom {
  constructor(page) {
    this.page = page;
  }

  /// Starts a worker and loads models of this repository, `["student"]` or both.
  static async open(page, { module = "worker", backend = "cpu", roles = ["student"] } = {}) {
    await page.evaluate((module) => {
      const worker = new Worker(`start_worker.js?${module}`, { type: "module" });
      const waiting = new Map();
      const room = { worker, reports: [], next: 0, waiting, run: 0 };
      worker.onmessage = async ({ data }) => {
        const [text, ...files] = Array.isArray(data) ? data : [data];
        const { id, answer } = JSON.parse(text);
        const [kind, content] = typeof answer === "string" ? [answer] : Object.entries(answer)[0];
        if (kind === "progress") return;
        if (kind === "crashed") return waiting.forEach((done) => done({ crashed: content }));
        if (kind === "trained") {
          room.reports.push(content);
          if (content.step === room.pauseAt) room.control("pause");
          if (["running", "paused"].includes(content.state)) return;
        }
        const read = files.map(async (file) => [...new Uint8Array(await file.arrayBuffer())]);
        waiting.get(id)?.({ [kind]: content ?? {}, contents: await Promise.all(read) });
        waiting.delete(id);
      };
      room.ask = (command, buffers = []) => {
        const id = ++room.next;
        const answer = new Promise((done) => waiting.set(id, done));
        worker.postMessage([JSON.stringify({ id, command }), ...buffers], buffers);
        return answer;
      };
      room.begin = (command, pauseAt) => {
        room.reports = [];
        room.pauseAt = pauseAt;
        room.over = room.ask(command);
        room.run = room.next;
      };
      room.control = (action) => {
        const command = { control: { request: room.run, action } };
        worker.postMessage([JSON.stringify({ id: 0, command })]);
      };
      window.room?.worker.terminate();
      window.room = room;
    }, module);
    const classroom = new Classroom(page);
    expect(await classroom.ask({ start: { backend } })).toMatchObject({ started: { backend } });
    for (const role of roles) await classroom.load(role);
    return classroom;
  }

  ask(command) {
    return this.page.evaluate((command) => window.room.ask(command), command);
  }

  async load(role) {
    const load = await this.page.evaluate(async (role) => {
      const manifest = await (await fetch("models/manifest.json")).json();
      const of = (model) => model.role === role && model.folder.startsWith("tiny-");
      const base = new URL("models/", location).href;
      return { role, model: manifest.models.find(of), base };
    }, role);
    const answer = await this.ask({ load });
    expect(answer).toMatchObject({ loaded: { role } });
    return answer.loaded;
  }

  /// Begins a run, which is paused after a step if one is named.
  begin(command, pauseAt) {
    return this.page.evaluate(([command, pauseAt]) => void window.room.begin(command, pauseAt), [
      command,
      pauseAt,
    ]);
  }

  train(lessons, changes = {}, text = "", pauseAt = undefined) {
    return this.begin({ train: { settings: { ...settings, ...changes }, lessons, text } }, pauseAt);
  }

  control(action) {
    return this.page.evaluate((action) => window.room.control(action), action);
  }

  reports() {
    return this.page.evaluate(() => window.room.reports);
  }

  /// Waits for a report that fulfils a condition.
  async until(condition) {
    const found = async () => (await this.reports()).some(condition);
    await expect.poll(found, { timeout: 300_000, intervals: [20] }).toBe(true);
    return this.reports();
  }

  /// Waits for the end of the run; gives its last report and all of them.
  async over() {
    const answer = await this.page.evaluate(() => window.room.over);
    return { answer, last: answer.trained, reports: await this.reports() };
  }

  async tag(role, text) {
    const options = { aggregation: "first", constrained: false, threshold: 0 };
    const { tagged } = await this.ask({ tag: { role, text, options } });
    const raw = Buffer.from(text);
    return tagged.entities.map(({ entity_type, place }) => [
      entity_type,
      raw.subarray(place.start_byte, place.end_byte).toString(),
    ]);
  }

  async score(role, file) {
    const options = { aggregation: "first", constrained: false, threshold: 0 };
    return (await this.ask({ score: { role, file, options } })).scored.micro.f1;
  }
}
