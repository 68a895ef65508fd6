/** The nix-airgap.json of a project. JSON itself is json.ts's. */
import { parseProjectFile } from "../../../src/ops/pack/request.js";
import { jsonValues } from "../format-mutations.js";
import type { Target } from "../fuzz.js";
import { ACCEPTED } from "./laws.js";
import { codes, words } from "./lists.js";
import { jsonWords } from "./material.js";

export const project: Target = {
  name: "project-file",
  share: 0.5,
  codes: codes("PROJECT_FILE"),
  seeds: words(
    '{ "product": "acme-pump" }\n',
    '{"product":"a","release":"1.0","attrs":["packages.x86_64-linux.default"],"tier":"source","systems":["x86_64-linux"]}',
  ),
  words: jsonWords,
  mutations: [jsonValues],
  run(bytes) {
    parseProjectFile(bytes);
    return ACCEPTED;
  },
};
