/**
 * bundle.json as bytes and as a value: V3 complete, apart from meaning (document-meaning.ts). Whether the paths
 * it names are there, belong together and have these names is V5 to V9.
 */
import type { ErrorObject } from "ajv";
import { formatJson, parseCanonicalJson } from "../canonical-json.js";
import { AirgapError, type Finding } from "../errors.js";
import type { BundleDocument } from "../generated/types.js";
import { validateBundleDocument } from "../generated/validators.js";
import { excerpt } from "../nix/excerpt.js";
import { isJsonObject, type JsonObject, type JsonValue } from "../strict-json.js";
import { FEATURES, FORMAT_VERSION } from "./document-features.js";
import { checkMeaning } from "./document-meaning.js";
import { MAX_DOCUMENT_SIZE } from "./layout.js";

const FORMAT = "nix-airgap-bundle";
const MAJOR = "1";
const KNOWN_FEATURES: ReadonlySet<string> = new Set(FEATURES);

/** A document is given exactly when there are no findings. */
export type ParsedDocument =
  | { readonly document: BundleDocument; readonly findings: readonly [] }
  | { readonly document: null; readonly findings: readonly Finding[] };

/**
 * V3. The subject of a finding is a JSON pointer into bundle.json, or `bundle.json` where it is the file's text.
 * Whatever the bytes are, the answer is findings; nothing is thrown.
 */
export function parseDocument(bytes: Uint8Array): ParsedDocument {
  const value = read(bytes);
  if (value instanceof AirgapError) return refused([{ code: value.code, ...value.details }]);
  // A newer document would fail this version's schema too: say the reason, not its symptoms.
  const newer = isJsonObject(value) && value["format"] === FORMAT ? checkVersion(value) : [];
  if (newer.length > 0) return refused(newer);
  const document: unknown = value;
  if (!validateBundleDocument(document)) {
    return refused(schemaFindings(validateBundleDocument.errors ?? [], value));
  }
  const findings = checkMeaning(document);
  return findings.length > 0 ? refused(findings) : { document, findings: [] };
}

/** The one encoding of a document, as it is signed. */
export function formatDocument(document: BundleDocument): Buffer {
  return Buffer.from(formatJson(document));
}

function refused(findings: readonly Finding[]): ParsedDocument {
  return { document: null, findings };
}

function read(bytes: Uint8Array): JsonValue | AirgapError {
  try {
    return parseCanonicalJson(bytes, { maxBytes: MAX_DOCUMENT_SIZE, subject: "bundle.json" });
  } catch (error) {
    if (error instanceof AirgapError) return error;
    throw error;
  }
}

/** Only what any version of the format can be asked; shapes that are wrong are left to the schema. */
function checkVersion(value: JsonObject): Finding[] {
  const findings: Finding[] = [];
  const { version, features, requires } = value;
  const major = typeof version === "string" ? /^(\d+)\.\d+$/.exec(version)?.[1] : undefined;
  if (typeof version === "string" && major !== undefined && major !== MAJOR) {
    return [
      { code: "VERSION_UNSUPPORTED", subject: "/version", expected: `${MAJOR}.x`, actual: excerpt(version) },
    ];
  }
  strings(features).forEach((feature, i) => {
    if (!KNOWN_FEATURES.has(feature)) {
      findings.push({
        code: "FEATURE_UNSUPPORTED",
        subject: `/features/${i}`,
        expected: `a feature of version ${FORMAT_VERSION}: ${FEATURES.join(", ")}`,
        actual: excerpt(feature),
      });
    }
  });
  strings(requires).forEach((bundle, i) => {
    findings.push({
      code: "REQUIRES_UNSUPPORTED",
      subject: `/requires/${i}`,
      expected: "no other bundle",
      actual: excerpt(bundle),
    });
  });
  return findings;
}

function strings(value: JsonValue | undefined): string[] {
  return Array.isArray(value) ? value.filter((element) => typeof element === "string") : [];
}

/** The validator stops at the first value that does not fit, and gives one error for each form it could have. */
function schemaFindings(errors: readonly ErrorObject[], document: JsonValue): Finding[] {
  const byPointer = new Map<string, { expected: string[]; actual: string }>();
  for (const error of errors) {
    const pointer = pointerOf(error);
    const about = byPointer.get(pointer) ?? { expected: [], actual: describeAt(document, pointer) };
    // "must match a schema in anyOf" says nothing that its parts do not.
    if (error.keyword !== "anyOf") about.expected.push(expectation(error));
    byPointer.set(pointer, about);
  }
  return [...byPointer].map(([pointer, { expected, actual }]) => ({
    code: "DOCUMENT_SCHEMA",
    subject: pointer === "" ? "bundle.json" : pointer,
    expected: [...new Set(expected)].join(", or "),
    actual,
  }));
}

function pointerOf({ instancePath, params }: ErrorObject): string {
  const property: unknown = params["missingProperty"] ?? params["additionalProperty"];
  if (typeof property !== "string") return instancePath;
  return `${instancePath}/${property.replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

function expectation({ keyword, params, message }: ErrorObject): string {
  switch (keyword) {
    case "required":
      return "a value";
    case "additionalProperties":
      return "no such property";
    case "const":
      return JSON.stringify(params["allowedValue"]);
    case "enum":
      return `one of ${JSON.stringify(params["allowedValues"])}`;
    default:
      return (message ?? keyword).replace(/^must be /, "").replace(/^must /, "to ");
  }
}

/** The value at a JSON pointer, short. */
function describeAt(document: JsonValue, pointer: string): string {
  let value: JsonValue | undefined = document;
  for (const part of pointer.split("/").slice(1)) {
    const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (Array.isArray(value)) value = value[Number(key)];
    else value = isJsonObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
  }
  if (value === undefined) return "none";
  if (typeof value === "string") return excerpt(value);
  if (Array.isArray(value)) return `a list of ${value.length}`;
  return isJsonObject(value) ? "an object" : String(value);
}
