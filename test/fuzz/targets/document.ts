/**
 * The bundle.json, and that what an accepted one leads to is findings. Its place in a bundle is bundle.ts's and
 * inspect.ts's.
 */
import { checkClosure } from "../../../src/bundle/closure.js";
import { contentsOf } from "../../../src/bundle/contents.js";
import { formatDocument, parseDocument } from "../../../src/bundle/document.js";
import { knownHashParts } from "../../../src/bundle/embedded.js";
import { checkAddresses, checkNames } from "../../../src/bundle/names.js";
import { Needs, seedsOf } from "../../../src/bundle/needs.js";
import { PackedDerivations } from "../../../src/bundle/packed.js";
import { checkPins } from "../../../src/bundle/pins.js";
import type { BundleDocument } from "../../../src/generated/types.js";
import { seal } from "../../support/release.js";
import { jsonRepaired } from "../format-mutations.js";
import type { Target } from "../fuzz.js";
import { ACCEPTED, refusalOf, requireLaw, requireSame } from "./laws.js";
import { codes, words } from "./lists.js";
import { allDerivations, documents, jsonWords } from "./material.js";

export const document: Target = {
  name: "document",
  share: 0.25,
  codes: codes(
    "JSON_INVALID",
    "JSON_NOT_CANONICAL",
    "DOCUMENT_SCHEMA",
    "DOCUMENT_ORDER",
    "DOCUMENT_DUPLICATE",
    "DOCUMENT_TOTALS",
    "DOCUMENT_VALUE",
    "VERSION_UNSUPPORTED",
    "FEATURE_UNSUPPORTED",
    "REQUIRES_UNSUPPORTED",
  ),
  seeds: documents,
  words: [
    ...jsonWords,
    ...words('"paths"', '"kinds": []', "/nix/store/", "sha256-", '"1.1"', '"2.0"', '"signatures"'),
  ],
  mutations: [jsonRepaired((value) => seal(value as unknown as BundleDocument))],
  run(bytes) {
    const { document, findings } = parseDocument(bytes);
    if (document === null) {
      requireLaw(findings.length > 0, "no document without a finding");
      return findings;
    }
    requireSame(formatDocument(document), bytes, "an accepted document is what we would write");
    const thrown = refusalOf(() => {
      contentsOf(document, bytes, new Map());
      checkPins(document);
      for (const packed of PACKED) {
        new Needs(document, seedsOf(document, packed));
        const { complete } = checkClosure(document, packed);
        checkAddresses(document);
        checkNames(document, packed, complete);
        knownHashParts(document, packed);
      }
    });
    requireLaw(thrown === undefined, `what an accepted document leads to is findings, not ${thrown?.code}`);
    return ACCEPTED;
  },
};

const PACKED = [new PackedDerivations(new Map()), new PackedDerivations(allDerivations)];
