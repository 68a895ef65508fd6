/** One bundle of every released format version lies in fixtures/golden, and verifies for ever. Never make one anew. */
import { resolve } from "node:path";
import { expect, it } from "vitest";
import type { VerifyReport } from "../../src/generated/types.js";
import { cliJson } from "../support/cli.js";

const GOLDEN = resolve(import.meta.dirname, "../../fixtures/golden");

it.each([["1.0", "e022f6c92e561fd8fcc8fe0ddfea4fe13794b20fcc910509c91bb31106aa9d02"]])(
  "format %s",
  async (version, id) => {
    const bundle = [`${GOLDEN}/format-${version}.tar`, "--public-key", `${GOLDEN}/format-${version}.pub`];
    const { code, json } = await cliJson<VerifyReport>(["verify", ...bundle]);
    expect(json.findings).toEqual([]);
    expect([code, json.verdict, json.bundle.sha256]).toEqual([0, "verified", id]);
  },
);
