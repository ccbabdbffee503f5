// Fetches the page again every few seconds while its tab is seen, and swaps the main part in.
// Without it everything works; the page is then as old as its last load.
"use strict";
(() => {
  const main = document.getElementById("main");
  const seconds = Number(main && main.dataset.refresh);
  if (!seconds) return;
  let etag = main.innerHTML;
  const isBusy = () => {
    const active = document.activeElement;
    return document.hidden || (active && active !== document.body && main.contains(active)) || String(getSelection());
  };
  const open = (root) => [...root.querySelectorAll("details")].map((one) => one.open);
  setInterval(async () => {
    if (isBusy()) return;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("main");
      if (!fresh || fresh.innerHTML === etag || isBusy()) return;
      etag = fresh.innerHTML;
      const before = open(main);
      main.replaceChildren(...fresh.childNodes);
      main.querySelectorAll("details").forEach((one, i) => { if (i in before) one.open = before[i]; });
      main.classList.remove("stale");
    } catch {
      main.classList.add("stale");
    }
  }, seconds * 1000);
})();
