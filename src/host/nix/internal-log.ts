/**
 * Nix's `--log-format internal-json`: one `@nix {…}` line on stderr for each thing that happens. Turns lines
 * into activities and messages; anything else is a plain line. Never throws: a line that is not understood is text.
 *
 * Source: libutil/logging.hh (`ActivityType`, `ResultType`), measured on 2.8.0; the numbers are the same in 2.34.
 */
import { withoutPasswords } from "../../nix/url.js";

export type NixLogEvent =
  | { readonly type: "started"; readonly kind: "copy" | "build" | "fetch"; readonly subject: string }
  | { readonly type: "finished"; readonly kind: "copy" | "build" | "fetch"; readonly subject: string }
  /** A line that a builder printed; `subject` is its .drv, where Nix says. */
  | { readonly type: "build-line"; readonly subject: string; readonly line: string }
  /** `level` 0 is an error, 1 a warning. */
  | { readonly type: "message"; readonly level: number; readonly text: string };

const KINDS: Readonly<Record<number, "copy" | "build" | "fetch">> = {
  100: "copy",
  101: "fetch",
  105: "build",
};
const RESULT_BUILD_LINE = 101;
const RESULT_POST_BUILD_LINE = 107;

export class InternalLog {
  readonly #open = new Map<number, { kind: "copy" | "build" | "fetch"; subject: string }>();

  /** What one line of stderr says, or undefined where it is of no interest. */
  parse(line: string): NixLogEvent | undefined {
    if (!line.startsWith("@nix "))
      return line.trim() === "" ? undefined : { type: "message", level: 0, text: plain(line) };
    let value: unknown;
    try {
      value = JSON.parse(line.slice("@nix ".length));
    } catch {
      return { type: "message", level: 0, text: plain(line) };
    }
    if (typeof value !== "object" || value === null) return undefined;
    const entry = value as Record<string, unknown>;
    const fields = Array.isArray(entry["fields"]) ? entry["fields"] : [];
    switch (entry["action"]) {
      case "start":
        return this.#start(entry, fields);
      case "stop":
        return this.#stop(entry);
      case "result": {
        const isLine = entry["type"] === RESULT_BUILD_LINE || entry["type"] === RESULT_POST_BUILD_LINE;
        if (!isLine || typeof fields[0] !== "string") return undefined;
        const subject = this.#open.get(Number(entry["id"]))?.subject ?? "";
        return { type: "build-line", subject, line: plain(fields[0]) };
      }
      case "msg": {
        const text = typeof entry["raw_msg"] === "string" ? entry["raw_msg"] : entry["msg"];
        if (typeof text !== "string" || typeof entry["level"] !== "number") return undefined;
        return { type: "message", level: entry["level"], text: plain([text, ...traceOf(entry)].join("\n")) };
      }
      default:
        return undefined;
    }
  }

  #start(entry: Record<string, unknown>, fields: unknown[]): NixLogEvent | undefined {
    const kind = KINDS[Number(entry["type"])];
    if (kind === undefined || typeof entry["id"] !== "number") return undefined;
    const activity = { kind, subject: typeof fields[0] === "string" ? plain(fields[0]) : "" };
    this.#open.set(entry["id"], activity);
    return { type: "started", ...activity };
  }

  #stop(entry: Record<string, unknown>): NixLogEvent | undefined {
    const activity = typeof entry["id"] === "number" ? this.#open.get(entry["id"]) : undefined;
    if (activity === undefined) return undefined;
    this.#open.delete(Number(entry["id"]));
    return { type: "finished", ...activity };
  }
}

/**
 * With --show-trace: what was being fetched, and the innermost place in a file that Nix names. From 2.26 on a file's name
 * has its line and column at its end already.
 */
function traceOf(entry: Record<string, unknown>): string[] {
  const steps = [entry, ...(Array.isArray(entry["trace"]) ? entry["trace"] : [])] as Record<
    string,
    unknown
  >[];
  const fetched = steps.map(({ raw_msg }) => String(raw_msg)).find((text) => text.includes(FETCHING));
  const place = steps.find(({ file }) => typeof file === "string" && file.startsWith("/"));
  return [
    ...(fetched === undefined ? [] : [fetched]),
    ...(place === undefined
      ? []
      : [`at ${String(place["file"]).replace(/(:\d+){1,2}$/, "")}:${place["line"]}:${place["column"]}`]),
  ];
}

const FETCHING = "while fetching the input";

/** Text without colours, control characters and passwords in URLs: it goes to a terminal, and into reports. */
function plain(text: string): string {
  // A builder that could not be started sends its error as Nix serialises it: strings between NULs.
  const words = text.includes("\u0000") ? longest(text.split("\u0000")) : text;
  const shown = words
    .replace(/\u001b\[[0-9;?]*[ -/]*[@-~]/g, "")
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, "");
  // Colours would hide where a URL begins.
  return withoutPasswords(shown);
}

function longest(pieces: readonly string[]): string {
  return pieces.reduce((best, piece) => (piece.length > best.length ? piece : best), "");
}
