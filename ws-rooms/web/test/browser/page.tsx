// Takes the page over.

import { hydrateRoot } from "react-dom/client";

import { App, make, type Page } from "./app.js";

declare global {
  var page: Page & { readonly any: string[]; readonly life: string[] };
}

const search = new URLSearchParams(location.search);
// One after another: a renewal brings the next.
const tokens = (search.get("tokens") ?? "").split(",");
const node = search.get("node") ?? "0";
const made = make({
  url: `/ws?node=${node}`,
  credential: (why) => {
    if (why === "renew" && tokens.length > 1) tokens.shift();
    return tokens[0]!;
  },
});
globalThis.page = { ...made, any: [], life: [] };
made.rooms.onAny({ event: ({ room, event }) => page.any.push(`${room} ${event.id}`) });
for (const type of ["freeze", "resume"]) document.addEventListener(type, () => page.life.push(type));
hydrateRoot(document.querySelector("#app")!, <App {...made} />);
made.rooms.open();
