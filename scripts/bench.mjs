// Runs test/bench/main.ts, which Node 20 cannot read as it is: bundled first, into a file that lies as deep as it does,
// since it looks for what it uses from there. Arguments are passed on.
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../", import.meta.url));
const outfile = `${root}node_modules/.cache/nix-airgap-bench.mjs`;

await build({
  absWorkingDir: root,
  entryPoints: ["test/bench/main.ts"],
  outfile,
  bundle: true,
  packages: "external",
  platform: "node",
  format: "esm",
  target: "node20",
  sourcemap: "inline",
  logLevel: "warning",
});
await import(outfile);
