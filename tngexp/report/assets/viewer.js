// Which two pictures are on the stage: an image, two codecs, and what they are matched to.

const ORIGINAL = "original";
const FAR = 0.15; // a match further off is said to be poor
const MATCHES = {
  bpp: {
    name: "bpp",
    // Round rates, from which those are offered that the pictures at hand come close to.
    grid: [0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.75, 0.9, 1, 1.25, 1.5, 2, 2.5, 3, 4, 6, 8],
    position: (version) => Math.log(version.bpp),
    target: Math.log,
    text: (target) => String(target),
    limit: Math.log(2),
    off: (version, target) => version.bpp / target - 1,
    poor: (off, target) => `${percent(Math.abs(off))} ${off > 0 ? "above" : "below"} ${target} bpp`,
  },
  ms_ssim: {
    name: "MS-SSIM",
    grid: [0.7, 0.75, 0.8, 0.84, 0.87, 0.9, 0.92, 0.93, 0.94, 0.95, 0.96, 0.965, 0.97, 0.975, 0.98, 0.984, 0.987, 0.99, 0.992, 0.994, 0.995],
    position: (version) => version.ms_ssim_db,
    target: (similarity) => -10 * Math.log10(1 - similarity),
    text: (target) => String(target),
    limit: 2,
    // Distance in what is missing to 1: that is what differs visibly.
    off: (version, target) => (version.ms_ssim === null ? NaN : (1 - version.ms_ssim) / (1 - target) - 1),
    poor: (off, target) => `1 − MS-SSIM is ${percent(Math.abs(off))} ${off > 0 ? "above" : "below"} that of ${target}`,
  },
};

// The round values that most codecs come closest to: the minima of their mean distance.
function offeredTargets(match, groups) {
  const scored = match.grid.map((target) => {
    const at = match.target(target);
    const distances = groups.map((versions) =>
      Math.min(match.limit, ...versions.map((v) => Math.abs(match.position(v) - at))),
    );
    return { target, score: distances.reduce((sum, d) => sum + d, 0) / distances.length };
  });
  const minima = scored.filter(({ score }, index) => {
    const before = scored[index - 1]?.score ?? Infinity;
    const after = scored[index + 1]?.score ?? Infinity;
    return score < match.limit && score < before && score <= after;
  });
  return (minima.length ? minima : scored.slice(0, 1)).map(({ target }) => target);
}

function createViewer(images, curves) {
  const labels = new Map(curves.map((curve) => [curve.key, curve.label]));
  const label = (key) => (key === ORIGINAL ? "Original" : labels.get(key) ?? key);
  const selects = { a: byId("side-a"), b: byId("side-b") };
  const zoomChoice = byId("zoom");
  const stage = createStage(byId("stage"), byId("divider"), (zoom) => check(zoomChoice, zoom));
  const state = { image: images[0], match: "bpp", target: null, a: null, b: null };

  const versionsOf = (key) => state.image.versions.filter((v) => v.curve === key);
  const present = () => [...new Set(state.image.versions.map((v) => v.curve))];

  function nearest(key, target = state.target) {
    const match = MATCHES[state.match];
    const at = match.target(target);
    const distance = (v) => (match.position(v) === null ? Infinity : Math.abs(match.position(v) - at));
    return versionsOf(key).reduce((best, v) => (distance(v) < distance(best) ? v : best));
  }

  function fillSides() {
    const keys = present();
    const ordered = [...curves.map((c) => c.key).filter((k) => keys.includes(k)), ...keys.filter((k) => !labels.has(k))];
    const ofKind = (kind) => ordered.filter((key) => curves.find((c) => c.key === key)?.kind === kind);
    // At first the best known real codec beside the first trained one.
    const wish = {
      a: ofKind("anchor")[0] ?? ordered[1] ?? ORIGINAL,
      b: ofKind("codec")[0] ?? ordered.find((key) => key !== ofKind("anchor")[0]) ?? ORIGINAL,
    };
    for (const side of ["a", "b"]) {
      const select = selects[side];
      if (![ORIGINAL, ...ordered].includes(state[side])) state[side] = wish[side];
      const option = (key) => element("option", { value: key, textContent: label(key), selected: key === state[side] });
      select.replaceChildren(option(ORIGINAL));
      for (const [kind, name] of Object.entries(kinds)) {
        const own = ordered.filter((key) => (curves.find((c) => c.key === key)?.kind ?? "codec") === kind);
        if (own.length) select.append(element("optgroup", { label: name }, ...own.map(option)));
      }
    }
  }

  // The lowest one that both sides come close to: there codecs differ most.
  function bestTarget(targets) {
    const match = MATCHES[state.match];
    const worst = (target) => Math.max(0, ...["a", "b"]
      .filter((side) => state[side] !== ORIGINAL)
      .map((side) => Math.abs(match.off(nearest(state[side], target), target)) || 0));
    const best = Math.min(...targets.map(worst));
    return targets.find((target) => worst(target) <= Math.max(FAR, best)) ?? targets[0];
  }

  function fillTargets() {
    const match = MATCHES[state.match];
    const groups = present()
      .map((key) => versionsOf(key).filter((v) => match.position(v) !== null && Number.isFinite(match.position(v))))
      .filter((versions) => versions.length);
    const targets = groups.length ? offeredTargets(match, groups) : match.grid.slice(0, 1);
    if (!targets.includes(state.target)) state.target = bestTarget(targets);
    byId("target-label").textContent = `Target ${match.name}`;
    choice(byId("target"), targets.map((t) => [t, match.text(t)]), state.target, (target) => {
      state.target = target;
      show();
    });
  }

  function show() {
    const { image } = state;
    const shown = {};
    const pictures = {};
    for (const side of ["a", "b"]) {
      const key = state[side];
      const version = key === ORIGINAL ? null : nearest(key);
      shown[side] = version;
      pictures[side] = {
        source: version ? version.pixels : image.pixels,
        name: `${side.toUpperCase()}: ${image.name}, ${label(key)}${version ? `, ${version.setting}` : ""}`,
      };
      document.querySelector(`.side[data-side="${side}"]`).replaceChildren(...describe(side, key, version));
    }
    stage.show(image.width, image.height, pictures);
    byId("stage").setAttribute("aria-label", `${image.name}: A ${label(state.a)}, B ${label(state.b)}`);
    byId("outcome").textContent = outcome(shown);
  }

  function describe(side, key, version) {
    const name = element("h3", {}, element("b", { className: "letter", textContent: side.toUpperCase() }), label(key));
    name.firstChild.dataset.side = side;
    const { width, height } = state.image;
    if (!version) return [name, element("p", { textContent: `${width} × ${height} pixels, uncompressed 24 bpp` })];
    const off = MATCHES[state.match].off(version, state.target);
    const figures = [
      ["setting", version.setting],
      ["size", `${grouped.format(version.bytes)} bytes`],
      ["rate", `${bits(version.bpp)} bpp`],
      ["PSNR", version.psnr_db === null ? "–" : `${fixed(version.psnr_db, 2)} dB`],
      ["MS-SSIM", similarity(version.ms_ssim, version.ms_ssim_db)],
    ].filter(([, value]) => value);
    const list = element("dl", {}, ...figures.map(([term, value]) =>
      element("div", { className: term }, element("dt", { textContent: term }), element("dd", { textContent: value })),
    ));
    if (Number.isNaN(off) || Math.abs(off) <= FAR) return [name, list];
    const poor = `Poor match: ${MATCHES[state.match].poor(off, state.target)}; nothing of this codec is closer.`;
    return [name, list, element("p", { className: "poor", textContent: poor })];
  }

  function outcome({ a, b }) {
    if (!a || !b) {
      const only = a ?? b;
      if (!only) return "";
      return `${label(a ? state.a : state.b)} takes ${(100 * only.bpp / 24).toFixed(1)} % of the original's 24 bits per pixel.`;
    }
    const share = b.bytes / a.bytes - 1;
    const size = Math.abs(share) < 0.005
      ? "as many bytes as"
      : `${percent(Math.abs(share))} ${share < 0 ? "fewer" : "more"} bytes than`;
    const differences = [["PSNR", "psnr_db"], ["MS-SSIM", "ms_ssim_db"]]
      .filter(([, key]) => a[key] !== null && b[key] !== null)
      .map(([name, key]) => `${name} ${signed(b[key] - a[key], 2)} dB`);
    return `B takes ${size} A${differences.length ? `; ${differences.join(", ")}` : ""}.`;
  }

  const imageSelect = byId("viewer-image");
  images.forEach((image, index) => imageSelect.append(element("option", { value: index, textContent: image.name })));
  imageSelect.addEventListener("change", () => {
    state.image = images[Number(imageSelect.value)];
    fillSides();
    fillTargets();
    show();
  });
  for (const side of ["a", "b"]) {
    selects[side].addEventListener("change", () => {
      state[side] = selects[side].value;
      show();
    });
  }
  const measurable = images.some((image) => image.versions.some((v) => v.ms_ssim_db !== null));
  choice(
    byId("match"),
    Object.entries(MATCHES).filter(([key]) => key === "bpp" || measurable).map(([key, { name }]) => [key, name]),
    state.match,
    (match) => { state.match = match; fillTargets(); show(); },
  );
  choice(zoomChoice, ZOOMS.map((z) => [z, z === "fit" ? "Fit" : `${z}×`]), "fit", (zoom) => stage.setZoom(zoom));

  const flip = byId("flip");
  const hold = (held) => {
    flip.classList.toggle("held", held);
    stage.flip(held);
  };
  flip.addEventListener("pointerdown", (event) => {
    flip.setPointerCapture(event.pointerId);
    hold(true);
  });
  for (const name of ["pointerup", "pointercancel", "blur"]) flip.addEventListener(name, () => hold(false));
  flip.addEventListener("keydown", (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    hold(true);
  });
  flip.addEventListener("keyup", () => hold(false));
  flip.addEventListener("contextmenu", (event) => event.preventDefault()); // a long touch is no menu

  fillSides();
  fillTargets();
  show();
}
