"use strict";
// What plain pages can't do: a player that goes on from page to page, and a focus that follows them.
(() => {
  const find = (id) => document.getElementById(id);
  const player = find("player");
  const audio = find("player-audio");
  const problem = find("player-problem");
  let queue = [];

  function play() {
    const next = queue.shift();
    if (!next) return;
    player.hidden = false;
    problem.hidden = true;
    find("player-title").textContent = next.title;
    audio.src = next.url;
    audio.play().catch((error) => {
      // Another track was chosen meanwhile, or the browser waits for the user.
      if (error.name !== "AbortError" && error.name !== "NotAllowedError") failed();
    });
  }

  function failed() {
    problem.textContent = "This can't be played: its provider does not serve it now, or the browser does not know its format.";
    problem.hidden = false;
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-play]");
    if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    const links = [...document.querySelectorAll("a[data-play]")];
    queue = links.slice(links.indexOf(link)).map((one) => ({ url: one.href, title: one.dataset.play }));
    play();
  });
  audio.addEventListener("ended", play);
  audio.addEventListener("error", failed);

  // What follows by itself must not take away what was just clicked: its answer would find no place.
  let visit = null;
  document.addEventListener("htmx:beforeRequest", (event) => { if (event.detail.boosted) visit = event.detail.xhr; });
  document.addEventListener("htmx:afterRequest", (event) => { if (event.detail.xhr === visit) visit = null; });
  document.addEventListener("htmx:beforeSwap", (event) => {
    const busy = (visit && event.detail.xhr !== visit) || document.querySelector("#page main :active");
    if (busy && !event.detail.boosted) event.detail.shouldSwap = false;
  });

  const offline = (is) => () => { find("offline").hidden = !is; };
  document.addEventListener("htmx:sendError", offline(true));
  document.addEventListener("htmx:afterRequest", (event) => { if (event.detail.xhr.status > 0) offline(false)(); });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (!event.detail.boosted) return;
    const first = document.querySelector("#page [autofocus]") ?? document.querySelector("#page h1");
    first?.focus({ preventScroll: true });
  });
})();
