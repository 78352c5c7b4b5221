// A worker without models, for what seldom happens: memory that is full, a loss that is no number, a
// crash, a browser that stores nothing. It stands in for the built `worker.js`; `SCENE` and `VERSION` are
// filled in by the test.
const scene = "SCENE";
const teaching = {
  scope: "head",
  learning_rate: 0.001,
  steps: 10,
  batch_size: 8,
  rehearsal: 0.5,
  temperature: 2,
  alpha: 0.5,
  seed: 0,
};
const labels = ["O", "B-PER", "I-PER"];
let run = null;

const reply = (id, answer) => self.postMessage(JSON.stringify({ id, answer }));
const failed = (message) => ({ failed: { message, can_retry: false } });

function loaded(role, name) {
  const none = { fetch_millis: 1, prepare_millis: 1, warm_up_millis: 1, f1: null };
  const about = { parameters: 1000, size_bytes: 4000, labels, shape: [2, 8, 2] };
  return { loaded: { role, name, ...about, ...none, from_cache: true, memory_bytes: 1e7, teaching } };
}

function tagged(role, text) {
  const bytes = (part) => new TextEncoder().encode(part).length;
  const words = [...text.matchAll(/\S+/g)].map(({ 0: word, index }) => {
    const start = bytes(text.slice(0, index));
    return [start, start + bytes(word)];
  });
  const about = { subwords: words.length, millis: 1, computed: true, memory_bytes: 1e7 };
  return { tagged: { role, entities: [], tokens: [], words, ...about } };
}

function report(state, message = null) {
  const { step, of } = run;
  const scores = { new_f1: null, teacher_f1: null, kept_f1: 1 };
  const loss = step === 0 ? null : 1 / step;
  return { trained: { step, of, state, loss, ...scores, millis: 5, memory_bytes: 1e7, message } };
}

/// What the next worker must know.
const notes = {
  async write(step) {
    await (await caches.open("fake")).put("/step", new Response(String(step)));
  },
  async read() {
    const found = await (await caches.open("fake")).match("/step");
    return found ? Number(await found.text()) : null;
  },
};

async function step() {
  run.step += 1;
  if (scene === "not_finite" && run.step === 3) {
    reply(run.id, report("not_finite", "the loss of step 4 is no number"));
  } else if (scene === "memory_full" && run.step === 5) {
    await notes.write(5);
    reply(run.id, report("memory_full"));
  } else if (scene === "crash" && run.step === 5 && !run.goesOn) {
    await notes.write(3);
    throw new Error("out of memory");
  } else if (run.step === run.of) {
    await (await caches.open("fake")).delete("/step");
    reply(run.id, report("finished"));
  } else {
    reply(run.id, report("running"));
    setTimeout(step, 20);
  }
}

async function kept(command) {
  if (scene === "no_storage") return failed("the file system of this page is switched off");
  const at = await notes.read();
  if (command.load) return loaded("student", "fake");
  if (at === null) return { kept: [] };
  const unfinished = [at, teaching.steps];
  return { kept: [{ id: "run", name: "fake", size_bytes: 1, saved_millis: 1, unfinished }] };
}

async function answer(id, command) {
  const [kind, content] = typeof command === "string" ? [command] : Object.entries(command)[0];
  switch (kind) {
    case "start":
      return { started: { version: VERSION, backend: content.backend } };
    case "load":
      return loaded(content.role, content.model.folder);
    case "tag":
      return tagged(content.role, content.text);
    case "kept":
      return kept(content);
    case "train":
    case "continue":
      if (scene === "refused") return failed("the lesson of line 1 is longer than 128 sub-words");
      if (scene === "newer") return { learned: { step: 1 } };
      if (scene === "labelling") {
        run = { id };
        reply(id, { progress: { stage: "label", done: 3, total: 40 } });
        return null;
      }
      run = { id, step: 0, of: teaching.steps, goesOn: kind === "continue" };
      if (run.goesOn) run.step = await notes.read();
      reply(id, report("running"));
      setTimeout(step, 20);
      return null;
    case "control":
      reply(run.id, "cancelled");
      return null;
    default:
      return null;
  }
}

export default async function start() {
  self.onmessage = async ({ data }) => {
    const { id, command } = JSON.parse(data[0]);
    const said = await answer(id, command);
    if (said) reply(id, said);
  };
}
