// What every page does: it is light or dark as its reader likes, and hands over files.

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

// Sets the theme of last time; each press of the button goes to the next one.
function startTheme(changed = () => {}) {
  let theme = remembered();
  setTheme(theme);
  byId("theme").addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    setTheme(theme);
    remember(theme);
    changed();
  });
  return { restore: () => setTheme(theme) };
}
