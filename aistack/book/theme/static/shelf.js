// Filters of the reference shelf. A list is whole without them; here its entries are hidden that do not fit.
"use strict";
document.querySelectorAll("form.filters").forEach((form) => {
  const list = document.getElementById(form.dataset.for) ?? document;
  const entries = [...list.querySelectorAll("[data-layers]")].filter((e) => !form.contains(e));
  const inputs = [...form.querySelectorAll("[data-test]")], told = form.querySelector("output");
  const words = new Map();
  const fits = {
    has: (entry, { name, value }) => entry.dataset[name].split(" ").includes(value),
    from: (entry, { name, value }) => +entry.dataset[name] >= +value,
    to: (entry, { name, value }) => +entry.dataset[name] <= +value,
    words: (entry, { value }) => {
      if (!words.has(entry)) words.set(entry, entry.textContent.toLowerCase());
      return value.toLowerCase().split(/\s+/).every((word) => words.get(entry).includes(word));
    },
  };
  const apply = () => {
    const asked = inputs.filter((input) => input.value.trim() !== "");
    let shown = 0;
    for (const entry of entries) {
      entry.hidden = !asked.every((input) => fits[input.dataset.test](entry, input));
      shown += !entry.hidden;
    }
    told.textContent = asked.length ? `${shown} of ${entries.length} shown` : `${entries.length} entries`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
});
