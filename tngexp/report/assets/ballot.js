// Starts everything: shows pairs, takes votes by key, pointer and touch, gives the results.

const TOO_SOON = 250; // ms; a key that was meant for the pair before
const page = readJson("page-data");
const memory = createMemory(`tngexp-study-${page.study}`);
const parts = ["intro", "trial", "end"];
const figures = ["first", "second"].map((side) => document.querySelector(`figure[data-side="${side}"]`));
const pictures = [...document.querySelectorAll("#pair img")];
const stacked = matchMedia("(max-width: 700px)");
let session = memory.read();
let trials = [];
let shownAt = null; // when the pair became visible; null while it is being made
let looks = 0; // at the original, for this pair
let turn = 0; // a picture that is ready too late must not show in the next pair

function go(part) {
  for (const id of parts) byId(id).hidden = id !== part;
  byId("progress").hidden = part === "intro";
  if (part !== "intro") byId(part).focus({ preventScroll: true });
}

function showOriginal(shown) {
  if (shown && shownAt === null) return;
  if (shown && !byId("trial").classList.contains("original")) looks++;
  byId("trial").classList.toggle("original", shown);
}

async function next() {
  const done = session.votes.length;
  const total = trials.length;
  byId("bar").value = done;
  byId("count").textContent = done < total ? `${done + 1} of ${total}` : `${total} of ${total}`;
  showOriginal(false);
  shownAt = null;
  delete byId("trial").dataset.ready;
  if (done >= total) {
    session.finished ??= new Date().toISOString();
    memory.write(session);
    byId("text").value = JSON.stringify(results(page, session, total));
    byId("saved").textContent = "";
    byId("again").hidden = true;
    go("end");
    return;
  }
  byId("back").disabled = done === 0;
  go("trial");
  const mine = ++turn;
  const { pair, left } = trials[done];
  const sides = left === "a" ? [pair.a, pair.b] : [pair.b, pair.a];
  figures.forEach((figure, index) => {
    figure.querySelector(".version").src = byId(sides[index]).textContent;
    figure.querySelector(".version").alt = index === 0 ? "The first picture" : "The second picture";
    figure.querySelector(".original").src = byId(pair.original).textContent;
  });
  await Promise.all(pictures.map((picture) => picture.decode()));
  if (mine !== turn) return;
  looks = 0;
  byId("trial").dataset.ready = String(done + 1);
  shownAt = performance.now();
}

function vote(side) {
  if (shownAt === null || byId("trial").classList.contains("original")) return;
  const ms = Math.round(performance.now() - shownAt);
  if (ms < TOO_SOON) return;
  const { pair, left } = trials[session.votes.length];
  const right = left === "a" ? "b" : "a";
  const picture = figures[0].querySelector(".version");
  session.votes.push({
    pair: pair.id,
    left, // or above, where they are stacked
    chosen: side === "first" ? left : right,
    ms,
    looks,
    stacked: stacked.matches,
    // Pixels of the screen to one of the picture.
    scale: Number(((picture.clientWidth * devicePixelRatio) / page.width).toFixed(3)),
  });
  memory.write(session);
  next();
}

function back() {
  if (!session?.votes.length) return;
  session.votes.pop();
  session.undone++;
  session.finished = null;
  memory.write(session);
  next();
}

function begin(found) {
  session = found;
  trials = plan(page, session.seed);
  memory.write(session);
  next();
}

for (const side of ["first", "second"]) byId(side).addEventListener("click", () => vote(side));
for (const id of ["back", "undo"]) byId(id).addEventListener("click", back);
byId("start").addEventListener("click", () => begin(newSession()));
byId("again").addEventListener("click", () => {
  memory.write(null);
  session = null;
  go("intro");
});
for (const button of document.querySelectorAll(".save")) {
  button.addEventListener("click", () => {
    const content = results(page, session, trials.length);
    const name = `results-${session.session.slice(0, 8)}.json`;
    save(name, "application/json", JSON.stringify(content));
    byId("saved").textContent = `Saved as ${name}.`;
    byId("again").hidden = session.finished === null;
    if (session.finished === null) byId("trial").focus({ preventScroll: true });
  });
}

// The original, as long as something is held.
const holder = byId("original");
holder.addEventListener("pointerdown", (event) => {
  holder.setPointerCapture(event.pointerId);
  showOriginal(true);
});
for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
  holder.addEventListener(name, () => showOriginal(false));
}
holder.addEventListener("contextmenu", (event) => event.preventDefault()); // what a long touch opens
addEventListener("blur", () => showOriginal(false));

const KEYS = {
  ArrowLeft: () => vote("first"),
  ArrowRight: () => vote("second"),
  ArrowUp: () => stacked.matches && vote("first"),
  ArrowDown: () => stacked.matches && vote("second"),
  Backspace: back,
};
addEventListener("keydown", (event) => {
  if (byId("trial").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  const button = event.target instanceof HTMLButtonElement && event.target !== holder;
  if (event.key === " " && !button) {
    event.preventDefault(); // it would scroll
    showOriginal(true);
  } else if (event.key in KEYS) {
    event.preventDefault();
    if (!event.repeat) KEYS[event.key]();
  }
});
addEventListener("keyup", (event) => event.key === " " && showOriginal(false));

startTheme();
byId("forgetful").hidden = memory.works();
if (session?.votes && Number.isInteger(session.seed)) begin(session);
else go("intro");
