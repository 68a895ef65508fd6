// Makes dist/release/nix-airgap.mjs: the whole program in one file, for a site that has Node and nothing else.
// The same sources give the same bytes. Licences of what it holds stand at its end.
import { createHash } from "node:crypto";
import { chmod, mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../", import.meta.url));
const folder = join(root, "dist/release");
const name = "nix-airgap.mjs";

// CommonJS packages ask for Node's own modules by require(), which a module lacks.
const header = [
  "#!/usr/bin/env node",
  'import { createRequire as createRequire$ } from "node:module";',
  "const require = createRequire$(import.meta.url);",
  "",
].join("\n");

const result = await build({
  absWorkingDir: root,
  entryPoints: ["dist/cli/main.js"],
  outfile: join(folder, name),
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20",
  // Names stay readable: who must trust this file may want to read it.
  minify: false,
  legalComments: "none",
  metafile: true,
  write: false,
  logLevel: "warning",
});
const program = result.outputFiles[0].text.replace(/^#!.*\n/, "");
const bytes = Buffer.from(header + program + (await licences(Object.keys(result.metafile.inputs))));
const sha256 = createHash("sha256").update(bytes).digest("hex");

await mkdir(folder, { recursive: true });
await writeFile(join(folder, `.${name}`), bytes);
await chmod(join(folder, `.${name}`), 0o755);
await rename(join(folder, `.${name}`), join(folder, name));
await writeFile(join(folder, "SHA256SUMS"), `${sha256}  ${name}\n`);
console.log(`dist/release/${name}  ${Math.ceil(bytes.length / 1024)} KiB  sha256 ${sha256}`);

/** The licence texts of the packages that the inputs belong to, as one comment. */
async function licences(inputs) {
  const packages = new Set(["node_modules/zstddec"]); // its wasm came in through src/generated
  for (const input of inputs) {
    const found = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input);
    if (found) packages.add(found[0]);
  }
  const texts = [`nix-airgap\n\n${await readFile(join(root, "LICENSE"), "utf8")}`];
  for (const path of [...packages].sort()) {
    const { name, version, license } = JSON.parse(await readFile(join(root, path, "package.json"), "utf8"));
    const file = (await readdir(join(root, path))).find((f) => /^licen[cs]e\b/i.test(f));
    if (file === undefined) throw new Error(`${path} has no licence file (it says ${license})`);
    texts.push(`${name} ${version}\n\n${await readFile(join(root, path, file), "utf8")}`);
  }
  const rule = `\n${"-".repeat(80)}\n`;
  return `/*\nLicences of what this file holds:\n${rule}${texts.map((t) => t.trim().replaceAll("*/", "* /")).join(`\n${rule}`)}\n*/\n`;
}
