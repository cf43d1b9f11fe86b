// Starts everything: theme, charts, viewer, tables, downloads.

const THEMES = ["auto", "light", "dark"];

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  byId("theme").textContent = `◐ ${theme}`;
  byId("theme").setAttribute("aria-label", `Theme: ${theme}`);
}

// A page from a folder may be refused a memory; then the theme lasts as long as the page.
function remembered() {
  try {
    const theme = localStorage.getItem("tngexp-theme");
    return THEMES.includes(theme) ? theme : "auto";
  } catch {
    return "auto";
  }
}

function remember(theme) {
  try {
    localStorage.setItem("tngexp-theme", theme);
  } catch { /* see above */ }
}

function save(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

// One line for each image at each setting; quoted means have no image.
function csv({ curves, image_columns: columns }) {
  const quote = (value) => {
    const text = String(value ?? "");
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = [["codec", "kind", "setting", ...columns]];
  for (const curve of curves) {
    for (const point of curve.points) {
      const means = columns.map((name) => ({ bpp: point.bpp, psnr_db: point.psnr_db, ms_ssim: point.ms_ssim })[name]);
      for (const row of point.images.length ? point.images : [means]) {
        lines.push([curve.label, curve.kind, point.setting, ...row]);
      }
    }
  }
  return lines.map((line) => line.map(quote).join(",") + "\r\n").join("");
}

const data = readJson("curves-data");
const page = readJson("page-data");
let theme = remembered();
setTheme(theme);
const charts = data.curves.length ? createCharts(data, page.styles) : { redraw() {} };
if (page.viewer.length) createViewer(page.viewer, data.curves);
document.querySelectorAll(".table table").forEach(sortable);

byId("theme").addEventListener("click", () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  setTheme(theme);
  remember(theme);
  charts.redraw();
});
darkSystem.addEventListener("change", () => charts.redraw());
byId("save-json").addEventListener("click", () => save("curves.json", "application/json", byId("curves-data").textContent));
byId("save-csv").addEventListener("click", () => save("curves.csv", "text/csv", csv(data)));

// Paper is light.
addEventListener("beforeprint", () => {
  document.documentElement.dataset.theme = "light";
  charts.redraw();
});
addEventListener("afterprint", () => {
  setTheme(theme);
  charts.redraw();
});
