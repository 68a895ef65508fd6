// Runs a TypeScript program of the tests, which Node 20 cannot read as it is: bundled first, into the cache. Arguments are
// passed on.
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

export const root = fileURLToPath(new URL("../", import.meta.url));

/** `outfile`: below the cache. */
export async function runBundled(entryPoint, outfile) {
  const file = `${root}node_modules/.cache/${outfile}`;
  await build({
    absWorkingDir: root,
    entryPoints: [entryPoint],
    outfile: file,
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    target: "node20",
    sourcemap: "inline",
    logLevel: "warning",
  });
  await import(file);
}
