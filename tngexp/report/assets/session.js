// A session: which pairs, in which order, on which sides, and what was answered.

// Mulberry32: the order of a session follows from its seed, which the results name.
function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

// Fisher and Yates, of a copy.
function shuffled(list, random) {
  const result = [...list];
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [result[i], result[j]] = [result[j], result[i]];
  }
  return result;
}

// As many pairs of every two codecs, as far as they go.
function balanced(pairs, count, random) {
  const groups = new Map();
  for (const pair of shuffled(pairs, random)) {
    if (!groups.has(pair.group)) groups.set(pair.group, []);
    groups.get(pair.group).push(pair);
  }
  const order = shuffled([...groups.values()], random);
  const chosen = [];
  for (let round = 0; chosen.length < count; round++) {
    for (const group of order) if (round < group.length && chosen.length < count) chosen.push(group[round]);
  }
  return shuffled(chosen, random);
}

// The trials of a session, in order: pairs with catch trials spread among them, each with its left.
function plan(page, seed) {
  const random = randomFrom(seed);
  const trials = balanced(page.pairs, page.trials, random);
  const catches = page.catches.length ? page.catch_trials : 0;
  const order = shuffled(page.catches, random);
  for (let k = catches - 1; k >= 0; k--) {
    const at = Math.floor(((k + random()) * page.trials) / catches);
    trials.splice(at, 0, order[k % order.length]);
  }
  // A photo right after itself is put off where another can come first.
  for (let i = 1; i < trials.length; i++) {
    if (trials[i].original !== trials[i - 1].original) continue;
    const j = trials.findIndex((trial, index) => index > i && trial.original !== trials[i].original);
    if (j > 0) [trials[i], trials[j]] = [trials[j], trials[i]];
  }
  return trials.map((pair) => ({ pair, left: random() < 0.5 ? "a" : "b" }));
}

function newSession() {
  const numbers = crypto.getRandomValues(new Uint32Array(3));
  return {
    session: [...numbers.slice(1)].map((n) => n.toString(16).padStart(8, "0")).join(""),
    seed: numbers[0],
    started: new Date().toISOString(),
    finished: null,
    undone: 0,
    votes: [],
  };
}

// What a browser keeps of a session between visits; null where it keeps nothing or none is there.
function createMemory(key) {
  return {
    works() {
      try {
        localStorage.setItem(`${key}-test`, "1");
        localStorage.removeItem(`${key}-test`);
        return true;
      } catch {
        return false;
      }
    },
    read() {
      try {
        return JSON.parse(localStorage.getItem(key));
      } catch {
        return null;
      }
    },
    write(session) {
      try {
        if (session) localStorage.setItem(key, JSON.stringify(session));
        else localStorage.removeItem(key);
      } catch { /* then it lasts as long as the page, which says so */ }
    },
  };
}

// The file that is sent back.
function results(page, session, total) {
  return {
    format: "tngexp-study-results",
    version: 1,
    study: page.study,
    ...session,
    complete: session.votes.length === total,
    trials: total,
    screen: { width: screen.width, height: screen.height, pixel_ratio: devicePixelRatio },
  };
}
