// Comforts for a page that works without them: theme, copy buttons, scroll boxes, place in the page. Loaded deferred;
// not a module, so that a page opened from disk runs it too.
"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Work on many boxes happens in idle moments, so that no touch has to wait for it.
  const idle = globalThis.requestIdleCallback ?? ((work) => setTimeout(() => { const end = performance.now() + 8; work({ timeRemaining: () => end - performance.now() }); }, 1));
  const inTurn = (boxes, work) => idle((time) => {
    do work(boxes.shift()); while (boxes.length && time.timeRemaining() > 2);
    if (boxes.length) inTurn(boxes, work);
  });

  // Sections that wait for their layout (book.css) get it in idle moments, and all at once before anything that may jump:
  // a link, a key, a scroll, a return to the place where one was. A screen wider than a phone's has no such sections.
  const waiting = all(".later");
  const layOut = (section) => section.classList.remove("later");
  const layOutAll = () => waiting.splice(0).forEach(layOut);
  const layOutNext = () => {
    const section = waiting.shift();
    if (!section) return;
    layOut(section);
    section.getBoundingClientRect(); // here and now, so that no frame has to lay out two
    idle(layOutNext);
  };
  const phone = matchMedia("(max-width: 48rem)").matches, fresh = performance.getEntriesByType("navigation")[0]?.type === "navigate";
  if (!phone || !fresh || location.hash) layOutAll();
  for (const event of ["pointerdown", "keydown", "click", "scroll", "hashchange", "beforeprint"]) addEventListener(event, layOutAll, { capture: true, once: true });
  addEventListener("load", () => idle(layOutNext));

  // Theme: auto, light, dark. The inline script in the head has set it before the first paint.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const button = document.querySelector("button.theme");
  const read = () => { try { return localStorage.getItem("theme") || "auto"; } catch { return "auto"; } };
  const show = (choice) => {
    const theme = choice === "auto" ? (dark.matches ? "dark" : "light") : choice;
    button.querySelector("span").textContent = `Theme: ${choice}`;
    if (root.dataset.theme === theme) return;
    root.dataset.theme = theme;
    document.dispatchEvent(new CustomEvent("themechange", { detail: { theme } }));
  };
  let choice = read();
  button.addEventListener("click", () => {
    choice = { auto: "light", light: "dark", dark: "auto" }[choice] || "auto";
    try { localStorage.setItem("theme", choice); } catch { /* private window: the choice lasts for this page */ }
    show(choice);
  });
  dark.addEventListener("change", () => show(choice));
  show(choice);

  // Code: a button that copies, without prompts and without the button's own text.
  const announce = document.createElement("p");
  announce.className = "hidden";
  announce.setAttribute("role", "status");
  document.body.append(announce);
  const offerCopy = (box) => {
    const copy = document.createElement("button");
    copy.type = "button";
    copy.className = "copy";
    copy.textContent = "Copy";
    copy.setAttribute("aria-label", "Copy code");
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(box.querySelector("pre").textContent.replace(/\n$/, ""));
        copy.textContent = announce.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(box.querySelector("pre"));
        copy.textContent = announce.textContent = "Selected";
      }
      setTimeout(() => { copy.textContent = "Copy"; announce.textContent = ""; }, 2000);
    });
    box.append(copy);
  };

  // Boxes that scroll sideways can be reached by keyboard and have a name, but only while they do scroll.
  const nameOf = (box) => {
    const caption = box.querySelector("caption") || box.closest("figure")?.querySelector("figcaption");
    if (caption) return caption.textContent.trim();
    const heading = box.closest("section")?.querySelector("h1, h2, h3, h4");
    const kind = box.matches("pre:not(.cell_output pre)") ? "Code" : box.querySelector("math") ? "Formula" : box.querySelector("table") ? "Table" : "Output";
    const place = heading ? ` in “${heading.textContent.replace(/#$/, "").trim()}”` : "";
    return kind + place;
  };
  const settle = (entries) => {
    const wide = entries.map(({ target }) => [target, target.scrollWidth > target.clientWidth + 1]);
    const names = new Map(all("[role=region][aria-label]").map((box) => [box.getAttribute("aria-label"), box]));
    wide.forEach(([box, scrolls]) => {
      if (!scrolls) return ["tabindex", "role", "aria-label"].forEach((name) => box.removeAttribute(name));
      if (box.hasAttribute("role")) return;
      let name = nameOf(box);
      for (let i = 2; names.has(name); i++) name = `${nameOf(box)}, ${i}`;
      names.set(name, box);
      box.tabIndex = 0;
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", name);
    });
  };
  const observer = new ResizeObserver(settle);
  const code = all(".highlight").filter((box) => !box.closest(".cell_output"));
  const wide = all("main .scroll, main pre, main .cell_output");
  if (code.length) inTurn(code, offerCopy);
  if (wide.length) inTurn(wide, (box) => observer.observe(box));

  // Terms: their meaning where they stand, under the pointer or the focus; Escape puts it away, the pointer may rest on it.
  const terms = document.getElementById("terms");
  if (terms) {
    const tip = document.createElement("div");
    tip.id = "meaning";
    tip.setAttribute("role", "tooltip");
    tip.hidden = true;
    document.body.append(tip);
    let meanings, shown, leaving;
    const hide = () => { tip.hidden = true; shown?.removeAttribute("aria-describedby"); shown = undefined; };
    const tell = (link) => {
      clearTimeout(leaving);
      if (link === shown) return;
      hide();
      meanings ??= JSON.parse(terms.textContent);
      const text = meanings[decodeURIComponent(link.hash.slice(1))];
      if (!text) return;
      tip.textContent = text;
      tip.hidden = false;
      const at = link.getBoundingClientRect(), { width, height } = tip.getBoundingClientRect();
      const room = document.documentElement.clientWidth;
      const above = at.bottom + height + 12 > innerHeight && at.top > height + 60;
      tip.style.left = `${scrollX + Math.max(8, Math.min(at.left, room - width - 8))}px`;
      tip.style.top = `${scrollY + (above ? at.top - height - 6 : at.bottom + 6)}px`;
      link.setAttribute("aria-describedby", tip.id);
      shown = link;
    };
    const leave = () => { clearTimeout(leaving); leaving = setTimeout(hide, 200); };
    const termOf = (event) => event.target.closest?.("a.term");
    document.addEventListener("focusin", (event) => { const link = termOf(event); if (link) tell(link); else if (shown) hide(); });
    document.addEventListener("pointerover", (event) => {
      const link = event.pointerType === "mouse" && termOf(event);
      if (link) tell(link); else if (event.target === tip) clearTimeout(leaving); else if (shown && shown !== document.activeElement) leave();
    });
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  }

  // Page contents: mark the section in view; a chosen entry closes the drawer.
  const links = new Map(all("nav.contents a[href^='#']").map((a) => [a.hash.slice(1), a]));
  const seen = new IntersectionObserver((entries) => {
    const entry = entries.find((e) => e.isIntersecting);
    if (!entry) return;
    links.forEach((a) => a.removeAttribute("aria-current"));
    links.get(entry.target.id)?.setAttribute("aria-current", "location");
  }, { rootMargin: "-10% 0px -80% 0px" });
  all("main section[id]").filter((s) => links.has(s.id)).forEach((s) => seen.observe(s));
  links.forEach((a) => a.addEventListener("click", () => a.closest("[popover]:popover-open")?.hidePopover()));

  // Print shows folded parts, then folds them again.
  let folded = [];
  addEventListener("beforeprint", () => { folded = all("main details:not([open])"); folded.forEach((d) => { d.open = true; }); });
  addEventListener("afterprint", () => folded.forEach((d) => { d.open = false; }));

  // Search from disk: browsers do not let a page read its neighbours, so results come without excerpts.
  if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
})();
