// The gateway's built-in page has this client in one file, which is kept with it: whoever runs the gateway needs no Node.
// `page.mjs` writes it, `page.mjs --check` compares it with what was built.
import { readFileSync, writeFileSync } from "node:fs";

import { build } from "esbuild";

const file = new URL("../../../examples/gateway/src/page/rooms.js", import.meta.url);
const bundle = await build({
  entryPoints: [new URL("../dist/index.js", import.meta.url).pathname],
  bundle: true,
  format: "esm",
  target: "es2022",
  banner: { js: "// @tramline/ws-rooms, bundled. Written by `npm run page` in ws-rooms/web: do not edit." },
  write: false,
  // Where the sources stand is nobody's affair.
  absWorkingDir: new URL("..", import.meta.url).pathname,
});
const { text } = bundle.outputFiles[0];
if (!process.argv.includes("--check")) writeFileSync(file, text);
else if (readFileSync(file, "utf8") !== text) {
  console.log("FAILED  the built-in page's rooms.js is not what was built: `npm run page`");
  process.exit(1);
} else console.log("ok      the built-in page has what was built");
