import { root, runBundled } from "./run-bundled.mjs";

process.chdir(root); // where the seeds are looked for
await runBundled("test/fuzz/main.ts", "nix-airgap-fuzz/main.mjs");
