/** The short texts that name things: store paths, hashes, content addresses. Keys are keys.ts's. */
import { decodeBase32, encodeBase32 } from "../../../src/nix/base32.js";
import { formatContentAddress, parseContentAddress } from "../../../src/nix/content-address.js";
import {
  formatHex,
  formatNix32,
  formatPrefixedHex,
  formatSri,
  hashOf,
  parseHex,
  parseNix32,
  parsePrefixed,
  parsePrefixedHex,
  parseSri,
} from "../../../src/nix/hash.js";
import { formatStorePath, parseStorePath } from "../../../src/nix/store-path.js";
import type { Target } from "../fuzz.js";
import { ACCEPTED, refusalOf, requireLaw } from "./laws.js";
import { codes, words } from "./lists.js";
import { release } from "./material.js";

export const names: Target = {
  name: "names",
  share: 1,
  codes: codes("STORE_PATH_INVALID", "BASE32_INVALID", "HASH_INVALID", "CONTENT_ADDRESS_INVALID"),
  seeds: [
    ...release.document.paths.flatMap(({ storePath, narHash, ca, blob }) => [
      storePath,
      narHash,
      ca ?? "",
      blob,
    ]),
    ...(["md5", "sha1", "sha256", "sha512"] as const).flatMap((algorithm) => {
      const hash = hashOf(algorithm, "");
      return [formatSri(hash), formatNix32(hash), formatPrefixedHex(hash), `fixed:${formatNix32(hash)}`];
    }),
  ].map((text) => Buffer.from(text)),
  words: words(
    "/nix/store/",
    "sha256:",
    "sha256-",
    "md5:",
    "sha512-",
    "fixed:",
    "fixed:r:",
    "text:",
    "text:sha256:",
    "-",
    ".drv",
    "=",
    "?",
    "%",
    "/",
  ),
  mutations: [],
  run(bytes) {
    const text = bytes.toString();
    refusalOf(() => parsePrefixed(text));
    const refusals = NAMES.map((read) =>
      refusalOf(() => requireLaw(read(text) === text, "accepted text is what we would write")),
    );
    return refusals.includes(undefined) ? ACCEPTED : refusals.flatMap((refusal) => refusal ?? []);
  },
};

const NAMES: readonly ((text: string) => string)[] = [
  (text) => formatStorePath(parseStorePath(text)),
  (text) => encodeBase32(decodeBase32(text)),
  (text) => formatSri(parseSri(text)),
  (text) => formatHex(parseHex("sha256", text)),
  (text) => formatNix32(parseNix32(text)),
  (text) => formatPrefixedHex(parsePrefixedHex(text)),
  (text) => formatContentAddress(parseContentAddress(text)),
];
