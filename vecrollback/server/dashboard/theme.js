// Not a module, so that it runs before the first paint: a page that flashes white at night hurts.
(() => {
  const names = { auto: "Theme: automatic", light: "Theme: light", dark: "Theme: dark" };
  const order = Object.keys(names);
  const stored = () => (order.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "auto");
  const apply = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  };
  apply(stored());
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    button.textContent = names[stored()];
    button.addEventListener("click", () => {
      const next = order[(order.indexOf(stored()) + 1) % order.length];
      localStorage.setItem("theme", next);
      apply(next);
      button.textContent = names[next];
    });
  });
})();
