// Dark or light: what the system says, until the reader chooses. Runs before anything is shown.
(() => {
  const STORED = "crossexec-theme";
  const root = document.documentElement;
  const wanted = matchMedia("(prefers-color-scheme: dark)");

  function chosen() {
    try {
      return localStorage.getItem(STORED);
    } catch { // a browser may refuse storage to pages from files
      return null;
    }
  }

  function isDark() {
    return root.dataset.theme ? root.dataset.theme === "dark" : wanted.matches;
  }

  const before = chosen();
  if (before === "dark" || before === "light") root.dataset.theme = before;
  root.classList.add("scripted");

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => {
      button.textContent = isDark() ? "Light" : "Dark";
      button.setAttribute("aria-label", `Show the page ${isDark() ? "light" : "dark"}`);
    };
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      try {
        localStorage.setItem(STORED, root.dataset.theme);
      } catch {
        // It lasts as long as the page, then.
      }
      label();
    });
    wanted.addEventListener("change", label);
    label();
  });
})();
