import { runBundled } from "./run-bundled.mjs";

// As deep as test/bench/main.ts lies itself: it looks for what it uses from there.
await runBundled("test/bench/main.ts", "nix-airgap-bench.mjs");
