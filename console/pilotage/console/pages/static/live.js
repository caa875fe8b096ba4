// Live parts of a page: one stream of server-sent events a page, its fragments put in place by htmx.
//
// <div data-live="/runs/…/live"> opens the stream. Inside it, `data-live-part="name"` is filled with each event
// `name`; with `data-live-add` the event's text is appended to it instead, following its end while it is in view.
// A part that comes with `data-closes="…"` closes the folds of that selector.
// Every event's id says how far this page has come, so a new connection, also to another process, goes on there.
"use strict";
(() => {
  const FIRST_WAIT = 500, LONGEST_WAIT = 10000, SILENCE = 40000;
  const MOST_LETTERS = 400000;

  class Live {
    constructor(root) {
      this.root = root;
      this.position = root.dataset.livePosition || "";
      this.wait = FIRST_WAIT;
      this.connect();
    }

    connect() {
      clearTimeout(this.timer);
      const address = new URL(this.root.dataset.live, location.href);
      if (this.position) address.searchParams.set("after", this.position);
      this.source = new EventSource(address);
      this.source.addEventListener("open", () => { this.wait = FIRST_WAIT; this.listen(); tell(false); });
      this.source.addEventListener("error", () => this.retry());
      this.source.addEventListener("beat", () => this.listen());
      this.source.addEventListener("end", () => { this.close(); });
      for (const part of this.root.querySelectorAll("[data-live-part]")) {
        const name = part.dataset.livePart;
        this.source.addEventListener(name, event => this.take(name, event));
      }
    }

    // The connection may be gone without anybody saying so.
    listen() {
      clearTimeout(this.silence);
      this.silence = setTimeout(() => this.retry(), SILENCE);
    }

    retry() {
      this.close();
      if (document.hidden || !this.root.isConnected) return;
      this.timer = setTimeout(() => this.connect(), this.wait * (0.75 + Math.random() / 2));
      if (this.wait > FIRST_WAIT) { tell(true); leaveIfSignedOut(); }
      this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
    }

    close() {
      clearTimeout(this.timer);
      clearTimeout(this.silence);
      this.source.close();
    }

    take(name, event) {
      this.listen();
      if (event.lastEventId) this.position = event.lastEventId;
      for (const part of this.root.querySelectorAll("[data-live-part]")) {
        if (part.dataset.livePart !== name) continue;
        if (part.hasAttribute("data-live-add")) append(part, event.data);
        else replace(part, event.data);
      }
    }
  }

  // What somebody is using is left as it is: an open question, a field with the focus.
  const inUse = part => part.querySelector("details.confirm[open]") || part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");

  function replace(part, html) {
    if (inUse(part)) { setTimeout(() => replace(part, html), 1000); return; }
    const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
    htmx.swap(part, html, {swapStyle: "innerHTML", settleDelay: 0, swapDelay: 0});
    if (focused) document.getElementById(focused)?.focus();
    for (const closing of part.querySelectorAll("[data-closes]"))
      for (const fold of document.querySelectorAll(`${closing.dataset.closes}[open]`)) fold.open = false;
  }

  function append(part, text) {
    const atEnd = part.scrollTop + part.clientHeight >= part.scrollHeight - 24;
    part.append(text);
    while (part.textContent.length > MOST_LETTERS && part.firstChild !== part.lastChild) part.firstChild.remove();
    if (atEnd) part.scrollTop = part.scrollHeight;
    const frame = part.closest("[hidden]");
    if (frame) frame.hidden = false;
  }

  // A stream does not say why it was refused.
  async function leaveIfSignedOut() {
    try {
      if ((await fetch("/api/v1/me", {cache: "no-store"})).status === 401) location.reload();
    } catch (error) { /* the console does not answer: the next connection is tried anyway */ }
  }

  function tell(lost) {
    const place = document.getElementById("connection");
    if (place) place.hidden = !lost;
  }

  document.addEventListener("DOMContentLoaded", () => {
    const lives = [...document.querySelectorAll("[data-live]")].map(root => new Live(root));
    for (const part of document.querySelectorAll("[data-live-add]")) part.scrollTop = part.scrollHeight;
    // A browser keeps few connections to one host: pages that nobody sees give theirs back.
    document.addEventListener("visibilitychange", () => {
      for (const live of lives) document.hidden ? live.close() : live.connect();
    });
    addEventListener("pagehide", () => lives.forEach(live => live.close()));
    addEventListener("pageshow", event => { if (event.persisted) lives.forEach(live => live.connect()); });
  });
})();
