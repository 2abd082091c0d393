// Runs before the first paint (a classic script in the head), so that a remembered theme does not flash the other one.
(() => {
  const KEY = "scoreboard-theme";
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");

  // Storage may be forbidden (private windows, embedded frames): the page then follows the system, without remembering.
  function remembered() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null;
    }
  }

  function remember(theme) {
    try {
      // Back on what the system says: follow it again, also when it changes in the evening.
      if (theme === (dark.matches ? "dark" : "light")) localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, theme);
    } catch {
      // Nothing to do: see above.
    }
  }

  function show() {
    root.dataset.theme = remembered() ?? (dark.matches ? "dark" : "light");
  }

  show();
  dark.addEventListener("change", show);
  addEventListener("storage", (event) => event.key === KEY && show());
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => button.setAttribute("aria-pressed", String(root.dataset.theme === "dark"));
    button.addEventListener("click", () => {
      root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
      remember(root.dataset.theme);
      label();
    });
    dark.addEventListener("change", label);
    label();
  });
})();
