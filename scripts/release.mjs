// Makes dist/release: the whole program in one file, twice. nix-airgap.mjs is for a site that has Node.js and nothing else,
// the executable for one that has none. The same sources give the same bytes, which SHA256SUMS names.
//
//   node scripts/release.mjs [--module-only] [--out FOLDER]     after a build
import { createHash } from "node:crypto";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { bundleModule, root } from "./bundle-program.mjs";
import { EXECUTABLE, makeExecutable, whyNotHere } from "./executable.mjs";

const { values } = parseArgs({ options: { "module-only": { type: "boolean" }, out: { type: "string" } } });
const folder = resolve(values.out ?? join(root, "dist/release"));
const reason = values["module-only"] ? "asked for the module only" : whyNotHere();

await mkdir(folder, { recursive: true });
// While anything is not as SHA256SUMS says, there is none.
await rm(join(folder, "SHA256SUMS"), { force: true });
const sums = [await put("nix-airgap.mjs", Buffer.from(await bundleModule("cli/main.js")))];
if (reason === null) {
  sums.push(await put(EXECUTABLE, await makeExecutable()));
} else {
  await rm(join(folder, EXECUTABLE), { force: true });
  console.log(`without ${EXECUTABLE}: ${reason}`);
}
await put("SHA256SUMS", sums.join(""));

/** Returns its line for SHA256SUMS. */
async function put(name, bytes) {
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const partial = join(folder, `.${name}`);
  await writeFile(partial, bytes, { mode: name === "SHA256SUMS" ? 0o644 : 0o755 });
  await rename(partial, join(folder, name));
  console.log(`${name}  ${Math.ceil(bytes.length / 1024)} KiB  sha256 ${sha256}`);
  return `${sha256}  ${name}\n`;
}
