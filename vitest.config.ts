import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Other Nixes: bin/test --matrix.
    exclude: process.env["MATRIX"] === undefined ? ["test/matrix/**"] : [],
    // End-to-end tests run real Nix builds; they share two cores with each other.
    testTimeout: 120_000,
    hookTimeout: 300_000,
    pool: "forks",
    // One fewer than there are processors is the default, though most tests wait for programs that they started.
    maxWorkers: "100%",
  },
});
