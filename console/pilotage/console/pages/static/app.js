// What pages do by themselves: the theme, relative times, forms that are sent once.
// Loaded before the body is drawn, so that a chosen theme does not flash.
"use strict";
(() => {
  const root = document.documentElement;
  const KEY = "pilotage-theme";
  try {
    const chosen = localStorage.getItem(KEY);
    if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
  } catch (error) { /* storage is closed to us: the system's theme holds */ }
  root.classList.add("scripted");

  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const STEPS = [[60, "second"], [60, "minute"], [24, "hour"], [30, "day"], [12, "month"], [Infinity, "year"]];

  function relative(at, now) {
    const seconds = (now - at) / 1000;
    let count = Math.abs(seconds), unit = "second";
    if (count < 5) return "now";
    for (const [length, name] of STEPS) { unit = name; if (count < length) break; count /= length; }
    const whole = Math.floor(count);
    const words = `${whole} ${unit}${whole === 1 ? "" : "s"}`;
    return seconds > 0 ? `${words} ago` : `in ${words}`;
  }

  function tick() {
    const now = Date.now();
    for (const item of document.querySelectorAll("time[data-relative]")) {
      const told = relative(Date.parse(item.dateTime), now);
      if (item.textContent !== told) item.textContent = told;
    }
    for (const item of document.querySelectorAll("[data-since]")) {
      const seconds = Math.max(0, Math.round((now - Date.parse(item.dataset.since)) / 1000));
      item.textContent = seconds < 60 ? `${seconds} s` : seconds < 3600 ? `${Math.floor(seconds / 60)} min ${seconds % 60} s`
        : `${Math.floor(seconds / 3600)} h ${Math.floor(seconds % 3600 / 60)} min`;
    }
  }

  document.addEventListener("click", event => {
    const toggle = event.target.closest("[data-theme-toggle]");
    if (!toggle) return;
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem(KEY, root.dataset.theme); } catch (error) { /* holds for this page only */ }
    document.dispatchEvent(new CustomEvent("pilotage:theme"));
  });

  // A second click must not send a form twice.
  document.addEventListener("submit", event => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "yes";
    setTimeout(() => { delete form.dataset.sent; }, 4000);
  });

  // Filters are applied as soon as one is chosen; without a script there is a button.
  document.addEventListener("change", event => {
    const form = event.target.closest("form[data-auto]");
    if (form) form.requestSubmit();
  });

  // Only one question is open at a time, and Escape closes it.
  document.addEventListener("toggle", event => {
    const opened = event.target;
    if (!opened.matches?.("details.confirm") || !opened.open) return;
    for (const other of document.querySelectorAll("details.confirm[open]")) if (other !== opened) other.open = false;
  }, true);
  document.addEventListener("keydown", event => {
    if (event.key !== "Escape") return;
    const opened = document.activeElement?.closest("details.confirm[open]");
    if (opened) { opened.open = false; opened.querySelector("summary").focus(); }
  });

  document.addEventListener("DOMContentLoaded", () => {
    for (const toggle of document.querySelectorAll("[data-theme-toggle]")) toggle.hidden = false;
    tick();
    setInterval(tick, 1000);
  });
})();
