/** The program's entry as one executable with Node.js inside: scripts/release.mjs makes it, with the text of the worker threads. */
import { getAsset } from "node:sea";
import { start } from "./start.js";

// CommonJS, which this becomes, cannot wait here; what goes wrong is for the last resort in start.ts.
void start({ path: process.execPath, source: () => getAsset("worker.cjs", "utf8") });
