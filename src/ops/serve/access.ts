/** Lines of the access log of `serve`, and what they add up to. */
import type { AccessEntry, ServeReport } from "../../generated/types.js";
import type { Answered } from "../../host/http-server.js";

const MAX_PATH = 256;

export function accessEntry(answered: Answered, time: string): AccessEntry {
  const { client, method, path, status, bytes, milliseconds, complete } = answered;
  return {
    bytes,
    client,
    complete,
    method,
    ms: Math.round(milliseconds),
    path: path.slice(0, MAX_PATH),
    status,
    time,
  };
}

/** One line of JSON, without its line feed: ASCII, so that no terminal obeys what a client sent. */
export function formatAccess(entry: AccessEntry): string {
  return JSON.stringify(entry).replace(
    /[^\x20-\x7e]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** All answers so far. */
export class Answers {
  #sums = { requests: 0, bytes: 0, refused: 0, broken: 0 };

  add({ status, bytes, complete }: AccessEntry): void {
    const sums = this.#sums;
    sums.requests += 1;
    sums.bytes += bytes;
    if (status >= 400 && status < 500) sums.refused += 1;
    if (status >= 500 || !complete) sums.broken += 1;
  }

  get sums(): ServeReport["answers"] {
    return { ...this.#sums };
  }
}
