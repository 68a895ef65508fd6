/**
 * What is fuzzed: every format that reaches this program from outside, each in a file of its own, with real data to
 * start from and the law that accepted data keeps. How inputs are made, and what counts as a failure, is fuzz.ts's.
 */
import type { Target } from "../fuzz.js";
import { approval } from "./approval.js";
import { auditEntry } from "./audit-entry.js";
import { bundle } from "./bundle.js";
import { drv } from "./derivation.js";
import { document } from "./document.js";
import { flakeLock } from "./flake-lock.js";
import { index } from "./index-json.js";
import { inspection } from "./inspect.js";
import { journal } from "./journal.js";
import { json } from "./json.js";
import { keys } from "./keys.js";
import { names } from "./names.js";
import { nar } from "./nar.js";
import { narReading } from "./nar-reading.js";
import { narinfo } from "./narinfo.js";
import { partsIndex } from "./parts-index.js";
import { policies } from "./policy.js";
import { project } from "./project-file.js";
import { servedFiles } from "./served-files.js";
import { siteState } from "./site-state.js";
import { ssh } from "./ssh.js";
import { statements } from "./statement.js";
import { tar } from "./tar.js";
import { zstd } from "./zstd.js";

export const targets: readonly Target[] = [
  nar,
  narReading,
  narinfo,
  drv,
  flakeLock,
  tar,
  json,
  document,
  approval,
  statements,
  names,
  keys,
  zstd,
  index,
  bundle,
  inspection,
  journal,
  partsIndex,
  project,
  policies,
  siteState,
  auditEntry,
  servedFiles,
  ssh,
];
