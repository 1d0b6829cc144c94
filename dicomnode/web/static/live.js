// Tells the reader of the worklist that it has changed; the page works without this.
"use strict";
const live = document.getElementById("live");
if (live) {
  const words = live.querySelector("span");
  const link = live.querySelector("a");
  let changes = 0;
  let told = false;
  link.href = location.pathname + location.search;
  const source = new EventSource("/events?after=" + live.dataset.after);
  source.addEventListener("change", () => {
    changes += 1;
    if (told) return;
    told = true;
    // At most once a second, or a screen reader would never be silent.
    setTimeout(() => {
      told = false;
      words.textContent = live.dataset.words + " (" + changes + ")";
      live.hidden = false;
    }, 1000);
  });
  addEventListener("pagehide", () => source.close());
}
