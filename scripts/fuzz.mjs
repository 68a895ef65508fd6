// Runs test/fuzz/main.ts, which Node 20 cannot read as it is: bundled first, into the cache. Arguments are passed on.
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../", import.meta.url));
const outfile = `${root}node_modules/.cache/nix-airgap-fuzz/main.mjs`;

await build({
  absWorkingDir: root,
  entryPoints: ["test/fuzz/main.ts"],
  outfile,
  bundle: true,
  packages: "external",
  platform: "node",
  format: "esm",
  target: "node20",
  sourcemap: "inline",
  logLevel: "warning",
});
process.chdir(root); // where the seeds are looked for
await import(outfile);
