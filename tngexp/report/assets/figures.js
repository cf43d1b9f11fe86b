// Small helpers that all parts share: elements, figures as text, radio groups.

const byId = (id) => document.getElementById(id);
const readJson = (id) => JSON.parse(byId(id).textContent);

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

const grouped = new Intl.NumberFormat("en");
const minus = (text) => text.replace("-", "−");
const fixed = (value, digits) => (value === null ? "–" : minus(value.toFixed(digits)));
const signed = (value, digits) =>
  Number(value.toFixed(digits)) === 0 ? "±0" : (value > 0 ? "+" : "") + fixed(value, digits);
const percent = (share) => `${Math.round(100 * share)} %`;
const bits = (bpp) => bpp.toFixed(bpp < 0.1 ? 4 : 3);

// MS-SSIM as it is and in dB; a perfect picture has no dB.
function similarity(value, db) {
  if (value === null) return "–";
  return value.toFixed(4) + (db === null ? "" : ` (${db.toFixed(2)}\u00a0dB)`);
}

// Fills a fieldset with radio buttons; `options` are [value, text] pairs.
function choice(fieldset, options, chosen, onChange) {
  for (const old of fieldset.querySelectorAll("label")) old.remove();
  for (const [value, text] of options) {
    const input = element("input", {
      type: "radio",
      name: fieldset.id,
      value,
      checked: String(value) === String(chosen),
    });
    input.addEventListener("change", () => onChange(value));
    fieldset.append(element("label", {}, input, element("span", { textContent: text })));
  }
}

function check(fieldset, value) {
  for (const input of fieldset.querySelectorAll("input")) input.checked = input.value === String(value);
}

const kinds = { codec: "Trained codecs", anchor: "Real codecs", published: "Quoted" };

const darkSystem = matchMedia("(prefers-color-scheme: dark)");
function isDark() {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === "dark" : darkSystem.matches;
}
