/** Short ways to write the lists of a target: its codes, its words, its seeds. What is in them, each target says. */
import type { Code } from "../../../src/errors.js";
import { MAX_INPUT } from "../mutate.js";

export const codes = (...list: readonly Code[]): ReadonlySet<Code> => new Set(list);

export const words = (...list: readonly string[]): Buffer[] =>
  list.map((word) => Buffer.from(word, "latin1"));

/** Those that are not cut. */
export const small = (list: Iterable<Buffer>): Buffer[] =>
  [...list].filter(({ length }) => length <= MAX_INPUT);
