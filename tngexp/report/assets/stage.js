// Two pictures on one stage, a divider between them, zoom and pan.

const ZOOMS = ["fit", 1, 2, 4, 8];

function createStage(stage, divider, onZoom) {
  const layers = { a: stage.querySelector('.layer[data-side="a"]'), b: stage.querySelector('.layer[data-side="b"]') };
  const tags = [...stage.querySelectorAll(".tag")];
  const size = { width: 1, height: 1 };
  const state = { zoom: "fit", x: 0, y: 0, split: 0.5, flipped: false };

  const fitScale = () => Math.min(1, stage.clientWidth / size.width, stage.clientHeight / size.height);
  const scale = () => (state.zoom === "fit" ? fitScale() : state.zoom);
  const hidden = () => ({
    x: Math.max(0, size.width * scale() - stage.clientWidth),
    y: Math.max(0, size.height * scale() - stage.clientHeight),
  });
  const canPan = () => hidden().x > 0.5 || hidden().y > 0.5;

  function place() {
    const s = scale();
    const free = { x: stage.clientWidth - size.width * s, y: stage.clientHeight - size.height * s };
    for (const axis of ["x", "y"]) {
      state[axis] = free[axis] >= 0 ? free[axis] / 2 : Math.min(0, Math.max(free[axis], state[axis]));
      state[axis] = Math.round(state[axis]);
    }
    for (const layer of Object.values(layers)) {
      const picture = layer.firstElementChild;
      picture.style.transform = `translate(${state.x}px, ${state.y}px) scale(${s})`;
      picture.style.imageRendering = s > 1 ? "pixelated" : "auto";
    }
    const at = 100 * state.split;
    const left = `inset(0 ${100 - at}% 0 0)`;
    const right = `inset(0 0 0 ${at}%)`;
    layers.a.style.clipPath = state.flipped ? right : left;
    layers.b.style.clipPath = state.flipped ? left : right;
    divider.style.left = `${at}%`;
    divider.setAttribute("aria-valuenow", String(Math.round(at)));
    const [one, other] = state.flipped ? ["B", "A"] : ["A", "B"];
    divider.setAttribute("aria-valuetext", `${Math.round(at)} % ${one}, ${100 - Math.round(at)} % ${other}`);
    tags.forEach((tag, index) => {
      tag.textContent = index === 0 ? one : other;
      tag.dataset.side = tag.textContent.toLowerCase();
    });
    stage.dataset.scale = s;
    stage.classList.toggle("pannable", canPan());
  }

  // As tall as the picture at full width, if it fits into the window.
  function resize() {
    const fitted = Math.min(1, stage.clientWidth / size.width) * size.height;
    stage.style.height = `${Math.round(Math.max(220, Math.min(fitted, 0.88 * innerHeight)))}px`;
    place();
  }

  function setZoom(zoom, at = { x: stage.clientWidth / 2, y: stage.clientHeight / 2 }) {
    const before = scale();
    const fixedPoint = { x: (at.x - state.x) / before, y: (at.y - state.y) / before };
    state.zoom = zoom;
    state.x = at.x - fixedPoint.x * scale();
    state.y = at.y - fixedPoint.y * scale();
    place();
    onZoom(zoom);
  }

  function stepZoom(direction, at) {
    const steps = ZOOMS.slice(1).filter((z) => (direction > 0 ? z > scale() + 0.01 : z < scale() - 0.01));
    const next = direction > 0 ? steps[0] : steps.at(-1);
    if (next === undefined || next <= fitScale()) setZoom(direction > 0 ? state.zoom : "fit", at);
    else setZoom(next, at);
  }

  function pan(dx, dy) {
    const { x, y } = state;
    state.x += dx;
    state.y += dy;
    place();
    return state.x !== x || state.y !== y;
  }

  function setSplit(split) {
    state.split = Math.min(1, Math.max(0, split));
    place();
  }

  function flip(flipped) {
    state.flipped = flipped;
    place();
  }

  const within = (event) => {
    const box = stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };

  // Pointers: one drags the divider or the picture, two pinch.
  const pointers = new Map();
  let drag = null;
  let spread = null;
  const distance = () => {
    const [one, other] = [...pointers.values()];
    return Math.hypot(one.x - other.x, one.y - other.y);
  };

  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const at = within(event);
    pointers.set(event.pointerId, at);
    stage.setPointerCapture(event.pointerId);
    if (pointers.size === 2) {
      spread = distance();
      drag = null;
      return;
    }
    drag = divider.contains(event.target) || !canPan() ? "divider" : "picture";
    if (drag === "divider") divider.focus({ preventScroll: true });
    else stage.focus({ preventScroll: true });
    if (drag === "divider") setSplit(at.x / stage.clientWidth);
    event.preventDefault();
  });
  stage.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const at = within(event);
    pointers.set(event.pointerId, at);
    if (pointers.size === 2) {
      const ratio = distance() / spread;
      if (ratio > 1.4 || ratio < 0.7) {
        const [one, other] = [...pointers.values()];
        stepZoom(ratio > 1 ? 1 : -1, { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2 });
        spread = distance();
      }
    } else if (drag === "divider") setSplit(at.x / stage.clientWidth);
    else if (drag === "picture") pan(at.x - before.x, at.y - before.y);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    stage.addEventListener(name, (event) => {
      pointers.delete(event.pointerId);
      drag = null;
    });
  }
  stage.addEventListener("wheel", (event) => {
    if (event.ctrlKey) {
      event.preventDefault();
      stepZoom(event.deltaY < 0 ? 1 : -1, within(event));
    } else if (canPan()) {
      const across = event.shiftKey && event.deltaX === 0;
      // At its edge the picture lets the page scroll.
      if (pan(-(across ? event.deltaY : event.deltaX), across ? 0 : -event.deltaY)) event.preventDefault();
    }
  }, { passive: false });
  stage.addEventListener("dblclick", (event) => stepZoom(event.shiftKey ? -1 : 1, within(event)));

  divider.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 0.1 : 0.01;
    const moves = {
      ArrowLeft: -step, ArrowDown: -step, ArrowRight: step, ArrowUp: step,
      PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1,
    };
    if (!(event.key in moves)) return;
    setSplit(state.split + moves[event.key]);
    event.preventDefault();
    event.stopPropagation();
  });
  stage.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 200 : 40;
    const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (event.key in moves && canPan()) {
      pan(...moves[event.key]);
      event.preventDefault();
    } else if (event.key === "+" || event.key === "=") stepZoom(1);
    else if (event.key === "-") stepZoom(-1);
    else if (event.key === "0") setZoom("fit");
  });
  // Space flips when the picture has the focus, or the pointer without anything having it.
  const flips = (event) =>
    event.key === " " && (stage.contains(event.target) || (event.target === document.body && stage.matches(":hover")));
  addEventListener("keydown", (event) => {
    if (!flips(event)) return;
    event.preventDefault();
    if (!event.repeat) flip(true);
  });
  addEventListener("keyup", (event) => event.key === " " && flip(false));
  addEventListener("blur", () => flip(false));
  new ResizeObserver(resize).observe(stage.parentElement);

  return {
    setZoom,
    flip,
    show(width, height, pictures) {
      const same = size.width === width && size.height === height;
      Object.assign(size, { width, height });
      for (const [side, { source, name }] of Object.entries(pictures)) {
        const picture = layers[side].firstElementChild;
        if (picture.dataset.source !== source) {
          picture.dataset.source = source;
          picture.src = byId(source).textContent;
        }
        picture.alt = name;
        picture.width = width;
        picture.height = height;
      }
      if (same) place();
      else resize();
    },
  };
}
