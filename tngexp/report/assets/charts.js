// Quality against rate: Plotly draws, the legend is ours, for keyboards and small screens.

const LOW_RATE_END = 0.6;
const RATE_TICKS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20];
const SYMBOLS = {
  circle: "circle",
  square: "square",
  diamond: "diamond",
  up: "triangle-up",
  down: "triangle-down",
  hexagon: "hexagon",
  x: "x-thin",
  plus: "cross-thin",
};
const SHAPES = {
  circle: "M-3.4 0a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0-6.8 0",
  square: "M-3-3h6v6h-6z",
  diamond: "M0-4L4 0L0 4L-4 0z",
  up: "M0-4L3.8 3H-3.8z",
  down: "M0 4L3.8-3H-3.8z",
  hexagon: "M-1.9-3.4h3.8L3.9 0L1.9 3.4h-3.8L-3.9 0z",
  x: "M-3-3L3 3M-3 3L3-3",
  plus: "M0-4V4M-4 0H4",
};

function createCharts(data, styles) {
  const { curves, metrics, image_columns: columns } = data;
  const column = Object.fromEntries(columns.map((name, index) => [name, index]));
  const imageNames = [
    ...new Set(curves.flatMap((c) => c.points.flatMap((p) => p.images.map((i) => i[0])))),
  ];
  const drawable = Object.keys(metrics).filter((m) =>
    curves.some((c) => c.points.some((p) => p.drawn[m])),
  );
  const state = { metric: drawable[0], image: null, low: false, log: false };
  const hidden = new Set();
  const plot = byId("plot");
  // Plotly takes texts for a kind of HTML.
  const safe = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  function pointsOf(curve) {
    const found = [];
    for (const point of curve.points) {
      if (state.image === null) {
        const at = point.drawn[state.metric];
        if (at) found.push({ x: at[0], y: at[1], text: hover(curve, point, point) });
        continue;
      }
      const row = point.images.find((image) => image[0] === state.image);
      if (!row || row[column[state.metric]] === null) continue;
      const values = Object.fromEntries(columns.map((name, index) => [name, row[index]]));
      found.push({ x: values.bpp, y: values[state.metric], text: hover(curve, point, values) });
    }
    return found.sort((one, other) => one.x - other.x);
  }

  function hover(curve, point, { bpp, psnr_db: psnr, ms_ssim: msSsim, bytes }) {
    const db = msSsim !== null && msSsim < 1 ? -10 * Math.log10(1 - msSsim) : null;
    const lines = [
      `<b>${safe(curve.label)}</b>`,
      ...(point.setting ? [safe(point.setting)] : []),
      `${bits(bpp)} bpp` + (bytes === undefined ? "" : ` · ${grouped.format(bytes)} bytes`),
      `PSNR ${psnr === null ? "–" : `${fixed(psnr, 2)} dB`}`,
      `MS-SSIM ${similarity(msSsim, db)}`,
      ...(state.image === null ? [] : [safe(state.image)]),
    ];
    return lines.join("<br>");
  }

  function trace(curve, style, points) {
    const colour = isDark() ? style.dark : style.light;
    const strong = style.dashes.length === 0;
    const size = (strong ? 8 : 7) * (points.length === 1 ? 1.5 : 1) * (isNarrow() ? 0.75 : 1);
    return {
      x: points.map((p) => p.x),
      y: points.map((p) => p.y),
      hovertext: points.map((p) => p.text),
      hoverinfo: "text",
      name: safe(curve.label),
      mode: points.length === 1 ? "markers" : "lines+markers",
      visible: !hidden.has(curve),
      zorder: strong ? 2 : 1,
      hoverlabel: { bordercolor: colour },
      line: {
        color: colour,
        width: style.width * 1.25,
        dash: strong ? "solid" : style.dashes.map((d) => `${d * 1.2}px`).join(","),
      },
      marker: {
        color: colour,
        symbol: SYMBOLS[style.marker] + (strong ? "" : "-open"),
        size,
        line: strong ? { color: colourOf("--card"), width: 1 } : { width: 1.4 },
      },
    };
  }

  const isNarrow = () => plot.clientWidth < 520;
  const colourOf = (name) => {
    const probe = element("i", { style: `color: var(${name})` });
    plot.after(probe);
    const colour = getComputedStyle(probe).color;
    probe.remove();
    return colour;
  };

  // Quoted curves often go on to rates that nobody here was measured at.
  function ranges(all) {
    const shown = all.filter(({ curve }) => !hidden.has(curve));
    const measured = shown.filter(({ curve }) => curve.kind !== "published");
    const points = (measured.some((c) => c.points.length) ? measured : shown).flatMap((c) => c.points);
    if (points.length === 0) return { x: [0, 1], y: [0, 1] };
    const rates = points.map((p) => p.x);
    const first = state.log ? Math.min(...rates) / 1.15 : 0;
    const last = state.low ? LOW_RATE_END : Math.max(...rates) * (state.log ? 1.15 : 1.04);
    const inside = points.filter((p) => p.x <= last).map((p) => p.y);
    const heights = inside.length ? inside : points.map((p) => p.y);
    const margin = 0.05 * (Math.max(...heights) - Math.min(...heights)) + 0.1;
    const x = [first, Math.max(last, first * 1.5)];
    return {
      x: state.log ? x.map(Math.log10) : x,
      y: [Math.min(...heights) - margin, Math.max(...heights) + margin],
    };
  }

  function draw() {
    const all = curves.map((curve) => ({ curve, points: pointsOf(curve) }));
    const { x, y } = ranges(all);
    const axis = {
      gridcolor: colourOf("--grid"),
      linecolor: colourOf("--rule"),
      zeroline: false,
      showline: true,
      ticks: "outside",
      ticklen: 4,
      tickcolor: colourOf("--rule"),
      automargin: true,
    };
    const touch = matchMedia("(pointer: coarse)").matches;
    const layout = {
      height: isNarrow() ? 340 : 470,
      margin: { l: 52, r: 10, t: 10, b: 46 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12.5, color: colourOf("--soft") },
      showlegend: false,
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colourOf("--rule"), activecolor: colourOf("--accent") },
      hovermode: "closest",
      hoverdistance: 24,
      hoverlabel: {
        bgcolor: colourOf("--card"),
        font: { family: getComputedStyle(document.body).fontFamily, color: colourOf("--ink"), size: 12.5 },
        align: "left",
      },
      // A finger that scrolls the page must not zoom the chart.
      dragmode: touch ? false : "zoom",
      xaxis: {
        ...axis,
        title: { text: "rate (bits per pixel)", standoff: 8 },
        type: state.log ? "log" : "linear",
        range: x,
        ...(state.log ? { tickvals: RATE_TICKS, ticktext: RATE_TICKS.map(String) } : {}),
      },
      yaxis: { ...axis, title: { text: metrics[state.metric], standoff: 8 }, range: y },
    };
    const traces = all.map(({ curve, points }, index) => trace(curve, styles[index], points));
    Plotly.react(plot, traces, layout, {
      responsive: true,
      displaylogo: false,
      displayModeBar: touch ? false : "hover",
      modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
      toImageButtonOptions: { format: "svg", filename: `rd-${state.metric}` },
    });
    const what = state.image === null ? "mean over images" : state.image;
    plot.setAttribute(
      "aria-label",
      `${metrics[state.metric]} against bits per pixel, ${what}; the tables below hold the figures`,
    );
    drawLegend(all);
  }

  function drawLegend(all) {
    const legend = byId("legend");
    if (!legend.firstChild) buildLegend(legend);
    all.forEach(({ curve, points }, index) => {
      const button = legend.querySelector(`[data-curve="${index}"]`);
      button.setAttribute("aria-pressed", String(!hidden.has(curve)));
      button.disabled = points.length === 0;
      button.title = points.length
        ? curve.source
        : `no ${metrics[state.metric]}${state.image === null ? "" : ` of ${state.image}`}`;
    });
  }

  function buildLegend(legend) {
    for (const [kind, name] of Object.entries(kinds)) {
      const items = curves
        .map((curve, index) => ({ curve, index }))
        .filter(({ curve }) => curve.kind === kind)
        .map(({ curve, index }) => {
          const button = element("button", { type: "button", "data-curve": index });
          button.append(swatch(styles[index], curve.points.length === 1), curve.label);
          button.addEventListener("click", () => {
            if (!hidden.delete(curve)) hidden.add(curve);
            draw();
          });
          button.addEventListener("dblclick", () => {
            const alone = curves.every((c) => c === curve || hidden.has(c)) && !hidden.has(curve);
            hidden.clear();
            if (!alone) for (const c of curves) if (c !== curve) hidden.add(c);
            draw();
          });
          return button;
        });
      if (items.length) {
        legend.append(element("div", {}, element("h3", { textContent: name }), ...items));
      }
    }
  }

  function swatch(style, single) {
    const fill = style.dashes.length ? "none" : "currentColor";
    const line = `<path d="M1 7H31" stroke-width="${style.width}" stroke-dasharray="${style.dashes}"/>`;
    const holder = element("span", { className: "swatch" });
    holder.style.color = `light-dark(${style.light}, ${style.dark})`;
    holder.innerHTML =
      `<svg viewBox="0 0 32 14" width="32" height="14" aria-hidden="true" stroke="currentColor" fill="none">` +
      `${single ? "" : line}<g transform="translate(16 7)">` +
      `<path d="${SHAPES[style.marker]}" fill="${fill}" stroke-width="1.3"/></g></svg>`;
    return holder;
  }

  choice(
    byId("metric"),
    drawable.map((m) => [m, metrics[m].replace(" (dB)", m === "ms_ssim_db" ? " in dB" : "")]),
    state.metric,
    (metric) => { state.metric = metric; draw(); },
  );
  const select = byId("chart-image");
  select.append(element("option", { value: "", textContent: imageNames.length ? `mean of ${imageNames.length} images` : "mean of all images" }));
  imageNames.forEach((name, index) => select.append(element("option", { value: index, textContent: name })));
  select.addEventListener("change", () => {
    state.image = select.value === "" ? null : imageNames[Number(select.value)];
    draw();
  });
  byId("low-rate").addEventListener("change", (event) => { state.low = event.target.checked; draw(); });
  byId("log-rate").addEventListener("change", (event) => { state.log = event.target.checked; draw(); });
  if (drawable.length) draw();
  return { redraw: () => drawable.length && draw() };
}
