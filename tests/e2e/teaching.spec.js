// Teaching the tiny student in a worker on the CPU: the losses of the command line's loop, what it
// learns and what it keeps, control, and what survives a closed tab.
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Classroom, corrected, lesson, sentences } from "./classroom.js";
import { expect, test } from "./page.js";

test.setTimeout(300_000);

const golden = async () =>
  JSON.parse(await readFile(new URL("../golden/lessons.json", import.meta.url)));
const losses = (reports) => reports.filter(({ loss }) => loss !== null).map(({ loss }) => loss);
const lessonsOf = async (name, count) => (await sentences(name)).slice(0, count).map(lesson);

test("a tab takes the steps that the command line takes", async ({ play, page }) => {
  const { settings, lessons, text, tolerance, losses: want } = await golden();
  await play.open();
  const room = await Classroom.open(page, { roles: ["student", "teacher"] });
  await room.begin({ train: { settings, lessons, text: text.join("\n") } });
  const { last, reports } = await room.over();
  expect(last).toMatchObject({ state: "finished", step: want.length });
  const found = losses(reports);
  expect(found.length).toBe(want.length);
  found.forEach((loss, step) => {
    expect(Math.abs(loss / want[step] - 1), `step ${step + 1}: ${loss}, ${want[step]}`).toBeLessThan(
      tolerance,
    );
  });
});

const AIM = [["PER", "Kuel Kisoquist"]];

test("a corrected sentence is learned with its paraphrases, and the rest is kept", async ({
  play,
  page,
}) => {
  await play.open();
  const room = await Classroom.open(page, { roles: [] });
  const { teaching } = await room.load("student");
  const text = "The captain spoke to Kuel Kisoquist about the brief house.";
  const paraphrases = [
    "Yesterday the captain told Kuel Kisoquist about the brief house.",
    "The captain spoke to Kuel Kisoquist about the brief school.",
  ];
  const inOrder = (entities) => [...entities].sort();
  const before = await Promise.all([text, ...paraphrases].map((text) => room.tag("student", text)));
  expect(before.map(inOrder)).not.toContainEqual(inOrder(AIM));
  // A toy needs larger steps than what the defaults are for.
  const settings = { ...teaching, learning_rate: 1e-3 };
  await room.begin({ train: { settings, lessons: [corrected(text, AIM)], text: "" } });
  const { last, reports } = await room.over();
  expect(last).toMatchObject({ state: "finished", step: teaching.steps, new_f1: 1 });
  expect(reports[0]).toMatchObject({ step: 0, loss: null, kept_f1: 1 });
  for (const [index, sentence] of [text, ...paraphrases].entries()) {
    expect(inOrder(await room.tag("student", sentence))).toEqual(inOrder(AIM));
    expect(await room.tag("former", sentence)).toEqual(before[index]);
  }
  console.log(`agreement with its former self: ${last.kept_f1}`);
  expect(last.kept_f1).toBeGreaterThanOrEqual(0.97);
  expect(await room.ask("reset")).toMatchObject({ loaded: { role: "student" } });
  expect(await room.tag("student", text)).toEqual(before[0]);
});

test("a run is paused, stepped, stopped at once, and tags meanwhile", async ({ play, page }) => {
  await play.open();
  const room = await Classroom.open(page);
  const lessons = await lessonsOf("valid.txt", 12);
  await room.train(lessons, { steps: 5000, scope: "all" });
  await room.until(({ step }) => step >= 2);
  await room.control("pause");
  const paused = (await room.until(({ state }) => state === "paused")).at(-1);
  expect(paused.loss).toBeNull();
  await page.waitForTimeout(300);
  expect((await room.reports()).at(-1)).toEqual(paused);
  // The weights so far and those of before, side by side.
  const text = lessons[0].text;
  const logits = async (role) => {
    const options = { aggregation: "first", constrained: false, threshold: 0 };
    return (await room.ask({ tag: { role, text, options } })).tagged.tokens.map((t) => t.logits);
  };
  expect(await logits("student")).not.toEqual(await logits("former"));
  await room.control("step");
  const stepped = await room.until(
    ({ step, state }) => step === paused.step + 1 && state === "paused",
  );
  expect(stepped.filter(({ step, loss }) => step === paused.step + 1 && loss !== null).length).toBe(1);
  // One run at a time, and no other student meanwhile.
  const again = { train: { settings: { ...(await golden()).settings }, lessons, text: "" } };
  expect((await room.ask(again)).failed.message).toContain("is being taught");
  expect((await room.ask("reset")).failed.message).toContain("is being taught");
  await room.control("resume");
  await room.until(({ step }) => step >= paused.step + 3);
  await room.control("stop");
  const { last } = await room.over();
  expect(last).toMatchObject({ state: "stopped", of: 5000 });
  const { kept } = await room.ask({ kept: "list" });
  expect(kept).toEqual([]);
});

for (const scope of ["last:1", "lora:4"]) {
  test(`a closed tab loses ten steps at most (${scope})`, async ({ play, page }) => {
    await play.open();
    const lessons = await lessonsOf("valid.txt", 8);
    const text = (await lessonsOf("test.txt", 12)).map(({ text }) => text).join("\n");
    let room = await Classroom.open(page, { roles: ["student", "teacher"] });
    await room.train(lessons, { steps: 30, scope }, text);
    const whole = await room.over();
    expect(whole.last.state).toBe("finished");

    room = await Classroom.open(page, { roles: ["student", "teacher"] });
    await room.train(lessons, { steps: 30, scope }, text, 12);
    await room.until(({ state }) => state === "paused");
    await page.reload();
    await play.idle("student");

    room = await Classroom.open(page, { roles: [] });
    const { kept } = await room.ask({ kept: "list" });
    expect(kept).toMatchObject([{ name: "tiny-student", unfinished: [10, 30] }]);
    const loaded = await room.ask({ kept: { load: { id: kept[0].id } } });
    expect(loaded).toMatchObject({ loaded: { role: "student", name: "tiny-student" } });
    await room.begin("continue");
    const rest = await room.over();
    expect(rest.last).toMatchObject({ state: "finished", step: 30 });
    expect(losses(rest.reports)).toEqual(losses(whole.reports).slice(10));
    expect(rest.last.kept_f1).toBe(whole.last.kept_f1);
    expect(rest.last.teacher_f1).toBe(whole.last.teacher_f1);
    expect((await room.ask({ kept: "list" })).kept).toEqual([]);
    expect((await room.ask("continue")).failed.message).toContain("no unfinished run");
  });
}

test("a taught student can be taught again, and resumed then", async ({ play, page }) => {
  await play.open();
  let room = await Classroom.open(page);
  const lessons = await lessonsOf("valid.txt", 6);
  await room.train(lessons, { steps: 5, scope: "all" });
  const first = await room.over();
  await room.train(lessons, { steps: 15, scope: "last:1" });
  const second = await room.over();
  // It goes on where the first run ended, and is still compared with what it was before that.
  expect(losses(second.reports)[0]).toBeLessThan(losses(first.reports)[0]);
  expect(second.reports[0].kept_f1).toBe(first.last.kept_f1);

  await room.ask("reset");
  await room.train(lessons, { steps: 5, scope: "all" });
  await room.over();
  await room.train(lessons, { steps: 15, scope: "last:1" }, "", 11);
  await room.until(({ state }) => state === "paused");
  room = await Classroom.open(page, { roles: [] });
  const { kept } = await room.ask({ kept: "list" });
  await room.ask({ kept: { load: { id: kept[0].id } } });
  await room.begin("continue");
  const rest = await room.over();
  expect(losses(rest.reports)).toEqual(losses(second.reports).slice(10));
});

test("a kept student is renamed, found again, downloaded, read by the command line, deleted", async ({
  play,
  page,
}) => {
  test.setTimeout(900_000);
  await play.open();
  let room = await Classroom.open(page);
  await room.train(await lessonsOf("valid.txt", 16), { steps: 20, scope: "lora:8" });
  await room.over();
  const file = (await readFile(new URL("../fixtures/tiny/test.txt", import.meta.url))).toString();
  const taught = await room.score("student", file);
  expect(taught).not.toBe(await room.score("former", file));
  const saved = (await room.ask({ kept: { save: { name: "first" } } })).kept;
  expect(saved).toMatchObject([{ name: "first", unfinished: null }]);
  const [{ id, size_bytes }] = saved;
  const renamed = await room.ask({ kept: { rename: { id, name: "Ärmel & Söhne" } } });
  expect(renamed.kept).toMatchObject([{ id, name: "Ärmel & Söhne", size_bytes }]);

  await page.reload();
  await play.idle("student");
  room = await Classroom.open(page);
  expect((await room.ask({ kept: "list" })).kept).toEqual(renamed.kept);
  const loaded = await room.ask({ kept: { load: { id } } });
  expect(loaded).toMatchObject({ loaded: { role: "student", name: "Ärmel & Söhne" } });
  expect(await room.score("student", file)).toBe(taught);

  const answer = await room.ask({ kept: { download: { id } } });
  const folder = await mkdtemp(path.join(tmpdir(), "understudy-"));
  const { contents } = answer;
  expect(contents.length).toBe(answer.files.names.length);
  let size = 0;
  for (const [index, name] of answer.files.names.entries()) {
    size += contents[index].length;
    await writeFile(path.join(folder, name), Uint8Array.from(contents[index]));
  }
  expect(size).toBe(size_bytes);
  const testFile = fileURLToPath(new URL("../fixtures/tiny/test.txt", import.meta.url));
  const evaluate = ["evaluate", "--json", "--model", folder, "--data", testFile];
  const program = process.env.UNDERSTUDY;
  expect(program, "the command line, as `cargo xtask test browser` names it").toBeTruthy();
  const { stdout } = await promisify(execFile)(program, evaluate, { maxBuffer: 1 << 24 });
  expect(JSON.parse(stdout).word.default.f1).toBe(taught);
  await rm(folder, { recursive: true });

  expect((await room.ask({ kept: { delete: { id } } })).kept).toEqual([]);
  expect((await room.ask({ kept: { load: { id } } })).failed.message).toContain("no student");
});

test("live distillation raises the agreement with the teacher on other text", async ({
  play,
  page,
}) => {
  await play.open();
  const room = await Classroom.open(page, { roles: ["student", "teacher"] });
  const all = [...(await sentences("test.txt")), ...(await sentences("valid.txt"))];
  const text = all.map((rows) => rows.map(([token]) => token).join(" ")).join("\n");
  const changes = { scope: "all", steps: 200, batch_size: 16, learning_rate: 5e-4 };
  await room.train([], { ...changes, alpha: 0.95, rehearsal: 0 }, text);
  const { last, reports } = await room.over();
  console.log(`agreement with the teacher: ${reports[0].teacher_f1} to ${last.teacher_f1}`);
  expect(last.state).toBe("finished");
  expect(last.teacher_f1).toBeGreaterThan(reports[0].teacher_f1 + 0.01);
});

test("what cannot be learned from is named", async ({ play, page }) => {
  await play.open();
  const room = await Classroom.open(page);
  const ask = async (lessons, changes = {}, text = "") => {
    await room.train(lessons, changes, text);
    return (await room.over()).answer.failed.message;
  };
  expect(await ask([])).toContain("nothing to learn from");
  expect(await ask([], {}, "Lathia exports copper.")).toContain("no teacher");
  const wrong = corrected("Lathia exports copper.", [["CITY", "Lathia"]]);
  expect(await ask([wrong])).toContain("type `CITY`; expected one of PER, ORG, LOC, MISC");
  expect(await ask([wrong], { scope: "last:0" })).toContain("`last:0`; expected head, last:K");
  expect(await ask([wrong], { rehearsal: 1 })).toContain("rehearsal is 1");
});
