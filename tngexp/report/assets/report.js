// Starts everything: charts, viewer, tables, downloads.

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
const theme = startTheme(() => charts.redraw());
const charts = data.curves.length ? createCharts(data, page.styles) : { redraw() {} };
if (page.viewer.length) createViewer(page.viewer, data.curves);
document.querySelectorAll(".table table").forEach(sortable);

darkSystem.addEventListener("change", () => charts.redraw());
byId("save-json").addEventListener("click", () => save("curves.json", "application/json", byId("curves-data").textContent));
byId("save-csv").addEventListener("click", () => save("curves.csv", "text/csv", csv(data)));

// Paper is light.
addEventListener("beforeprint", () => {
  document.documentElement.dataset.theme = "light";
  charts.redraw();
});
addEventListener("afterprint", () => {
  theme.restore();
  charts.redraw();
});
