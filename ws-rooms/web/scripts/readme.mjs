// The examples of the README and of the guide compile, against what is published.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";

/** What an example takes from its reader's application. */
const GIVEN = `
declare const session: { readonly token: string; renew(): Promise<string> };
declare function show(data: { amount: string }): void;
declare function announce(title: string): void;
declare function reload(): void;
declare function load(id: string): Promise<{ amount: string; status: string }>;
`;

// Inside this package its own name leads to `dist`, as `exports` says.
const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom", "--jsx", "react-jsx", "--types", ""];
const tsc = new URL("../node_modules/.bin/tsc", import.meta.url).pathname;
// Each page for itself: what one registers is not the other's.
for (const page of ["../README.md", "../../../docs/guides/websocket.md"]) {
  const text = readFileSync(new URL(page, import.meta.url), "utf8");
  const examples = [...text.matchAll(/^```(tsx?)\n([^]*?)^```$/gm)];
  if (examples.length === 0) throw new Error(`${page} has no example`);
  const name = page.split("/").at(-1).replace(".md", "");
  const folder = new URL(`../build/examples/${name}/`, import.meta.url);
  mkdirSync(folder, { recursive: true });
  const files = examples.map(([, kind, code], n) => {
    const file = new URL(`example-${n + 1}.${kind}`, folder).pathname;
    writeFileSync(file, code + GIVEN);
    return file;
  });
  execFileSync(tsc, ["--ignoreConfig", ...options, ...files], { stdio: "inherit" });
  console.log(`ok      ${name}: ${files.length} example${files.length === 1 ? "" : "s"}`);
}
