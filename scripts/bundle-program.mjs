// All of the program, or of its worker threads, in one file: everything it imports, and the licences of that at its end.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

export const root = fileURLToPath(new URL("../", import.meta.url));

// CommonJS packages ask for Node's own modules by require(), which a module lacks.
const MODULE_HEADER = [
  "#!/usr/bin/env node",
  'import { createRequire as createRequire$ } from "node:module";',
  "const require = createRequire$(import.meta.url);",
  "",
].join("\n");

/** As a module that Node.js 20 runs. `entry`: below dist/. */
export async function bundleModule(entry) {
  const { text, inputs } = await bundle(entry, { format: "esm", target: "node20" });
  return MODULE_HEADER + text.replace(/^#!.*\n/, "") + (await licences(inputs));
}

/** As CommonJS, which an executable's Node.js runs. `more`: licences of what else that holds. */
export async function bundleCommonJs(entry, target, more = []) {
  const { text, inputs } = await bundle(entry, {
    format: "cjs",
    target,
    define: { "import.meta.url": "importMetaUrl$" },
    banner: { js: 'const importMetaUrl$ = require("node:url").pathToFileURL(process.execPath).href;' },
  });
  return text + (await licences(inputs, more));
}

async function bundle(entry, options) {
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    entryPoints: [`dist/${entry}`],
    bundle: true,
    platform: "node",
    // Names stay readable: who must trust this file may want to read it.
    minify: false,
    legalComments: "none",
    metafile: true,
    write: false,
    logLevel: "warning",
    ...options,
  });
  return { text: outputFiles[0].text, inputs: Object.keys(metafile.inputs) };
}

/** The licence texts of the packages that the inputs belong to, as one comment. */
async function licences(inputs, more = []) {
  const packages = new Set([join(root, "node_modules/zstddec")]); // its wasm came in through src/generated
  for (const input of inputs) {
    const found = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input);
    if (found) packages.add(join(root, found[0]));
  }
  const texts = [`nix-airgap\n\n${await readFile(join(root, "LICENSE"), "utf8")}`];
  for (const path of [...[...packages].sort(), ...more]) {
    const { name, version, license } = JSON.parse(await readFile(join(path, "package.json"), "utf8"));
    const file = (await readdir(path)).find((f) => /^licen[cs]e\b/i.test(f));
    if (file === undefined) throw new Error(`${path} has no licence file (it says ${license})`);
    texts.push(`${name} ${version}\n\n${await readFile(join(path, file), "utf8")}`);
  }
  const rule = `\n${"-".repeat(80)}\n`;
  return `/*\nLicences of what this file holds:\n${rule}${texts.map((t) => t.trim().replaceAll("*/", "* /")).join(`\n${rule}`)}\n*/\n`;
}
