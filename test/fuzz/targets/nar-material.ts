/**
 * What both readers of a NAR start from, and the codes by which they refuse. Their laws stand with each of them.
 */
import {
  narDirectoryClose,
  narDirectoryOpen,
  narEntryOpen,
  narHeader,
  narRegularClose,
  narRegularOpen,
  narSymlink,
} from "../../../src/nix/nar-writer.js";
import { hostileNars, legalNars } from "../../hostile/nars.js";
import { narTokens } from "../format-mutations.js";
import { decompress, goldenBlobs, vectors } from "../seeds.js";
import { codes, small } from "./lists.js";
import { releases } from "./material.js";

export const narMaterial = {
  seeds: small([
    ...vectors("nar").values(),
    ...goldenBlobs.map(decompress),
    ...releases.flatMap(({ document, blobs }) =>
      document.paths.map(({ blob }) => decompress(blobs.get(blob)!)),
    ),
    ...[...hostileNars, ...legalNars].map(({ bytes }) => bytes),
  ]),
  words: [
    narHeader(),
    narDirectoryOpen(),
    narDirectoryClose(),
    narEntryOpen(Buffer.from("a")),
    narEntryOpen(Buffer.from("z")),
    narRegularOpen({ executable: true, size: 1 }),
    narRegularOpen({ executable: false, size: 8 }),
    narRegularClose(1),
    narSymlink(Buffer.from("a")),
  ].map((bytes) => Buffer.from(bytes)),
  mutations: [narTokens],
  codes: codes(
    "NAR_MAGIC",
    "NAR_TRUNCATED",
    "NAR_TRAILING",
    "NAR_PADDING",
    "NAR_FIELD",
    "NAR_ENTRY_NAME",
    "NAR_ENTRY_ORDER",
    "NAR_ENTRY_DUPLICATE",
    "NAR_SYMLINK_TARGET",
    "NAR_DEPTH",
    "NAR_LIMIT",
  ),
};
