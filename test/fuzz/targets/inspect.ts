/** The bundle.json as `inspect` reads it, with all that it shows. The law of the document is document.ts's. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Code } from "../../../src/errors.js";
import { validateInspectReport } from "../../../src/generated/report-validators.js";
import { inspect } from "../../../src/ops/inspect.js";
import { jsonValues } from "../format-mutations.js";
import type { Target } from "../fuzz.js";
import { document } from "./document.js";
import { ACCEPTED } from "./laws.js";
import { documents } from "./material.js";
import { lazy, scratch } from "./scratch.js";
import { context, requireReport } from "./verbs.js";

export const inspection: Target = {
  name: "inspect",
  share: 0.04,
  codes: document.codes,
  seeds: documents,
  words: document.words,
  mutations: [jsonValues, ...document.mutations],
  async run(bytes) {
    const dir = join(scratchDir(), "inspected");
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, "bundle.json"), bytes);
    const report = await inspect(dir, { tree: true, sizes: true }, context);
    requireReport(validateInspectReport, report);
    if (report.document !== null) return ACCEPTED;
    return report.problems.map(({ code }) => ({ code: code as Code }));
  },
};

const scratchDir = lazy(scratch);
