// What a page pays: the entry bundled, minified and gzipped, as a bundler and a server do it. What an entry shares with
// others is counted in each, and paid once.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

/** Bytes, gzipped. A promise of the package, not a habit: raise it only together with the README. */
const LIMITS = { ".": 6 * 1024, "./react": 1.5 * 1024, "./query": 2 * 1024, "./types": 32 };

const { exports, peerDependencies } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
let good = true;
for (const [name, entry] of Object.entries(exports)) {
  const bundle = await build({
    entryPoints: [new URL(`../${entry.default}`, import.meta.url).pathname],
    bundle: true,
    external: Object.keys(peerDependencies),
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
  });
  const size = gzipSync(bundle.outputFiles[0].contents, { level: 9 }).length;
  const limit = LIMITS[name];
  // An entry without a limit is one that somebody forgot.
  const fits = limit !== undefined && size <= limit;
  console.log(`${fits ? "ok    " : "FAILED"}  ${name}  ${size} of ${limit ?? "no"} bytes, gzipped`);
  good &&= fits;
}
process.exit(good ? 0 : 1);
